"""Pairs of emotions: the nearest, the most opposed, and five of which the sign is expected.

Intervals are over stories (see `story_interval`). Those of the nearest and the most opposed pairs
are of the pair as such: that it was chosen for its cosine is paid for by the null, which is the
pair of the same rank in each set of vectors of shuffled labels.

Vectors of shuffled labels are mixtures of stories of all emotions. Where stories differ along few
dimensions, the mixtures lie in them too, and their cosines spread widely: the null is then hard to
pass, and a pair that does not hold may still have an interval on the expected side of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from emoexp.geometry.cosines import pair_values
from emoexp.geometry.layer import LayerGeometry, story_interval
from emoexp.stats.intervals import central

NEAREST, OPPOSED = "nearest", "opposed"


class SanityPair(NamedTuple):
    """Two emotions, and the sign that their cosine should have."""

    a: str
    b: str
    expected: int

    def __str__(self) -> str:
        return f"{self.a}/{self.b}"


SANITY_PAIRS = (
    SanityPair("happy", "joyful", 1),
    SanityPair("angry", "furious", 1),
    SanityPair("happy", "sad", -1),
    SanityPair("calm", "panicked", -1),
    SanityPair("loving", "disgusted", -1),
)
"""The sanity checks of the reproduction on Llama-3.2-1B (longyi07, April 2026)."""


def measured_pairs(names: Sequence[str]) -> list[SanityPair]:
    """Returns the sanity pairs of which both emotions are among `names`."""
    return [pair for pair in SANITY_PAIRS if pair.a in names and pair.b in names]


def _numbers(geometry: LayerGeometry, i: int, j: int, null: np.ndarray) -> dict[str, float]:
    """Returns the cosine of a pair, its interval over stories, and the central 95 % of `null`."""
    cosine = geometry.cosines[i, j]
    low, high = story_interval(cosine, geometry.resampled[:, i, j])
    ends = {"cosine": float(cosine), "low": float(low), "high": float(high)}
    return ends | central(null).columns("shuffled")


def extreme_rows(geometry: LayerGeometry, most: int) -> pd.DataFrame:
    """Returns the `most` nearest and the `most` opposed pairs, the extreme one first.

    Beside the cosine and its interval over stories is the central 95 % of the cosine of the pair of
    that rank under shuffled labels.
    """
    pairs = np.transpose(np.triu_indices(len(geometry.names), 1))
    order = pairs[np.argsort(pair_values(geometry.cosines), kind="stable")]
    drawn = np.sort(pair_values(geometry.shuffled))
    rows = []
    for kind, ranked, null in ((NEAREST, order[::-1], drawn[:, ::-1]), (OPPOSED, order, drawn)):
        for rank, (i, j) in enumerate(ranked[:most], 1):
            place = {"layer": geometry.layer, "kind": kind, "rank": rank}
            named = {"a": geometry.names[i], "b": geometry.names[j]}
            rows.append(place | named | _numbers(geometry, i, j, null[:, rank - 1]))
    return pd.DataFrame(rows)


SANITY = (
    *("layer", "a", "b", "expected", "cosine", "low", "high"),
    *("shuffled_low", "shuffled_high", "holds"),
)


def sanity_rows(geometry: LayerGeometry) -> pd.DataFrame:
    """Returns each sanity pair that is measured, and whether it holds: the cosine has the expected
    sign and lies beyond the central 95 % under shuffled labels on that side (SANITY)."""
    rows = []
    for pair in measured_pairs(geometry.names):
        i, j = geometry.names.index(pair.a), geometry.names.index(pair.b)
        row = _numbers(geometry, i, j, geometry.shuffled[:, i, j])
        above, below = max(0, row["shuffled_high"]), min(0, row["shuffled_low"])
        holds = row["cosine"] > above if pair.expected > 0 else row["cosine"] < below
        rows.append({"layer": geometry.layer} | pair._asdict() | row | {"holds": holds})
    return pd.DataFrame(rows, columns=list(SANITY))
