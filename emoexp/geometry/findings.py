"""What the tables of a geometry say: numbers at the run's layer, and sentences over the layers.

A component carries an axis at a layer if, of the leading five, it correlates most with the ratings,
and the search null has p < .05 there. Neighbouring layers share most of their residual stream, so
counts of layers are not counts of independent tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emoexp.geometry.axes import AROUSAL, FEWEST, VALENCE
from emoexp.geometry.pairs import NEAREST, OPPOSED, SANITY_PAIRS, measured_pairs

SIGNIFICANT = 0.05
TOP = 5
"""Components whose shares are summed, as gemotions does."""
REPORTED = {
    VALENCE: (1, "gemotions reports PC1 at each of 11 layers, with shares of .32 to .39"),
    AROUSAL: (2, "the paper reports r = .66 for PC2, gemotions that its PC2 is not arousal"),
}
"""By axis: the component that published results are about, and what they are."""


def metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Returns the numbers at the run's layer."""
    here = {
        name: at_layer(tables[name], run_layer(tables))
        for name in ("components", "axes", "pairs", "sanity_pairs")
    }
    shares, axes, pairs = here["components"], here["axes"], here["pairs"]
    found = {f"pc{i}_share": x for i, x in enumerate(shares["share"].iloc[:3], 1)}
    found["top5_share"] = shares["share"].iloc[:TOP].sum()
    found["pc1_share_shuffled_high"] = shares["shuffled_high"].iloc[0]
    for row in axes.to_dict("records"):
        found |= {f"{row['axis']}_{key}": row[key] for key in ("component", "r", "p", "n")}
    for kind in (NEAREST, OPPOSED):
        found[f"{kind}_cosine"] = pairs[pairs["kind"] == kind]["cosine"].iloc[0]
    found["sanity_pairs_measured"] = len(here["sanity_pairs"])
    found["sanity_pairs_hold"] = here["sanity_pairs"]["holds"].sum()
    return {name: float(value) for name, value in found.items()}


def notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Returns what the layers together show, and what is not measured."""
    n = len(tables["coordinates"])
    return [
        *(axis_note(tables, axis) for axis in (VALENCE, AROUSAL)),
        share_note(tables["components"]),
        *sanity_notes(tables),
        f"centring makes the cosines of {n} emotions average about -1/{n - 1} = {-1 / (n - 1):.3f},"
        " under shuffled labels too",
    ]


def run_layer(tables: Mapping[str, pd.DataFrame]) -> int:
    """Returns the run's own layer."""
    layers = tables["layers"]
    return int(layers["layer"][layers["of_run"].astype(bool)].iloc[0])


def at_layer(table: pd.DataFrame, layer: int) -> pd.DataFrame:
    """Returns the rows of a layer."""
    return table[table["layer"] == layer]


def carriers(axes: pd.DataFrame, axis: str) -> pd.Series:
    """Returns the component that carries an axis, by layer; 0 where none does."""
    rows = axes[axes["axis"] == axis].set_index("layer")
    return rows["component"].where(rows["p"] < SIGNIFICANT, 0).astype(int)


def axis_note(tables: Mapping[str, pd.DataFrame], axis: str) -> str:
    """Says which components carry an axis and at how many layers, beside what is published; or why
    the axis is not measured."""
    rows = tables["axes"][tables["axes"]["axis"] == axis]
    if rows.empty:
        return _not_measured(tables["coordinates"], axis)
    asked, published = REPORTED[axis]
    carried = carriers(tables["axes"], axis)
    source, n = rows["source"].iloc[0], rows["n"].iloc[0]
    text = (
        f"{axis} ({source}, n = {n}): PC{asked} carries it at {(carried == asked).sum()} of"
        f" {len(carried)} layers (largest |r| of the leading five, p < {SIGNIFICANT:g})"
    )
    if (carried == asked).any():
        r = rows["r"][carried.eq(asked).to_numpy()]
        components = tables["components"]
        there = components["layer"].isin(carried.index[carried == asked])
        share = components["share"][there & (components["component"] == asked)]
        text += (
            f", |r| {r.min():.2f} to {r.max():.2f}, with shares of the variance of"
            f" {share.min():.2f} to {share.max():.2f}"
        )
    others = carried[(carried != asked)].value_counts().sort_index(ascending=False)
    for component, layers in others.items():
        text += f"; {f'PC{component}' if component else 'none of the five'} at {layers}"
    return f"{text}; {published}"


def _not_measured(coordinates: pd.DataFrame, axis: str) -> str:
    norms = "name human norms that have it with emotions.norms"
    if axis == AROUSAL:
        return f"{AROUSAL} is not measured: what gives valence says nothing about it; {norms}"
    return (
        f"{VALENCE} is not measured: the pack has no two signs, or the sign of fewer than {FEWEST}"
        f" of the {len(coordinates)} emotions; {norms}"
    )


def share_note(components: pd.DataFrame) -> str:
    """Says at how many layers the first component explains more than under shuffled labels."""
    first = components[components["component"] == 1]
    beyond = first["share"] > first["shuffled_high"]
    return (
        f"PC1 explains {first['share'].min():.2f} to {first['share'].max():.2f} of the variance;"
        f" more than 97.5 % of shuffled labels at {beyond.sum()} of {len(first)} layers"
    )


def sanity_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says at how many layers each sanity pair holds, and which pairs are not measured."""
    table, found = tables["sanity_pairs"], []
    names, layers = list(tables["coordinates"]["emotion"]), len(tables["layers"])
    measured = measured_pairs(names)
    if measured:
        sided = np.where(table["expected"] > 0, table["low"], -table["high"]) > 0
        held = table.assign(sided=sided).groupby(["a", "b"])[["holds", "sided"]].sum()
        counts = ", ".join(
            f"{pair} {held['holds'][pair.a, pair.b]} ({held['sided'][pair.a, pair.b]})"
            for pair in measured
        )
        found.append(
            f"sanity pairs, at how many of {layers} layers each holds (and at how many its interval"
            f" over stories lies on the expected side of 0): {counts}"
        )
    if lacking := [str(pair) for pair in SANITY_PAIRS if pair not in measured]:
        found.append(
            "sanity pairs not measured, since an emotion of theirs is not among the"
            f" {len(names)} of this run: {', '.join(lacking)}"
        )
    return found
