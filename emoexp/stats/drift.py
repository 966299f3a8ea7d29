"""Statistics of drift by strength: the own probe, its rank, and how many texts degenerate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emoexp.stats.intervals import wilson_share
from emoexp.stats.labels import EMOTIONS, ISOTROPIC
from emoexp.stats.matched_pairs import cells, mean_of, random_pairs

REASONS = ("repetition", "surprise")
LEAST = 2
"""Least number of directions for a mean with an interval."""


def rows_by_strength(
    maps: pd.DataFrame, unbroken: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Summarises the emotions' own drift at each strength, beside its null.

    Args:
        maps, unbroken: columns set, direction, strength and one for each probe: at the end of the
            text, and over what has not degenerated.

    Returns:
        one row per strength: n (emotions), and for `own` drift, its `rank` among the probes and own
        drift before a text degenerates (`unbroken`) the mean, _ci_low, _ci_high, _null_low and
        _null_high; NaN where almost every text degenerates at once. The null is a random direction
        read by a random probe.
    """
    probes = [name for name in maps.columns if name not in ("set", "direction", "strength")]
    lines = []
    for strength in dict.fromkeys(maps["strength"]):
        ends, intact = (_rows_of_sets(table, strength) for table in (maps, unbroken))
        columns = np.array([probes.index(name) for name in ends[EMOTIONS]["direction"]])
        line: dict[str, float] = {"strength": strength, "n": len(columns)}
        for name, (values, null) in _own_and_null(ends, intact, probes, columns).items():
            line |= _summary(name, values, null, draws, seed)
        lines.append(line)
    return pd.DataFrame(lines)


def _rows_of_sets(table: pd.DataFrame, strength: float) -> dict[str, pd.DataFrame]:
    """The rows of one strength, by the label of their set."""
    return {
        label: table[(table["set"] == label) & (table["strength"] == strength)]
        for label in (EMOTIONS, ISOTROPIC)
    }


def _own_and_null(
    ends: dict[str, pd.DataFrame],
    intact: dict[str, pd.DataFrame],
    probes: list[str],
    columns: np.ndarray,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The emotions' values (emotion,) and the null's (direction, probe), by the statistic's name.

    Args:
        ends, intact: drift at the end of the text, and over what has not degenerated.
        columns: index of each emotion's own probe; (emotion,).
    """
    own = cells(_values(ends[EMOTIONS], probes)).at(columns)
    null = cells(_values(ends[ISOTROPIC], probes))
    values, random = (_values(intact[label], probes) for label in (EMOTIONS, ISOTROPIC))
    finite = np.isfinite(values).all(1)
    return {
        "own": (own.value, null.value),
        "rank": (own.rank, null.rank),
        "unbroken": (values[finite, columns[finite]], random[np.isfinite(random).all(1)]),
    }


def _values(table: pd.DataFrame, probes: list[str]) -> np.ndarray:
    """The values of the probes' columns; (direction, probe), float64."""
    return np.ascontiguousarray(table[probes].to_numpy(dtype=np.float64))


def _summary(
    name: str, values: np.ndarray, null: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    """Mean, interval and null of one statistic; NaN where there are fewer than `LEAST` rows."""
    keys = (name, *(f"{name}_{end}" for end in ("ci_low", "ci_high", "null_low", "null_high")))
    if min(len(values), len(null)) < LEAST:
        return dict.fromkeys(keys, np.nan)
    mean = mean_of(values, draws, seed)
    noise = random_pairs(null, len(values), draws, seed)
    return dict(zip(keys, (mean.value, *mean.interval, *noise.interval), strict=True))


def degenerate_shares(transcripts: pd.DataFrame) -> pd.DataFrame:
    """Counts the texts that degenerate, by set and strength, with Wilson intervals of the share.

    The count of the unsteered texts is the number of false alarms.
    """
    lines = []
    for (label, strength), part in transcripts.groupby(["set", "strength"], sort=False):
        count, n = int((part["degenerates_at"] >= 0).sum()), len(part)
        by_reason = part["why"].value_counts()
        lines.append(
            {
                "directions": label,
                "strength": strength,
                "texts": n,
                "degenerate": count,
                **wilson_share(count, n).columns("ci"),
                **{f"by_{reason}": int(by_reason.get(reason, 0)) for reason in REASONS},
                "median_perplexity": float(part["perplexity"].median()),
                "mean_tokens": float(part["tokens"].mean()),
            }
        )
    return pd.DataFrame(lines)
