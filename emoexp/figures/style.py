"""Colours, marks, fonts, strokes and sizes of every figure, and how a figure is titled.

No meaning has a red and a green. Valence, models and sets of directions have the colours of Okabe
and Ito (2008), categories those of Paul Tol's muted scheme; the colour-blind can tell them apart,
and categories and verdicts have marks of their own besides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.stats import labels


class Mark(NamedTuple):
    """A colour and the shape of a mark."""

    colour: str
    shape: str


INK, NOISE = "#222222", "#b9b9b9"
"""What is written, and what is faint: grids, and ranges of nulls."""
VALENCE: Mapping[str, Mark] = MappingProxyType(
    {
        "positive valence": Mark("#0072b2", "o"),
        "negative valence": Mark("#d55e00", "s"),
        "valence zero": Mark("#b9b9b9", "D"),
        "valence not known": Mark("#5b5b5b", "^"),
    }
)
"""Marks of emotions by their valence, by the label of each."""
SETS: Mapping[str, Mark] = MappingProxyType(
    {
        labels.EMOTIONS: Mark("#009e73", "o"),
        labels.OTHER_EMOTIONS: Mark("#56b4e9", "s"),
        labels.SUBTRACTED: Mark("#005f73", "v"),
        labels.ISOTROPIC: Mark("#777777", "x"),
        labels.MIXTURES: Mark("#cc79a7", "+"),
        labels.SHUFFLED: Mark("#e69f00", "1"),
        labels.PERMUTED_SCENARIOS: Mark("#8c6d31", "2"),
        labels.PERMUTED_CATEGORIES: Mark("#8c6d31", "2"),
        labels.PERMUTED_ELO: Mark("#8c6d31", "2"),
        labels.PERMUTED_EMOTIONS: Mark("#8c6d31", "2"),
        labels.UNSTEERED: Mark(INK, "D"),
    }
)
"""Marks of the sets of directions and of the nulls, by their labels (`emoexp/stats/labels.py`)."""
MODEL = SETS[labels.EMOTIONS].colour
"""The colour of the model's own numbers where no valence or verdict colours them."""
PASSED, FAILED = Mark(INK, "o"), Mark("#aa3377", "s")
"""Marks of verdicts."""
PUBLISHED = Mark("#7b2cbf", "D")
"""The mark of published numbers beside a model's own, which is hollow."""
CONNECTION = "#8a8a8a"
"""The colour of a line that connects marks which have colours of their own."""
PROPOSED = "#d6189b"
"""The colour of what a map of steering proposes."""
MODEL_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b5b5b")
MODEL_LINES = ("-", "--", ":", "-.")
"""Colours for seven models; the eighth starts again with another line."""
_MUTED = ("#332288", "#ddaa33", "#117733", "#cc6677", "#88ccee", "#882255", "#999933", "#aa4499")
CATEGORIES = tuple(Mark(_MUTED[k % 8], shape) for k, shape in enumerate("osD^vPX<>ph*8d|"))
"""Marks of what has no order and no colour of its own, such as clusters and probes: fifteen that
differ in shape, the first eight in colour too."""
HOLLOW = "white"
"""The face of a mark that is not filled."""
LIGHT = "white"
"""Text on dark cells, and the edge of marks on a map."""
DIVERGING_ENDS = ("#b2182b", "#2166ac")
"""Below and above the middle of `DIVERGING`, where two colours are enough."""
DIVERGING, SEQUENTIAL, SHARES = "RdBu", "viridis", "cividis"
"""Colour maps: of numbers around a middle (blue above it, as positive valence is), of sizes, of
numbers from 0 to 1."""

TINY, SMALL, MEDIUM, TITLE, LARGE = 6, 7, 8, 9, 10
"""Font sizes: names on very crowded axes, names on crowded axes, legends and axes, titles of
panels, titles of figures."""
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": MEDIUM,
    "axes.titlesize": TITLE,
    "axes.labelsize": TITLE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.fontsize": MEDIUM,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}
"""What matplotlib draws with where a figure says nothing else. In a PDF text is text, and its font
(TrueType) is embedded."""

NULL_BAND: dict[str, Any] = {"color": NOISE, "alpha": 0.35, "linewidth": 0}
"""The range of a null."""
AXIS_LINE: dict[str, Any] = {"color": INK, "linewidth": 0.8}
"""The line at 0, or at another value that means no effect."""
THRESHOLD_LINE: dict[str, Any] = {"linewidth": 0.9, "linestyle": "--"}
TWO_THIRDS_LINE: dict[str, Any] = {"color": NOISE, "linewidth": 0.9, "linestyle": ":"}
THIN, THICK = 1.1, 2.0
"""Widths of the line of a curve, and of one that stands out."""
NAME_PITCH = {MEDIUM: 0.19, SMALL: 0.135, TINY: 0.11}
"""Inches from one name on an axis to the next, by font size."""


def styled() -> AbstractContextManager[None]:
    """Returns a context in which figures are made and saved in the project's style."""
    return rc_context(SETTINGS)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of so many inches; no window is opened."""
    return Figure(figsize=(width, height), layout="constrained")


def head(figure: Figure, what: str, where: str, found: str = "") -> None:
    """Writes the title of a figure: `what` it shows, below it what was `found` and `where` that was
    measured. Lines longer than the figure is wide are wrapped, none is cut."""
    lines = [line for line in (what, found, where) if line]
    figure.suptitle("\n".join(lines), fontsize=LARGE, wrap=True)


def valence_marks(valence: np.ndarray) -> list[tuple[np.ndarray, str, Mark]]:
    """Returns mask, label and mark of the positive, the negative, and those whose valence is
    zero or not known (NaN), as far as there are any."""
    masks = (valence > 0, valence < 0, valence == 0, np.isnan(valence))
    parts = [(mask, *item) for mask, item in zip(masks, VALENCE.items(), strict=True)]
    return [part for part in parts if part[0].any()]


def band_of(name: str) -> dict[str, Any]:
    """Returns how the range of a null is filled: grey, or the colour of its set where several
    ranges stand in one panel."""
    return NULL_BAND | {"color": SETS[name].colour, "alpha": 0.25}


def name_size(n: int) -> float:
    """Returns the font size at which `n` names fit on an axis."""
    if n <= 30:
        return MEDIUM
    return SMALL if n <= 80 else TINY


def names_length(n: int) -> float:
    """Returns the inches that an axis with `n` names needs so that none overlaps the next."""
    return n * NAME_PITCH[int(name_size(n))]


def name_ticks(axes: Axes, names: Sequence[str] | pd.Series) -> None:
    """Writes names below an axis, upright, at 0, 1, 2, ..."""
    axes.set_xticks(range(len(names)), list(names), rotation=90, fontsize=name_size(len(names)))


def legend_below(axes: Axes, columns: int) -> None:
    """Writes the legend of a panel below the figure, where it covers no point."""
    shown = axes.get_legend_handles_labels()
    axes.figure.legend(*shown, loc="outside lower center", ncols=columns)


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
