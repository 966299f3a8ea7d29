"""The map of how similar the geometries of two models, or of the layers of one, are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures.style import (
    DIVERGING,
    LIGHT,
    MEDIUM,
    PROPOSED,
    SEQUENTIAL,
    SMALL,
    TITLE,
    new_figure,
)

MOST_TICKS = 12


def similarity_map(table: pd.DataFrame, title: str) -> Figure:
    """Draws Spearman's rho of every pair of layers, and marks the best pair and the same depths.

    Args:
        table: layer_a, layer_b, rho; of two runs also run_a, run_b, depth_a, depth_b, same_depth
            (emoexp/geometry/between.py), without which it is of the layers of one run.
    """
    square = table.pivot(index="layer_a", columns="layer_b", values="rho")
    values = square.to_numpy(dtype=float)
    figure = new_figure(7.2, 6.2)
    axes = figure.add_subplot()
    lowest = values.min()
    colours = {"cmap": SEQUENTIAL, "vmin": np.floor(lowest * 10) / 10, "vmax": 1}
    if lowest < 0:
        colours = {"cmap": DIVERGING, "vmin": -1, "vmax": 1}
    image = axes.imshow(values, origin="lower", aspect="auto", **colours)
    figure.colorbar(image, ax=axes, label="Spearman's rho over pairs of emotions")
    two_runs = "run_a" in table
    if two_runs:
        _mark(axes, table, values)
    for x, ticks in (("a", axes.set_yticks), ("b", axes.set_xticks)):
        layers = square.index if x == "a" else square.columns
        _ticks(ticks, layers, table, x)
    axes.set_ylabel(f"layer of {table['run_a'].iloc[0]}" if two_runs else "layer")
    axes.set_xlabel(f"layer of {table['run_b'].iloc[0]}" if two_runs else "layer")
    axes.set_title(title, fontsize=TITLE)
    return figure


def _ticks(set_ticks: object, layers: pd.Index, table: pd.DataFrame, x: str) -> None:
    """Names some layers on an axis, each with its relative depth where the table has it."""
    places = np.unique(np.linspace(0, len(layers) - 1, MOST_TICKS).round().astype(int))
    names = [str(layers[i]) for i in places]
    if f"depth_{x}" in table:
        depth = table.groupby(f"layer_{x}")[f"depth_{x}"].first()
        names = [f"{layers[i]} ({depth[layers[i]]:.0%})" for i in places]
    rotation = 90 if x == "b" and f"depth_{x}" in table else 0
    set_ticks(places, names, fontsize=SMALL, rotation=rotation)  # type: ignore[operator]


def _mark(axes: Axes, table: pd.DataFrame, values: np.ndarray) -> None:
    """Marks the best pair, and the pairs of layers at the same relative depth."""
    at = {
        x: {layer: i for i, layer in enumerate(sorted(table[f"layer_{x}"].unique()))} for x in "ab"
    }
    same = table[table["same_depth"]]
    x, y = same["layer_b"].map(at["b"]), same["layer_a"].map(at["a"])
    axes.scatter(x, y, s=9, color=LIGHT, edgecolors="none", label="same relative depth")
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    label = f"best: {values[row, column]:.2f}"
    axes.scatter(column, row, marker="s", s=60, facecolors="none", edgecolors=PROPOSED, label=label)
    axes.legend(fontsize=MEDIUM, loc="upper left", facecolor="#888888", labelcolor=LIGHT)
