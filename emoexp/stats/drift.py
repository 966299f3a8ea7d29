"""Statistics of drift: own probe, its rank, and how often texts degenerate, by strength."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emoexp.stats.intervals import wilson_share
from emoexp.stats.labels import EMOTIONS, ISOTROPIC
from emoexp.stats.matched_pairs import cells, mean_of, random_pairs

REASONS = ("repetition", "surprise")
LEAST = 2
"""Directions that a mean with an interval needs."""


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
        ends, intact = (
            {
                label: table[(table["set"] == label) & (table["strength"] == strength)]
                for label in (EMOTIONS, ISOTROPIC)
            }
            for table in (maps, unbroken)
        )
        columns = np.array([probes.index(name) for name in ends[EMOTIONS]["direction"]])
        own = cells(_values(ends[EMOTIONS], probes)).at(columns)
        noise = cells(_values(ends[ISOTROPIC], probes))
        kept_values, random = (_values(intact[label], probes) for label in (EMOTIONS, ISOTROPIC))
        kept = np.isfinite(kept_values).all(1)
        measured = {
            "own": (own.value, noise.value),
            "rank": (own.rank, noise.rank),
            "unbroken": (
                kept_values[kept, columns[kept]],
                random[np.isfinite(random).all(1)],
            ),
        }
        line: dict[str, float] = {"strength": strength, "n": len(columns)}
        for name, (values, null) in measured.items():
            line |= _summary(name, values, null, draws, seed)
        lines.append(line)
    return pd.DataFrame(lines)


def _values(table: pd.DataFrame, probes: list[str]) -> np.ndarray:
    return np.ascontiguousarray(table[probes].to_numpy(dtype=np.float64))


def _summary(
    name: str, values: np.ndarray, null: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    keys = (name, *(f"{name}_{end}" for end in ("ci_low", "ci_high", "null_low", "null_high")))
    if min(len(values), len(null)) < LEAST:
        return dict.fromkeys(keys, np.nan)
    mean = mean_of(values, draws, seed)
    noise = random_pairs(null, len(values), draws, seed)
    return dict(zip(keys, (mean.value, *mean.interval, *noise.interval), strict=True))


def degenerate_shares(transcripts: pd.DataFrame) -> pd.DataFrame:
    """Counts the texts that degenerate, by set and strength, with Wilson intervals of the share.

    The unsteered texts' count is false alarms.
    """
    lines = []
    for (label, strength), part in transcripts.groupby(["set", "strength"], sort=False):
        count, n = int((part["degenerates_at"] >= 0).sum()), len(part)
        interval, why = wilson_share(count, n), part["why"].value_counts()
        lines.append(
            {
                "directions": label,
                "strength": strength,
                "texts": n,
                "degenerate": count,
                "ci_low": interval.low,
                "ci_high": interval.high,
                **{f"by_{reason}": int(why.get(reason, 0)) for reason in REASONS},
                "median_perplexity": float(part["perplexity"].median()),
                "mean_tokens": float(part["tokens"].mean()),
            }
        )
    return pd.DataFrame(lines)
