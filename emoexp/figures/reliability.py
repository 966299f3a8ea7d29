"""Figures of the reliability of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from emoexp.figures import style
from emoexp.stats.reliability import AT_MOST, EXTRAPOLATED, MEASURED, NOT_ESTIMABLE, spearman_brown

DIAMOND: dict[str, Any] = {"marker": "D", "linestyle": "none", "color": style.INK, "markersize": 5}
"""The mark of the stories that a target needs."""


def stability_curve(curve: pd.DataFrame, needed: pd.DataFrame, title: str) -> Figure:
    """Draws the cosine of disjoint sets against stories per set, with its null, the Spearman-Brown
    line and where the targets are reached."""
    figure = style.new_figure(8.4, 5)
    axes = figure.add_subplot()
    stories = curve["stories"].to_numpy()
    known = needed[needed["how"] != NOT_ESTIMABLE]
    furthest = max([stories[-1], *known["stories"].astype(float)])
    _measured(axes, curve)
    if "spearman_brown" in curve:
        x = np.geomspace(stories[0], 1.2 * furthest, 100)
        last = float(curve["cosine"].iloc[-1])
        line = [spearman_brown(last, k) for k in x / stories[-1]]
        label = "Spearman-Brown, from the last point"
        axes.plot(x, line, "--", color=style.INK, linewidth=1.2, label=label)
    if len(known):
        _targets(axes, known)
    axes.axhline(0, **style.AXIS_LINE)
    extrapolated = known.loc[known["how"] == EXTRAPOLATED, "stories"].astype(float)
    _stories_axis(axes, _spread([*stories, *extrapolated]))
    axes.set_xlim(stories[0] / 1.1, 1.5 * furthest)
    axes.set_ylim(min(-0.3, float(curve["null_low"].min()) - 0.05), 1.06)
    axes.set_ylabel("cosine of the two vectors")
    style.head(figure, "How many stories does a vector need?", title)
    style.legend_below(axes, 2)
    return figure


def _measured(axes: Axes, curve: pd.DataFrame) -> None:
    """Draws the cosines of the same emotion over those of different ones."""
    stories = curve["stories"]
    label = "different emotions, 95 % over splits and pairs"
    axes.fill_between(
        stories, curve["null_low"], curve["null_high"], label=label, **style.NULL_BAND
    )
    axes.plot(stories, curve["null"], color=style.CONNECTION, linewidth=1)
    label = "same emotion, 95 % over splits and emotions"
    spread: dict[str, Any] = {"color": style.MODEL, "alpha": 0.2, "linewidth": 0}
    axes.fill_between(stories, curve["low"], curve["high"], label=label, **spread)
    axes.plot(stories, curve["cosine"], "o-", color=style.MODEL, label="same emotion, mean")


def _targets(axes: Axes, known: pd.DataFrame) -> None:
    """Marks how many stories each target needs."""
    for row in known.itertuples():
        count, cosine = float(row.stories), float(row.cosine)  # type: ignore[arg-type]
        face = style.INK if row.how == MEASURED else style.HOLLOW
        axes.plot(count, cosine, markerfacecolor=face, **DIAMOND)
        text = f"{cosine:g}: {'at most ' if row.how == AT_MOST else ''}{count:.0f}"
        place: dict[str, Any] = {"xytext": (7, -10), "textcoords": "offset points"}
        axes.annotate(text, (count, cosine), fontsize=style.MEDIUM, **place)
    label = "stories needed (hollow: extrapolated, or fewer not measured)"
    axes.plot([], [], label=label, **DIAMOND)


def _stories_axis(axes: Axes, ticks: Sequence[float]) -> None:
    """Makes the x axis logarithmic, with these ticks and no others."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{t:.0f}" if t >= 10 else f"{t:.2g}" for t in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("stories per emotion in each of two disjoint sets")


def _spread(ticks: Sequence[float]) -> list[float]:
    """Returns ticks that can be written without overlap: each at least a fifth above the one
    before."""
    chosen: list[float] = []
    for tick in sorted(ticks):
        if not chosen or tick > 1.2 * chosen[-1]:
            chosen.append(tick)
    return chosen


def reliability_dots(table: pd.DataFrame, title: str) -> Figure:
    """Draws each emotion's split-half cosine with its band over splits, the estimate for all
    stories, and the null behind."""
    rows = table.sort_values("split_half").reset_index(drop=True)
    figure = style.new_figure(max(8, style.names_length(len(rows)) + 1), 5)
    axes = figure.add_subplot()
    x = np.arange(len(rows))
    null = style.NULL_BAND | {"step": "mid", "label": "other emotions' halves, 95 %"}
    axes.fill_between(x, rows["null_low"], rows["null_high"], **null)
    axes.vlines(x, rows["low"], rows["high"], color=style.MODEL, linewidth=1.2)
    label = "split halves, mean and 95 % over splits"
    axes.scatter(x, rows["split_half"], color=style.MODEL, s=24, zorder=3, label=label)
    whole = rows["all_stories"].astype(float)
    label = "all stories (Spearman-Brown)"
    axes.scatter(x, whole, marker="_", color=style.INK, s=50, zorder=3, label=label)
    axes.axhline(0, **style.AXIS_LINE)
    style.name_ticks(axes, rows["emotion"])
    axes.set_xlim(-1, len(rows))
    axes.set_ylim(None, 1.04)
    axes.set_ylabel("cosine of the two halves' vectors")
    style.head(figure, "Split-half reliability of each vector", title)
    style.legend_below(axes, 3)
    return figure
