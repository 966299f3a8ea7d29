"""Which principal component carries valence, and which arousal (paper, "The geometry of the emotion
vectors").

The component that correlates most, in size, with people's ratings is searched for among the leading
five. The null pays for the search: ratings are permuted over the emotions, and the largest |r| of
the five is taken at each permutation. The bootstrap resamples emotions and keeps the component that
was found and its scores, so the interval is of that component's r and does not pay for the search;
it is of r in the direction of its sign, so that it can reach below 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.geometry.components import PrincipalComponents
from emoexp.stats.intervals import (
    LEVEL,
    central,
    correlate_columns,
    p_value,
    resampled_correlations,
)
from emoexp.stimuli.norms import Norms

SEARCHED = 5
"""Leading components that are searched."""
FEWEST = 3
"""Fewest rated emotions of an axis."""
VALENCE, AROUSAL = "valence", "arousal"
SIGNS = "signs of the pack"
"""The source of valence where there are no human norms: +1 and -1."""
AXES = ("layer", "axis", "component", "r", "low", "high", "n", "null_high", "p", "source")
AXIS_COMPONENTS = ("layer", "axis", "component", "r")


@dataclass(frozen=True)
class Axis:
    """What emotions are rated on.

    Attributes:
        name: VALENCE or AROUSAL.
        ratings: NaN where there is none; (emotion,).
        source: where they are from.
    """

    name: str
    ratings: np.ndarray
    source: str

    def __post_init__(self) -> None:
        known = self.ratings[self.known]
        if len(known) < FEWEST:
            raise EmoexpError(
                f"{self.name} ({self.source}) is known of {len(known)} of the {len(self.ratings)}"
                f" emotions: at least {FEWEST} are needed for an axis"
            )
        if np.ptp(known) == 0:
            raise EmoexpError(
                f"{self.name} ({self.source}) is {known[0]:g} for all {len(known)} emotions that"
                " have it: an axis needs two different values"
            )

    @property
    def known(self) -> np.ndarray:
        """Tells which emotions are rated; (emotion,), bool."""
        return np.isfinite(self.ratings)


def rated_axes(
    norms: Norms | None, emotions: Sequence[str], pack_valence: Mapping[str, float]
) -> list[Axis]:
    """Returns the axes that can be measured: valence and arousal of human norms where there are
    some, as far as they have them, else the signs of the pack's valence.

    A pack that has the sign of too few of the emotions, or one sign only, gives no axis.

    Raises:
        EmoexpError: all rated emotions have one rating.
    """

    def values(known: Mapping[str, float]) -> np.ndarray:
        return np.array([known.get(e, np.nan) for e in emotions])

    if norms is not None:
        both = ((VALENCE, norms.valence), (AROUSAL, norms.arousal))
        return [Axis(name, values(known), norms.layout) for name, known in both if known]
    signs = np.sign(values(pack_valence))
    known = signs[np.isfinite(signs)]
    if len(known) < FEWEST or np.ptp(known) == 0:
        return []
    return [Axis(VALENCE, signs, SIGNS)]


def valence_of(axes: Sequence[Axis], n: int) -> np.ndarray:
    """Returns the ratings of valence, NaN for all `n` emotions where it is not measured; (n,)."""
    return next((axis.ratings for axis in axes if axis.name == VALENCE), np.full(n, np.nan))


def axis_rows(
    layer: int,
    found: PrincipalComponents,
    axes: Sequence[Axis],
    draws: int,
    permutations: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Finds the component of each axis.

    Args:
        draws, permutations: of the bootstrap interval, and of the null.

    Returns:
        One row per axis (AXES), and one row per axis and searched component, with its signed r
        (AXIS_COMPONENTS).
    """
    best, every = [], []
    searched = found.scores[:, :SEARCHED][:, found.shares[:SEARCHED] > 1e-9]  # with any variance
    for axis in axes:
        scores, ratings = searched[axis.known], axis.ratings[axis.known]
        r = correlate_columns(scores, ratings)
        every += [(layer, axis.name, i + 1, float(value)) for i, value in enumerate(r)]
        i = int(np.abs(r).argmax())
        again = resampled_correlations(scores[:, [i]], ratings, draws, seed)[:, 0] * np.sign(r[i])
        chance = searched_null(scores, ratings, permutations, seed)
        p = p_value(abs(r[i]), chance)
        null_high = float(np.quantile(chance, LEVEL))
        row = (layer, axis.name, i + 1, float(abs(r[i])), *central(again), len(ratings))
        best.append((*row, null_high, p, axis.source))
    return pd.DataFrame(best, columns=list(AXES)), pd.DataFrame(
        every, columns=list(AXIS_COMPONENTS)
    )


def searched_null(
    scores: np.ndarray, ratings: np.ndarray, permutations: int, seed: int
) -> np.ndarray:
    """Returns the largest |r| of all components with permuted ratings; (permutation,).

    Args:
        scores: (emotion, component).
        ratings: (emotion,).
    """
    rng = np.random.default_rng(seed)
    permuted = np.stack([rng.permutation(ratings) for _ in range(permutations)], axis=1)
    return np.asarray(np.abs(correlate_columns(scores, permuted)).max(0))
