"""The ranking of the emotions by their mean projection over texts, sets side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures import style
from emoexp.stats.texts import CENTRED, CONTRAST, RAW

PANELS = {
    RAW: "raw: mostly where the mean of any text lies",
    CENTRED: "centred: minus the neutral texts",
    CONTRAST: "contrast: minus the mean of the sets",
}
SPREAD = 0.5
"""How far apart the sets' marks of one emotion are, of the distance between emotions."""


def ranking_dots(table: pd.DataFrame, title: str) -> Figure:
    """Draws each emotion's mean projection in each set with its interval, a panel for each
    read-out, in the order of the first set; the band is that of isotropic directions."""
    panels = {name: text for name, text in PANELS.items() if name in table}
    sets = list(table["set"].unique())
    n = len(table) // len(sets)
    figure = style.new_figure(max(8, 0.17 * n + 1), 3.1 * len(panels) + 0.8)
    grid = np.atleast_1d(figure.subplots(len(panels)))
    for axes, (column, text) in zip(grid, panels.items(), strict=True):
        _panel(axes, table, column, sets)
        axes.set_title(text, loc="left")
    style.head(figure, "Emotions by their mean projection over texts", title)
    style.legend_below(figure.axes[0], 4)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, column: str, sets: list[str]) -> None:
    """Draws one read-out."""
    first = table[table["set"] == sets[0]].sort_values(column, ascending=False)
    names, n = list(first["emotion"]), len(first)
    shifts = np.linspace(-SPREAD / 2, SPREAD / 2, len(sets)) if len(sets) > 1 else [0.0]
    if f"{column}_isotropic_low" in table:
        low, high = table[f"{column}_isotropic_low"].min(), table[f"{column}_isotropic_high"].max()
        axes.axhspan(low, high, label="isotropic directions, 95 %", **style.NULL_BAND)
    for i, (name, shift) in enumerate(zip(sets, shifts, strict=True)):
        rows = table[table["set"] == name].set_index("emotion").loc[names]
        x, colour = np.arange(n) + shift, style.MODEL_COLOURS[i % len(style.MODEL_COLOURS)]
        axes.vlines(x, rows[f"{column}_low"], rows[f"{column}_high"], color=colour, linewidth=1.1)
        axes.scatter(x, rows[column], color=colour, s=14, zorder=3, label=f"{name}, 95 %")
    axes.axhline(0, **style.AXIS_LINE)
    style.name_ticks(axes, names)
    axes.set_xlim(-1, n)
    axes.set_ylabel("projection, residual norms")
