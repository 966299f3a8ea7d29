"""Figures of preferences: Elo by category, correlations with probes, and steering.

Published numbers, where they are given, stand beside the model's own as hollow diamonds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures import style
from emoexp.figures.names import name_points
from emoexp.stimuli.paper import published

MOST_NAMED = 3
"""Activities that are named in the figure: of either end of the Elo; of those furthest from their
category twice as many."""
LONGEST = 40
"""Characters of an activity's name beyond which it is cut."""


def _published(axes: Axes, x: np.ndarray | pd.Index, y: np.ndarray | pd.Series) -> None:
    """Draws published numbers."""
    colour, shape = style.PUBLISHED
    how: dict[str, Any] = {"s": 20, "facecolors": "none", "linewidths": 1.1, "zorder": 3}
    axes.scatter(x, y, edgecolors=colour, marker=shape, label=published.MODEL, **how)


def correlation_bars(
    table: pd.DataFrame,
    null: tuple[float, float],
    least: float,
    title: str,
    *,
    found: str = "",
    claude: dict[str, float] | None = None,
) -> Figure:
    """Draws correlations with Elo, sorted and coloured by valence, with intervals, the band of
    random directions and the |r| from which V9 counts an emotion; published r of some emotions.

    Args:
        found: what the criteria say, in the title.
    """
    rows = table.sort_values("r").reset_index(drop=True)
    n = len(rows)
    figure = style.new_figure(max(8, style.names_length(n) + 1), 5)
    axes = figure.add_subplot()
    x = np.arange(n)
    axes.axhspan(*null, label="isotropic directions, 95 %", **style.NULL_BAND)
    for mask, label, mark in style.valence_marks(rows["valence"].to_numpy(dtype=float)):
        axes.bar(x[mask], rows["r"][mask], color=mark.colour, label=label)
    axes.vlines(x, rows["ci_low"], rows["ci_high"], color=style.INK, linewidth=0.6)
    theirs = rows["emotion"].map(claude or {}).dropna().astype(float)
    if len(theirs):
        _published(axes, theirs.index, theirs)
    axes.axhline(0, **style.AXIS_LINE)
    for sign in (-1, 1):
        label = f"|r| = {least:g}, from which V9 counts" if sign > 0 else ""
        axes.axhline(sign * least, color=style.INK, label=label, **style.THRESHOLD_LINE)
    style.name_ticks(axes, rows["emotion"])
    axes.set_xlim(-1, n)
    axes.set_ylabel("r of probe and Elo over the activities")
    style.legend_below(axes, 3)
    what = "Emotion-preference correlation (bars: 95 % bootstrap over activities)"
    style.head(figure, what, title, found)
    return figure


def elo_by_category(
    table: pd.DataFrame,
    means: pd.DataFrame,
    title: str,
    *,
    found: str = "",
    claude: np.ndarray | None = None,
) -> Figure:
    """Draws each activity's Elo by category, steered and control half apart, with the category
    mean and the names of the extremes; published Elos, in the order of `table`, to the right.

    Args:
        means: category, elo (the mean, the highest first) and its interval ci_low, ci_high.
        found: what the criteria say, in the title.
    """
    figure = style.new_figure(max(9, 1.2 * len(means)), 5.4)
    axes = figure.add_subplot()
    centre = np.arange(len(means)) - (0 if claude is None else 0.2)
    x = np.zeros(len(table))
    for category, place in zip(means["category"], centre, strict=True):
        members = (table["category"] == category).to_numpy()
        x[members] = place + np.linspace(-0.18, 0.18, members.sum())
    if claude is not None:
        _published(axes, x + 0.42, claude)
        theirs = pd.Series(claude).groupby(table["category"]).mean()[means["category"]]
        line: dict[str, Any] = {"color": style.PUBLISHED.colour, "linewidth": style.THICK}
        axes.hlines(theirs, centre + 0.2, centre + 0.64, **line)
    steered = table["steered"].astype(bool).to_numpy()
    halves = ((steered, style.MODEL, "steered half"), (~steered, style.HOLLOW, "control half"))
    for half, face, label in halves:
        dots: dict[str, Any] = {"s": 22, "facecolors": face, "edgecolors": style.MODEL, "zorder": 3}
        axes.scatter(x[half], table["elo"][half], label=f"{label} of the activities", **dots)
    ends = centre - 0.28, centre + 0.28
    label = f"category mean{', 95 %' if means['ci_low'].notna().all() else ''}"
    axes.hlines(means["elo"], *ends, color=style.INK, linewidth=style.THICK, label=label)
    axes.vlines(centre, means["ci_low"], means["ci_high"], color=style.INK, linewidth=style.THIN)
    axes.axhline(1500, color=style.NOISE, linewidth=0.8)
    axes.set_xticks(range(len(means)), list(means["category"]))
    axes.set(ylabel="Elo", xlim=(-0.7, len(means) - 0.3))
    axes.margins(y=0.1)
    style.legend_below(axes, 4)
    style.head(figure, "Preference by category", title, found)
    _name_extremes(axes, x, table)
    return figure


