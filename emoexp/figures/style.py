"""Colours, fonts, strokes and sizes of every figure."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

POSITIVE, NEGATIVE, NOISE, INK = "#2a9d6f", "#c8513f", "#b9b9b9", "#222222"
CLAUDE = "#7b2cbf"
"""The colour of published numbers beside a model's own; their marks are hollow diamonds."""
PROBE_COLOURS = ("#6a4c93", "#e09f3e", "#33658a", "#2a9d6f", "#c8513f", "#222222")
MODEL = "#33658a"
"""The colour of the model's own numbers where no valence or verdict colours them."""
CONTROL = "#777777"
"""The colour of single random directions; their range is NOISE."""
CONNECTION = "#8a8a8a"
"""The colour of a line that connects marks which have colours of their own."""
PROPOSED = "#d6189b"
"""The colour of what a map of steering proposes."""
MODEL_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b5b5b")
MODEL_LINES = ("-", "--", ":", "-.")
"""Colours for seven models, which the colour-blind can tell apart; the eighth starts again with
another line."""
HOLLOW = "white"
"""The face of a mark that is not filled."""
LIGHT = "white"
"""Text on dark cells, and the edge of marks on a map."""
DIVERGING, SEQUENTIAL, SHARES = "RdBu_r", "viridis", "cividis"
"""Colour maps: of numbers around a middle, of sizes, of numbers from 0 to 1."""

TINY, SMALL, MEDIUM, TITLE, LARGE = 5, 7, 8, 9, 10
"""Font sizes: names on very crowded axes, names on crowded axes, legends, titles of panels, titles
of whole figures."""

NULL_BAND: dict[str, Any] = {"color": NOISE, "alpha": 0.35, "linewidth": 0}
"""The range of a null."""
AXIS_LINE: dict[str, Any] = {"color": INK, "linewidth": 0.8}
"""The line at 0, or at another value that means no effect."""
THRESHOLD_LINE: dict[str, Any] = {"linewidth": 0.9, "linestyle": "--"}
TWO_THIRDS_LINE: dict[str, Any] = {"color": NOISE, "linewidth": 0.9, "linestyle": ":"}
THIN, THICK = 1.1, 2.0
"""Widths of the line of a curve, and of one that stands out."""


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of so many inches; no window is opened."""
    return Figure(figsize=(width, height), layout="constrained")


def name_size(n: int) -> float:
    """Returns the font size at which `n` names fit on an axis."""
    if n <= 30:
        return MEDIUM
    return 6 if n <= 80 else TINY


def panel_grid(
    n: int, size: tuple[float, float], extra: float, *, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    """Returns a figure with `n` panels, at most four in a row, and the panels.

    Args:
        size: width and height of a panel in inches.
        extra: inches of height beside the panels, for titles and legends.
        shared: all panels have the same axes.
    """
    columns = min(4, n)
    rows = math.ceil(n / columns)
    figure = new_figure(size[0] * columns, size[1] * rows + extra)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared)
    panels = list(grid.ravel())
    for axes in panels[n:]:
        axes.set_axis_off()
    return figure, panels[:n]
