"""Rankings of the emotions by their mean projection over texts, and how rankings of two sets agree.

raw: the mean projection as it is. Vectors are centred over the emotions' stories, residuals are
    not, so it ranks the emotions by where the mean of the texts lies relative to the stories' mean:
    most of it is the same for any text.
centred: raw minus that of the neutral texts, read in the same way.
contrast: raw minus the mean over the sets of a run, where there are several; what all texts share
    cancels. (Of two sets one is the other's negative, so their contrasts have no correlation.)
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from emoexp.stats.intervals import central, p_value, rank_columns
from emoexp.stats.labels import ISOTROPIC, PERMUTED_EMOTIONS, SHUFFLED

NEUTRAL = "neutral texts"
"""The name of the set that is subtracted."""
RAW, CENTRED, CONTRAST, COSINE = "raw", "centred", "contrast", "cosine"
SHORT = {ISOTROPIC: "isotropic", SHUFFLED: "shuffled", PERMUTED_EMOTIONS: "permuted"}
"""Names of the nulls in columns."""
NUMBERS = ("set", "group", "documents", "passages")
"""Columns of the table of groups that are not emotions."""
DRAWS_AT_ONCE = 200


def emotions_of(groups: pd.DataFrame) -> list[str]:
    """Returns the emotions of a table of groups."""
    return [str(name) for name in groups.columns if name not in NUMBERS]


def sets_of(groups: pd.DataFrame) -> list[str]:
    """Returns the names of the sets in a table of groups, without the neutral texts."""
    return [str(name) for name in groups["set"].unique() if name != NEUTRAL]


class Means:
    """Mean projections over passages of every set, with their resamples over documents.

    Attributes:
        emotions: in the order of the arrays.
        sets: names, without the neutral texts.
    """

    def __init__(self, groups: pd.DataFrame, draws: int, seed: int) -> None:
        """Reads a table of groups of documents: set, group, documents, passages, and the mean
        projection on each emotion.

        Args:
            draws: bootstrap resamples; each set is resampled by itself.

        Raises:
            ValueError: a set has a single document, so that there is no interval.
        """
        self.emotions, self.sets = emotions_of(groups), sets_of(groups)
        streams = np.random.SeedSequence(seed).spawn(len(self.sets) + 1)
        self._drawn: dict[str, np.ndarray] = {}
        for name, stream in zip([NEUTRAL, *self.sets], streams, strict=True):
            part = groups[groups["set"] == name]
            if len(part) < 2:
                raise ValueError(f"the set {name!r} has one document, so there is no interval")
            weights = part["passages"].to_numpy(dtype=np.float64)
            values = part[self.emotions].to_numpy(dtype=np.float64)
            self._drawn[name] = _resampled(values, weights, draws, np.random.default_rng(stream))

    def of(self, name: str, column: str) -> np.ndarray:
        """Returns a set's means in one column; (1 + draw, emotion), the first row as measured."""
        raw = self._drawn[name]
        if column == CENTRED:
            return np.asarray(raw - self._drawn[NEUTRAL])
        if column == CONTRAST:
            return np.asarray(raw - np.mean([self._drawn[s] for s in self.sets], axis=0))
        return raw


