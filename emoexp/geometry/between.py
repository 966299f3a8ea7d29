"""Similarity of the geometries of two runs: of every layer of one with every layer of the other, by
relative depth (emoexp/geometry/similarity.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emoexp.config import resolve_layer
from emoexp.errors import EmoexpError
from emoexp.geometry.cosines import Cosines
from emoexp.geometry.similarity import (
    FEWEST_COMMON,
    bootstrapped,
    correlate,
    permuted,
)
from emoexp.stats.intervals import central, p_value

BEST, TWO_THIRDS_DEPTH, SAME_DEPTH = "best pair", "two thirds of the depth", "same depth, mean"
"""The pairs of layers that a summary has, as tables name them."""


class Similarity(NamedTuple):
    """How alike two runs are.

    Attributes:
        layers: one row per pair of layers: layer_a, depth_a, layer_b, depth_b, rho, same_depth.
        summary: one row for BEST, TWO_THIRDS_DEPTH and SAME_DEPTH: pair, layer_a, layer_b (NaN for
            the mean), rho, low, high, null_low, null_high, p, n.
    """

    layers: pd.DataFrame
    summary: pd.DataFrame


def common_names(first: Cosines, second: Cosines) -> tuple[str, ...]:
    """Returns the emotions of both, in the order of the first.

    Raises:
        EmoexpError: they are fewer than FEWEST_COMMON.
    """
    names = tuple(name for name in first.names if name in second.names)
    if len(names) < FEWEST_COMMON:
        raise EmoexpError(
            f"{first.model} and {second.model} have {len(names)} emotion(s) in common, of"
            f" {len(first.names)} and {len(second.names)}: at least {FEWEST_COMMON} are needed; run"
            " both with the same emotions=..."
        )
    return names


def same_depth(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs each layer of the run that has fewer with the layer of the other at the nearest depth.

    Args:
        first, second: depths of the layers, ascending.

    Returns:
        places in `first` and in `second`; (pair,) each.
    """
    if len(first) > len(second):
        there, here = same_depth(second, first)
        return here, there
    return np.arange(len(first)), np.abs(first[:, None] - second).argmin(1)


def two_thirds(run: Cosines) -> int:
    """Returns the place of the run's layer nearest to the one that `layer=auto` names."""
    return int(np.abs(np.array(run.layers) - resolve_layer("auto", run.n_layers)).argmin())


def compare(first: Cosines, second: Cosines, *, draws: int, seed: int) -> Similarity:
    """Compares every layer of one run with every layer of the other, over their common emotions.

    The null of the best pair is the best pair of each permutation, since the best of many pairs is
    high by chance too; its interval is that of the pair which is best here. The null and interval
    of the mean over same depths are those of that mean.

    Args:
        draws: permutations of the emotions' names, and resamples of the emotions.

    Raises:
        EmoexpError: fewer than FEWEST_COMMON common emotions.
    """
    names = common_names(first, second)
    a, b = first.only(names), second.only(names)
    rho, null = correlate(a, b), permuted(a, b, draws, seed)
    here, there = same_depth(first.depths(), second.depths())
    best = np.unravel_index(int(rho.argmax()), rho.shape)
    fixed = (two_thirds(first), two_thirds(second))
    places_a, places_b = [best[0], fixed[0], *here], [best[1], fixed[1], *there]
    drawn = bootstrapped(a[places_a], b[places_b], draws, seed)
    rows = [
        _row(BEST, rho[best], drawn[:, 0], null.max((1, 2))),
        _row(TWO_THIRDS_DEPTH, rho[fixed], drawn[:, 1], null[:, fixed[0], fixed[1]]),
        _row(
            SAME_DEPTH, rho[here, there].mean(), drawn[:, 2:].mean(1), null[:, here, there].mean(1)
        ),
    ]
    summary = pd.DataFrame(rows).assign(n=len(names))
    for place, run in ((1, second), (0, first)):
        layers = [run.layers[best[place]], run.layers[fixed[place]], np.nan]
        summary.insert(1, "layer_b" if place else "layer_a", layers)
    return Similarity(_layers(first, second, rho, set(zip(here, there, strict=True))), summary)


def _row(pair: str, rho: float, drawn: np.ndarray, null: np.ndarray) -> dict[str, Any]:
    """Returns a row of the summary, without layers and n."""
    ends = central(drawn).columns() | central(null).columns("null")
    return {"pair": pair, "rho": float(rho), **ends, "p": p_value(float(rho), null)}


def _layers(
    first: Cosines, second: Cosines, rho: np.ndarray, same: set[tuple[int, int]]
) -> pd.DataFrame:
    """Returns one row for each pair of layers."""
    i, j = (places.ravel() for places in np.indices(rho.shape))
    return pd.DataFrame(
        {
            "layer_a": np.array(first.layers)[i],
            "depth_a": first.depths()[i],
            "layer_b": np.array(second.layers)[j],
            "depth_b": second.depths()[j],
            "rho": rho.ravel(),
            "same_depth": [(int(x), int(y)) in same for x, y in zip(i, j, strict=True)],
        }
    )
