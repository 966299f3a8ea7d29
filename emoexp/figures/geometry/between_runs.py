"""The map of how similar the layers of two runs are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures import style

MOST_TICKS = 12
"""Layers that an axis names, at most."""


def between_runs(table: pd.DataFrame, title: str) -> Figure:
    """Draws Spearman's rho of every layer of one run with every layer of another, and marks the
    best pair and the same relative depths.

    Args:
        table: run_a, layer_a, depth_a, run_b, layer_b, depth_b, rho, same_depth
            (emoexp/geometry/between.py), of one pair of runs.
    """
    square = table.pivot(index="layer_a", columns="layer_b", values="rho")
    values = square.to_numpy(dtype=float)
    figure = style.new_figure(7.2, 6.2)
    axes = figure.add_subplot()
    colours = {"cmap": style.SEQUENTIAL, "vmin": np.floor(values.min() * 10) / 10, "vmax": 1}
    if values.min() < 0:
        colours = {"cmap": style.DIVERGING, "vmin": -1, "vmax": 1}
    image = axes.imshow(values, origin="lower", aspect="auto", **colours)
    figure.colorbar(image, ax=axes, label="Spearman's rho over pairs of emotions")
    _mark(axes, table, square)
    for x, axis in (("a", axes.yaxis), ("b", axes.xaxis)):
        axis.set_ticks(*_ticks(table, x), fontsize=style.SMALL)
        axis.set_label_text(f"layer of {table[f'run_{x}'].iloc[0]} (share of its depth)")
    axes.tick_params(axis="x", rotation=90)
    style.head(figure, "How similar are the layers' geometries?", title)
    return figure


def _ticks(table: pd.DataFrame, x: str) -> tuple[list[int], list[str]]:
    """Returns the places and names of some layers of an axis, with their relative depths."""
    depth = table.groupby(f"layer_{x}")[f"depth_{x}"].first()
    places = np.unique(np.linspace(0, len(depth) - 1, MOST_TICKS).round().astype(int))
    return list(places), [f"{depth.index[i]} ({depth.iloc[i]:.0%})" for i in places]


def _mark(axes: Axes, table: pd.DataFrame, square: pd.DataFrame) -> None:
    """Marks the best pair, and the pairs of layers at the same relative depth."""
    same = table[table["same_depth"].astype(bool)]
    x = np.searchsorted(square.columns, same["layer_b"])
    y = np.searchsorted(square.index, same["layer_a"])
    axes.scatter(x, y, s=9, color=style.LIGHT, edgecolors="none", label="same relative depth")
    values = square.to_numpy(dtype=float)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    best: dict[str, Any] = {"marker": "s", "s": 60, "facecolors": "none"}
    label = f"best: {values[row, column]:.2f}"
    axes.scatter(column, row, edgecolors=style.PROPOSED, label=label, **best)
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "fontsize": style.MEDIUM}
    axes.figure.legend(frameon=True, facecolor=style.CONNECTION, labelcolor=style.LIGHT, **place)
