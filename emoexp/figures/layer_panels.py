"""The panel of one criterion by layer: values with intervals, the null and the threshold.

Figures of one model and figures of several models are made of the same panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures.style import (
    HOLLOW,
    INK,
    MEDIUM,
    NOISE,
    NULL_BAND,
    SMALL,
    THIN,
    THRESHOLD_LINE,
    TWO_THIRDS_LINE,
    panel_grid,
)


@dataclass(frozen=True)
class Curve:
    """Values of one criterion along the x axis.

    Attributes:
        x: layers, or fractions of the depth.
        rows: for each x: value, ci_low, ci_high, threshold, informative and, if it is drawn,
            null_low and null_high.
        colours: the colour of each mark and of its interval.
        line: the colour and line style of the line through the values.
    """

    x: np.ndarray
    rows: pd.DataFrame
    colours: Sequence[str]
    line: dict[str, Any]


def criterion_panels(n: int) -> tuple[Figure, list[Axes], Axes]:
    """Returns a figure, its panels for `n` criteria, and a cell for the legend."""
    figure, cells = panel_grid(n + 1, (3.1, 2.5), 0.6)
    return figure, cells[:n], cells[n]


def draw_curves(axes: Axes, curves: Sequence[Curve], *, with_null: bool) -> None:
    """Draws each curve's values and intervals, filled where informative, and the thresholds.

    Args:
        with_null: the null of each curve is drawn as a band; several would hide each other.
    """
    for curve in curves:
        x, rows = curve.x, curve.rows
        if with_null:
            _null_band(axes, x, rows)
        axes.plot(x, rows["value"], linewidth=THIN, zorder=1, **curve.line)
        colours = list(curve.colours)
        axes.vlines(x, rows["ci_low"], rows["ci_high"], colors=colours, linewidth=THIN, zorder=2)
        draw_marks(axes, x, rows["value"], colours, rows["informative"])
    _thresholds(axes, curves)


def _null_band(axes: Axes, x: np.ndarray, rows: pd.DataFrame) -> None:
    if len(x) > 1:
        axes.fill_between(x, rows["null_low"], rows["null_high"], **NULL_BAND)
    else:  # a band of one layer has no width
        bar = NULL_BAND | {"linewidth": 12}
        axes.vlines(x, rows["null_low"], rows["null_high"], **bar)


def draw_marks(
    axes: Axes,
    x: np.ndarray | pd.Series,
    y: pd.Series,
    colours: Sequence[str],
    filled: pd.Series,
) -> None:
    """Draws round marks in their colours, hollow where not `filled`."""
    faces = [colour if full else HOLLOW for colour, full in zip(colours, filled, strict=True)]
    axes.scatter(x, y, s=24, c=faces, edgecolors=list(colours), linewidths=THIN, zorder=3)


def _thresholds(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draws one line where all are judged alike, else each curve's own: a threshold is scaled to n
    and rounded."""
    values = {float(threshold) for curve in curves for threshold in curve.rows["threshold"]}
    if len(values) == 1:
        axes.axhline(values.pop(), color=INK, zorder=1, **THRESHOLD_LINE)
        return
    for curve in curves:
        colour = INK if len(curves) == 1 else curve.line["color"]
        axes.plot(curve.x, curve.rows["threshold"], color=colour, zorder=1, **THRESHOLD_LINE)


def finish_panel(axes: Axes, title: str, *, lower_is_better: bool = False) -> None:
    """Writes the title, and turns the y axis so that up is better in every panel."""
    axes.set_title(title, fontsize=MEDIUM)
    axes.tick_params(labelsize=SMALL)
    axes.margins(y=0.12)
    if lower_is_better:
        axes.invert_yaxis()


def explain(
    axes: Axes,
    marks: Sequence[tuple[str, str, str]],
    *,
    with_null: bool,
    with_two_thirds: bool,
    threshold: str = "threshold",
) -> None:
    """Writes into an empty cell what marks, bars, bands and lines mean.

    Args:
        marks: colour, face and label of each kind of mark.
        threshold: what the dashed line means.
    """
    axes.set_axis_off()
    for colour, face, label in marks:
        axes.plot([], [], "o", color=colour, markerfacecolor=face, markersize=6, label=label)
    axes.plot([], [], color=INK, linewidth=1.2, label="bar: 95 % interval")
    if with_null:
        axes.plot([], [], color=NOISE, linewidth=6, alpha=0.5, label="null, 95 %")
    axes.plot([], [], color=INK, label=threshold, **THRESHOLD_LINE)
    if with_two_thirds:
        axes.plot([], [], label="two thirds of the depth", **TWO_THIRDS_LINE)
    axes.legend(fontsize=MEDIUM, loc="center", frameon=False)
