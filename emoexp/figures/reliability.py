"""Figures of the reliability of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from emoexp.figures.style import INK, MODEL, NOISE, POSITIVE, new_figure
from emoexp.stats.reliability import (
    AT_MOST,
    EXTRAPOLATED,
    MEASURED,
    NOT_ESTIMABLE,
    spearman_brown,
)


def stability_curve(curve: pd.DataFrame, needed: pd.DataFrame, title: str) -> Figure:
    """Cosine of disjoint sets against stories per set, with its null, the Spearman-Brown line and
    where the targets are reached."""
    figure = new_figure(8.4, 5)
    axes = figure.add_subplot()
    n = curve["stories"].to_numpy()
    axes.fill_between(
        n,
        curve["null_low"],
        curve["null_high"],
        color=NOISE,
        alpha=0.35,
        label="different emotions, 95 % over splits and pairs",
    )
    axes.plot(n, curve["null"], color="#777777", linewidth=1)
    axes.fill_between(
        n,
        curve["low"],
        curve["high"],
        color=POSITIVE,
        alpha=0.2,
        label="same emotion, 95 % over splits and emotions",
    )
    axes.plot(n, curve["cosine"], "o-", color=POSITIVE, label="same emotion, mean")
    known = needed[needed["how"] != NOT_ESTIMABLE]
    furthest = max([n[-1], *known["stories"].astype(float)])
    if "spearman_brown" in curve:
        x = np.geomspace(n[0], 1.2 * furthest, 100)
        line = [spearman_brown(float(curve["cosine"].iloc[-1]), k) for k in x / n[-1]]
        axes.plot(
            x, line, "--", color=MODEL, linewidth=1.2, label="Spearman-Brown, from the last point"
        )
    for row in known.itertuples():
        count, cosine = float(row.stories), float(row.cosine)  # type: ignore[arg-type]
        label = f"{cosine:g}: {'at most ' if row.how == AT_MOST else ''}{count:.0f}"
        axes.plot(
            count,
            cosine,
            "D",
            color=MODEL,
            markersize=5,
            markerfacecolor=MODEL if row.how == MEASURED else "white",
        )
        axes.annotate(
            label, (count, cosine), fontsize=8, xytext=(7, -10), textcoords="offset points"
        )
    if len(known):
        axes.plot(
            [],
            [],
            "D",
            color=MODEL,
            markersize=5,
            label="stories needed (hollow: extrapolated, or fewer not measured)",
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xscale("log", base=2)
    ticks = _spread([*n, *known.loc[known["how"] == EXTRAPOLATED, "stories"].astype(float)])
    axes.set_xticks(ticks, [f"{t:.0f}" if t >= 10 else f"{t:.2g}" for t in ticks])
    axes.set_xlim(n[0] / 1.1, 1.5 * furthest)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(
        xlabel="stories per emotion in each of two disjoint sets",
        ylabel="cosine of the two vectors",
        ylim=(min(-0.3, float(curve["null_low"].min()) - 0.05), 1.06),
        title=f"How many stories does a vector need?\n{title}",
    )
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )
    return figure


def _spread(ticks: Sequence[float]) -> list[float]:
    """Ticks that can be written without overlap: each at least a fifth above the one before."""
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or tick > 1.2 * kept[-1]:
            kept.append(tick)
    return kept


def reliability_dots(table: pd.DataFrame, title: str) -> Figure:
    """Each emotion's split-half cosine with its band over splits, the estimate for all stories, and
    the null behind."""
    rows = table.sort_values("split_half").reset_index(drop=True)
    figure = new_figure(max(8, 0.19 * len(rows)), 5)
    axes = figure.add_subplot()
    x = np.arange(len(rows))
    axes.fill_between(
        x,
        rows["null_low"],
        rows["null_high"],
        step="mid",
        color=NOISE,
        alpha=0.35,
        label="other emotions' halves, 95 %",
    )
    axes.vlines(x, rows["low"], rows["high"], color=POSITIVE, linewidth=1.2)
    axes.scatter(
        x,
        rows["split_half"],
        color=POSITIVE,
        s=24,
        zorder=3,
        label="split halves, mean and 95 % over splits",
    )
    axes.scatter(
        x,
        rows["all_stories"].astype(float),
        marker="_",
        color=MODEL,
        s=50,
        zorder=3,
        label="all stories (Spearman-Brown)",
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(x, rows["emotion"], rotation=90, fontsize=7)
    axes.set_xlim(-1, len(rows))
    axes.set(
        ylabel="cosine of the two halves' vectors",
        ylim=(None, 1.04),
        title=f"Split-half reliability of each vector\n{title}",
    )
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    return figure
