"""The tables of one layer, and of all layers together."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from emoexp.geometry.axes import Axis, axis_rows, valence_of
from emoexp.geometry.components import (
    component_rows,
    coordinate_rows,
    end_rows,
    principal_components,
)
from emoexp.geometry.cosines import cosine_rows
from emoexp.geometry.layer import LayerGeometry
from emoexp.geometry.pairs import extreme_rows, sanity_rows

Frames = dict[str, pd.DataFrame]


def layer_tables(
    geometry: LayerGeometry,
    axes: Sequence[Axis],
    of_run: bool,
    pairs: int,
    draws: int,
    permutations: int,
    seed: int,
) -> Frames:
    """Computes the tables of a layer; that of the run has `cosines` and `coordinates` too.

    Args:
        of_run: whether it is the run's own layer.
        pairs: how many of the nearest and of the most opposed pairs.
        draws, permutations, seed: as `axis_rows` takes them.
    """
    names = geometry.names
    valence = valence_of(axes, len(names))
    found = principal_components(geometry.cosines, valence)
    best, each = axis_rows(geometry.layer, found, axes, draws, permutations, seed)
    place = {"layer": [geometry.layer], "depth": [geometry.depth], "of_run": [of_run]}
    tables = {
        "layers": pd.DataFrame(place),
        "components": component_rows(geometry, found),
        "component_ends": end_rows(geometry, found),
        "axes": best,
        "axis_components": each,
        "pairs": extreme_rows(geometry, pairs),
        "sanity_pairs": sanity_rows(geometry),
    }
    if of_run:
        tables["cosines"] = cosine_rows(names, geometry.cosines)
        tables["coordinates"] = coordinate_rows(names, found, valence)
    return tables


def joined(parts: Sequence[Frames]) -> Frames:
    """Puts the tables of several layers below one another, by name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: pd.concat([part[name] for part in parts if name in part], ignore_index=True)
        for name in names
    }
