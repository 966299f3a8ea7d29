"""How a comparison looks in the terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emoexp.views.formats import laid_out, numbers

STEPS = 10
"""Depths of each run that the terminal shows, at most."""


def summary_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Lays out the best pair of layers, two thirds of the depth, and the mean over same depths."""
    return laid_out(
        summary,
        "layers = pair; a = layer_a:.0f; b = layer_b:.0f; rho = rho:z.3f; 95 % = low..high:z.3f;"
        " permuted names 95 % = null_low..null_high:z.3f; p = p:.2g; n",
    )


def depth_table(layers: pd.DataFrame) -> pd.DataFrame:
    """Lays out rho at STEPS depths of each run, from shallow to deep."""
    square = layers.pivot(index="layer_a", columns="layer_b", values="rho")
    depths = [layers.groupby(f"layer_{x}")[f"depth_{x}"].first() for x in ("a", "b")]
    rows, columns = (shown(depth.to_numpy()) for depth in depths)
    table = pd.DataFrame({"a": [_name(depths[0], i) for i in rows]})
    for j in columns:
        table[_name(depths[1], j)] = numbers(square.iloc[rows, j], "z.2f")
    return table


def shown(depths: np.ndarray) -> list[int]:
    """Returns the places of the depths nearest to 1/STEPS, 2/STEPS, ..., 1; all of a few."""
    if len(depths) <= STEPS:
        return list(range(len(depths)))
    steps = np.arange(1, STEPS + 1) / STEPS
    return [int(place) for place in np.unique(np.abs(depths - steps[:, None]).argmin(1))]


def _name(depths: pd.Series, place: int) -> str:
    return f"{depths.index[place]} ({depths.iloc[place]:.0%})"