def _resampled(
    values: np.ndarray, weights: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Weighted means of the rows, as they are and over their resamples; (1 + draw, column)."""
    n = len(values)
    parts = [(weights @ values / weights.sum())[None]]
    for start in range(0, draws, DRAWS_AT_ONCE):
        counts = rng.multinomial(n, np.full(n, 1 / n), min(DRAWS_AT_ONCE, draws - start)) * weights
        parts.append(counts @ values / counts.sum(1, keepdims=True))
    return np.concatenate(parts)


def ranking(
    projection: pd.DataFrame, cosine: pd.DataFrame, nulls: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Ranks the emotions in each set.

    Args:
        projection, cosine: tables of groups.
        nulls: mean projections of each set (the neutral texts too) on null directions, a row for
            each draw: set, null, draw, and one column for each emotion's place.

    Returns:
        one row per set and emotion, by raw rank: for each of raw, centred, contrast (of several
        sets) and cosine the mean (`raw`), its 95 % interval over documents (`raw_low`, `raw_high`)
        and its rank, 1 the highest (`raw_rank`) with an interval; and the central 95 % of raw and
        centred means on null directions (`raw_isotropic_low`, ...).
    """
    means = Means(projection, draws, seed)
    several = [CONTRAST] if len(means.sets) > 1 else []
    cosines = Means(cosine, draws, seed)
    rows = []
    for name in means.sets:
        columns: dict[str, np.ndarray | float] = {}
        for column in (RAW, CENTRED, *several):
            columns |= _columns(column, means.of(name, column))
        columns |= _columns(COSINE, cosines.of(name, COSINE))
        for column in (RAW, CENTRED):
            for label, drawn in null_means(nulls, name, column).items():
                columns |= central(drawn.ravel()).columns(f"{column}_{SHORT[label]}")
        part = pd.DataFrame({"set": name, "emotion": means.emotions, **columns})
        rows.append(part.sort_values("raw_rank"))
    return pd.concat(rows, ignore_index=True)


def _columns(column: str, drawn: np.ndarray) -> dict[str, np.ndarray | float]:
    """The columns of one read-out, from its means (1 + draw, emotion)."""
    ranks = rankdata(-drawn, axis=1, method="min")
    low, high = np.quantile(drawn[1:], [0.025, 0.975], axis=0)
    first, last = np.quantile(ranks[1:], [0.025, 0.975], axis=0)
    return {
        column: drawn[0],
        f"{column}_low": low,
        f"{column}_high": high,
        f"{column}_rank": ranks[0].astype(int),
        f"{column}_rank_low": first,
        f"{column}_rank_high": last,
    }


def null_means(nulls: pd.DataFrame, name: str, column: str) -> dict[str, np.ndarray]:
    """Returns a set's means on null directions by label, raw or centred; (draw, place)."""
    found = {}
    places = [c for c in nulls.columns if c not in ("set", "null", "draw")]
    for label, part in nulls.groupby("null", sort=False):
        by_set = {s: rows[places].to_numpy(dtype=np.float64) for s, rows in part.groupby("set")}
        found[str(label)] = by_set[name] - (by_set[NEUTRAL] if column == CENTRED else 0.0)
    return found


def agreement(
    projection: pd.DataFrame,
    cosine: pd.DataFrame,
    nulls: pd.DataFrame,
    draws: int,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Correlates the rankings of every two sets.

    Returns:
        set_a, set_b, column (raw, centred or cosine), rho (Spearman's over the emotions), its 95 %
        interval over resamples of both sets' documents, and for each null (emotions permuted;
        isotropic directions and vectors of shuffled labels in the emotions' place; the cosine has
        the first only) its central 95 % and p, the share of draws that agree as well or better;
        n, the emotions.
    """
    means, cosines = Means(projection, draws, seed), Means(cosine, draws, seed)
    rows = []
    for a, b in combinations(means.sets, 2):
        for column in (RAW, CENTRED, COSINE):
            source = cosines if column == COSINE else means
            drawn = rank_columns(source.of(a, column).T, source.of(b, column).T)
            first, second = source.of(a, column)[0], source.of(b, column)[0]
            null = {PERMUTED_EMOTIONS: permuted(first, second, permutations, seed)}
            if column != COSINE:
                of_a, of_b = (null_means(nulls, name, column) for name in (a, b))
                null |= {label: rank_columns(of_a[label].T, of_b[label].T) for label in of_a}
            row = {"set_a": a, "set_b": b, "column": column, "rho": float(drawn[0])}
            row |= central(drawn[1:]).columns() | _null_columns(null, float(drawn[0]))
            rows.append(row | {"n": len(means.emotions)})
    return pd.DataFrame(rows)


def _null_columns(null: Mapping[str, np.ndarray], rho: float) -> dict[str, float]:
    """The range of each null, and p: the share of its draws at `rho` or above."""
    found = dict[str, float]()
    for label, drawn in null.items():
        found |= central(drawn).columns(SHORT[label]) | {f"{SHORT[label]}_p": p_value(rho, drawn)}
    return found


def permuted(first: np.ndarray, second: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Returns rho with the emotions of the second set permuted; (draw,)."""
    rng = np.random.default_rng(seed)
    columns = np.stack([rng.permutation(second) for _ in range(n)], axis=1)
    return rank_columns(columns, first)
