"""Figures of what a model says under steering: self-report and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.diagonal import Estimate
from emoexp.figures import INK, NOISE, PROBE_COLOURS

WHO = {"self": (PROBE_COLOURS[0], "of itself"), "other": (PROBE_COLOURS[1], "of others")}


def _map(axes: Axes, matrix: np.ndarray, label: str) -> None:
    """A map with colours for all but its extreme 2 % of cells."""
    limit = float(np.quantile(np.abs(matrix), 0.98)) or 1.0
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01, extend="both", label=label)


def word_map(change: np.ndarray, names: Sequence[str], title: str, ordered_by: str) -> Figure:
    """Steered emotion by word, both in the order given; large enough that every name can be read."""
    n = len(names)
    side, size = max(7.0, 0.115 * n), 8.0 if n <= 30 else 6.0 if n <= 80 else 5.0
    figure = Figure(figsize=(side + 1.6, side), layout="constrained")
    axes = figure.add_subplot()
    _map(axes, change, "change of log-probability (nats)")
    axes.set_xticks(range(n), names, rotation=90, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.set(xlabel=f"word, by {ordered_by} (diagonal: the steered emotion's own)", ylabel=f"steered emotion, by {ordered_by}")
    axes.set_title(f"Self-report: what steering does to each word, asked {title}", fontsize=9, loc="left")
    return figure


def self_report(table: pd.DataFrame, nulls: Mapping[str, Mapping[str, Estimate]], n_words: int, title: str) -> Figure:
    """Own word of each emotion: change by emotion, ranks, and change against valence; `nulls` is by whom is asked about, then statistic."""
    figure = Figure(figsize=(max(11, 0.16 * len(table)), 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    every, ranks, by_valence = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    rows = table.sort_values("value_self").reset_index(drop=True)
    for who, (colour, label) in WHO.items():
        null = nulls[who]["value"]
        if who == "self":
            every.axhspan(*null.interval, color=NOISE, alpha=0.5, linewidth=0, label="mean of random pairs, 95 %")
        every.plot(range(len(rows)), rows[f"value_{who}"], "o", color=colour, markersize=4, label=f"own word, asked {label}")
        bins = np.arange(0.5, n_words + 1.5, max(1, round(n_words / 32)))
        ranks.hist(
            rows[f"rank_{who}"], bins=list(bins), histtype="step", color=colour, linewidth=1.5, label=f"asked {label}, mean {rows[f'rank_{who}'].mean():.1f}"
        )
        known = rows[rows["valence"].notna()]
        by_valence.scatter(known["valence"], known[f"value_{who}"], s=14, color=colour, label=f"asked {label}")
    every.axhline(0, color=INK, linewidth=0.8)
    every.set_xticks(range(len(rows)), rows["emotion"], rotation=90, fontsize=7 if len(rows) <= 80 else 5)
    every.set_xlim(-1, len(rows))
    every.set(ylabel="change of log-probability (nats)", title="the steered emotion's own word")
    ranks.axvspan(*nulls["self"]["rank"].interval, color=NOISE, alpha=0.5, linewidth=0, label="mean rank of random pairs, 95 %")
    ranks.set(xlabel=f"rank of the own word among {n_words}, by change", ylabel="emotions", title="1: no word rises more")
    by_valence.axhline(0, color=INK, linewidth=0.8)
    by_valence.set(xlabel="valence of the emotion", ylabel="change of the own word (nats)", title="by valence")
    every.legend(fontsize=8, loc="upper left")
    ranks.legend(fontsize=8, loc="upper right")
    by_valence.legend(fontsize=8)
    for axes in (every, ranks, by_valence):
        axes.title.set_fontsize(9)
    figure.suptitle(f"Self-report under steering\n{title}", fontsize=10)
    return figure