def _name_extremes(axes: Axes, x: np.ndarray, table: pd.DataFrame) -> None:
    """Names the most and the least liked activities, and those furthest from their category."""
    order = np.argsort(table["elo"].to_numpy(), kind="stable")
    away = (table["elo"] - table.groupby("category")["elo"].transform("mean")).abs().to_numpy()
    furthest = np.argsort(-away, kind="stable")[: 2 * MOST_NAMED]
    chosen = sorted({*order[:MOST_NAMED], *order[-MOST_NAMED:], *furthest})
    names = [str(table["activity"].iloc[k]) for k in chosen]
    short = [name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in names]
    points = np.column_stack([x, table["elo"]])
    name_points(axes, points[chosen], short, avoid=points)


def steering_scatter(
    emotions: pd.DataFrame,
    controls: pd.DataFrame,
    title: str,
    *,
    found: str = "",
    claude: published.SteeringScatter | None = None,
) -> Figure:
    """Draws delta Elo against r, emotions over their controls, with the 95 % band of the isotropic
    directions' delta Elo; every emotion is named; published emotions.

    Args:
        found: what the criteria say, in the title.
    """
    tall = max(6.4, 0.11 * len(emotions))
    figure = style.new_figure(1.35 * tall, tall)
    axes = figure.add_subplot()
    _controls(axes, controls)
    for mask, label, mark in style.valence_marks(emotions["valence"].to_numpy(dtype=float)):
        part = emotions[mask]
        dots: dict[str, Any] = {"s": 24, "color": mark.colour, "marker": mark.shape}
        axes.scatter(part["r"], part["delta_elo"], label=f"emotions, {label}", **dots)
    if claude is not None:
        _published(axes, claude.r, claude.delta_elo)
    axes.axhline(0, **style.AXIS_LINE)
    axes.axvline(0, **style.AXIS_LINE)
    axes.margins(0.08)
    axes.set_xlabel("r of probe and Elo, unsteered")
    axes.set_ylabel("mean delta Elo of the steered activities")
    style.legend_below(axes, 3)
    what = "Steering: does what correlates with preference also drive it?"
    style.head(figure, what, title, found)
    columns = ["r", "delta_elo"]
    others = controls[columns].to_numpy(float)
    points = emotions[columns].to_numpy(float)
    name_points(axes, points, list(emotions["direction"]), avoid=others)
    return figure


def _controls(axes: Axes, controls: pd.DataFrame) -> None:
    """Draws every control direction, and the band of the first set."""
    first = str(controls["set"].iloc[0])
    low, high = np.quantile(controls[controls["set"] == first]["delta_elo"], [0.025, 0.975])
    axes.axhspan(low, high, label=f"{first}, 95 %", **style.NULL_BAND)
    for name, part in controls.groupby("set", sort=False):
        mark = style.SETS[str(name)]
        how: dict[str, Any] = {"marker": mark.shape, "s": 26, "color": mark.colour}
        axes.scatter(part["r"], part["delta_elo"], label=str(name), linewidths=1.1, **how)
