"""The panel of one criterion by layer: values with intervals, the null and the threshold.

Figures of one model and figures of several models are made of the same panels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from emoexp.figures import style


@dataclass(frozen=True)
class Curve:
    """Values of one criterion along the x axis.

    Attributes:
        x: layers, or fractions of the depth.
        rows: for each x: value, ci_low, ci_high, threshold, informative and, if it is drawn,
            null_low and null_high.
        marks: the mark of each value; its colour is that of the interval too.
        line: the colour and line style of the line through the values.
    """

    x: np.ndarray
    rows: pd.DataFrame
    marks: Sequence[style.Mark]
    line: dict[str, Any]


def criterion_panels(n: int) -> tuple[Figure, list[Axes], Axes]:
    """Returns a figure, its panels for `n` criteria, and a cell for the legend."""
    figure, cells = style.panel_grid(n + 1, (3.1, 2.5), 0.6)
    return figure, cells[:n], cells[n]


def draw_curves(axes: Axes, curves: Sequence[Curve], *, with_null: bool) -> None:
    """Draws each curve's values and intervals, filled where informative, and the thresholds.

    Args:
        with_null: the null of each curve is drawn as a band; several would hide each other.
    """
    for curve in curves:
        x, rows = curve.x, curve.rows
        if with_null:
            null_bars(axes, x, rows["null_low"], rows["null_high"])
        axes.plot(x, rows["value"], linewidth=style.THIN, zorder=1, **curve.line)
        how: dict[str, Any] = {"linewidth": style.THIN, "zorder": 2}
        colours = [mark.colour for mark in curve.marks]
        axes.vlines(x, rows["ci_low"], rows["ci_high"], colors=colours, **how)
        draw_marks(axes, x, rows["value"], curve.marks, rows["informative"])
    _thresholds(axes, curves)


def null_bars(
    axes: Axes, x: np.ndarray, low: pd.Series, high: pd.Series, **how: Any
) -> BarContainer:
    """Draws each layer's null as a bar of its own: between layers nothing is measured."""
    width = 0.7 * float(np.diff(np.sort(x)).min()) if len(x) > 1 else 0.7
    edged = style.NULL_BAND | how | {"linewidth": 1}  # a range of one number is seen as a line
    bars = axes.bar(x, high - low, bottom=low, width=width, zorder=0, **edged)
    for bar in bars:
        bar.sticky_edges.y.clear()  # they would put a mark at the end of a bar on the frame
    return bars


def layer_ticks(axes: Axes, layers: Sequence[int]) -> None:
    """Puts at most nine ticks at layers."""
    axes.set_xticks(layers[:: math.ceil(len(layers) / 9)])


def gaps(layers: Sequence[int]) -> list[float]:
    """Returns where rows of a map meet that are not of neighbouring layers."""
    return [k + 0.5 for k in range(len(layers) - 1) if layers[k + 1] > layers[k] + 1]


def draw_marks(
    axes: Axes,
    x: np.ndarray | pd.Series,
    y: pd.Series,
    marks: Sequence[style.Mark],
    filled: pd.Series,
) -> None:
    """Draws marks in their colours and shapes, hollow where not `filled`."""
    edges, shapes = np.array(marks).reshape(-1, 2).T
    faces = np.where(np.asarray(filled, dtype=bool), edges, style.HOLLOW)
    how: dict[str, Any] = {"s": 24, "linewidths": style.THIN, "zorder": 3}
    for shape in dict.fromkeys(shapes):
        of = shapes == shape
        place = np.asarray(x)[of], np.asarray(y)[of]
        axes.scatter(*place, c=faces[of], edgecolors=edges[of], marker=shape, **how)


def _thresholds(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draws one line where all are judged alike, else each curve's own: a threshold is scaled to n
    and rounded."""
    values = {float(threshold) for curve in curves for threshold in curve.rows["threshold"]}
    if len(values) == 1:
        axes.axhline(values.pop(), color=style.INK, zorder=1, **style.THRESHOLD_LINE)
        return
    for curve in curves:
        colour = style.INK if len(curves) == 1 else curve.line["color"]
        axes.plot(curve.x, curve.rows["threshold"], color=colour, zorder=1, **style.THRESHOLD_LINE)


def finish_panel(axes: Axes, title: str, *, lower_is_better: bool = False) -> None:
    """Writes the title, and turns the y axis so that up is better in every panel."""
    axes.set_title(title)
    axes.tick_params(labelsize=style.SMALL)
    axes.margins(y=0.12)
    if lower_is_better:
        axes.invert_yaxis()


def explain(
    axes: Axes,
    marks: Sequence[tuple[style.Mark, str, str]],
    *,
    with_null: bool,
    with_two_thirds: bool,
    threshold: str = "threshold",
    notes: Sequence[str] = (),
) -> None:
    """Writes into an empty cell what marks, bars, bands and lines mean.

    Args:
        marks: mark, face and label of each kind.
        threshold: what the dashed line means.
        notes: lines without a mark.
    """
    axes.set_axis_off()
    for (colour, shape), face, label in marks:
        how: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 6}
        axes.plot([], [], shape, label=label, **how)
    axes.plot([], [], color=style.INK, linewidth=1.2, label="bar: 95 % interval")
    if with_null:
        axes.plot([], [], label="null, 95 %", **style.NULL_BAND | {"linewidth": 6})
    axes.plot([], [], color=style.INK, label=threshold, **style.THRESHOLD_LINE)
    if with_two_thirds:
        axes.plot([], [], label="two thirds of the depth", **style.TWO_THIRDS_LINE)
    for note in notes:
        axes.plot([], [], " ", label=note)
    axes.legend(loc="center")
