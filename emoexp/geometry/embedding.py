"""A map of the emotion vectors in two dimensions by UMAP (McInnes et al. 2018), which is optional:
the extra `geometry` brings umap-learn.

UMAP keeps neighbours together. Distances between far groups, and the axes, mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import pandas as pd

UMAP = "UMAP"
NEIGHBOURS = 15
"""Neighbours of each emotion, as in umap-learn; fewer where there are fewer emotions."""
FEWEST = 5
"""Fewest emotions from which umap-learn starts without an error."""


MISSING = "not drawn: UMAP (pip install 'emoexp[geometry]')"


def why_not(n: int) -> str | None:
    """Returns why no map of `n` emotions can be drawn, as a note; None if it can."""
    if find_spec("umap") is None:
        return MISSING
    return too_few(n)


def too_few(n: int) -> str | None:
    """Returns why no map of `n` emotions can be drawn even with the package; None if it can."""
    return f"not drawn: UMAP of {n} emotions (at least {FEWEST})" if n < FEWEST else None


def umap_coordinates(names: Sequence[str], vectors: np.ndarray, seed: int) -> pd.DataFrame:
    """Computes the places of the emotions on the map, the same for the same vectors and seed.

    Args:
        vectors: (emotion, d_model); they are compared by cosine.

    Returns:
        one row per emotion: emotion, x, y, method.
    """
    from umap import UMAP as Reducer

    neighbours = min(NEIGHBOURS, len(names) - 1)
    reducer = Reducer(metric="cosine", n_neighbors=neighbours, random_state=seed, n_jobs=1)
    places = reducer.fit_transform(np.asarray(vectors, np.float64))
    columns = {"emotion": list(names), "x": places[:, 0], "y": places[:, 1]}
    return pd.DataFrame(columns).assign(method=UMAP)


def with_umap(coordinates: pd.DataFrame, vectors: np.ndarray, seed: int) -> pd.DataFrame:
    """Adds the map to a table of coordinates that has one row per emotion, in their order; returns
    the table as it is where the map cannot be drawn."""
    if why_not(len(coordinates)):
        return coordinates
    places = umap_coordinates(list(coordinates["emotion"]), vectors, seed)
    added = coordinates.assign(**{name: places[name].to_numpy() for name in ("x", "y", "method")})
    return pd.concat([coordinates, added], ignore_index=True)


def without_umap(coordinates: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of a table of coordinates that are not of the map."""
    return coordinates[coordinates["method"] != UMAP].reset_index(drop=True)


def umap_notes(coordinates: pd.DataFrame) -> list[str]:
    """Says why a table of coordinates has no map, where it has none."""
    if (coordinates["method"] == UMAP).any():
        return []
    return [too_few(coordinates["emotion"].nunique()) or MISSING]
