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
    ends, intact = (dict(list(table.groupby(["set", "strength"]))) for table in (maps, unbroken))
    lines = []
    for strength in dict.fromkeys(maps["strength"]):
        emotions, isotropic = (EMOTIONS, strength), (ISOTROPIC, strength)
        columns = np.array([probes.index(name) for name in ends[emotions]["direction"]])
        own = cells(_values(ends[emotions], probes)).at(columns)
        null = cells(_values(ends[isotropic], probes))
        values, random = _values(intact[emotions], probes), _values(intact[isotropic], probes)
        finite = np.isfinite(values).all(1)
        statistics = {
            "own": (own.value, null.value),
            "rank": (own.rank, null.rank),
            "unbroken": (values[finite, columns[finite]], random[np.isfinite(random).all(1)]),
        }
        line: dict[str, float] = {"strength": strength, "n": len(columns)}
        for name, (of_emotions, of_random) in statistics.items():
            line |= _summary(name, of_emotions, of_random, draws, seed)
        lines.append(line)
    return pd.DataFrame(lines)


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
