"""Statistics of split halves: how well stories determine a vector, and how many it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emoexp.stats.intervals import bootstrap, central

FURTHEST = 16
"""Extrapolation stops at this multiple of the stories in the largest part measured."""
MEASURED, AT_MOST, EXTRAPOLATED, NOT_ESTIMABLE = (
    "measured",
    "at most: fewer not measured",
    "extrapolated (Spearman-Brown)",
    "not estimable",
)


@dataclass(frozen=True)
class Splits:
    """Vectors of disjoint parts, compared.

    Attributes:
        cosines: [s, e, f] is the cosine of e's vector from the first part with f's from the second;
            (split, emotion, emotion).
        stories: stories in one part, as expected over splits; (emotion,).
        groups: groups in one part; of the emotion that has the fewest.
    """

    cosines: np.ndarray
    stories: np.ndarray
    groups: int

    @property
    def own(self) -> np.ndarray:
        """An emotion with itself; (split, emotion)."""
        return np.asarray(np.diagonal(self.cosines, axis1=1, axis2=2))

    @property
    def others(self) -> np.ndarray:
        """Different emotions, all of them; (pair,)."""
        return np.asarray(self.cosines[:, ~np.eye(self.cosines.shape[1], dtype=bool)]).ravel()

    def above_chance(self) -> bool:
        """Whether the mean over emotions lies above the central 95 % that it has when emotions are
        matched with other emotions."""
        n = self.cosines.shape[1]
        shifts = np.arange(len(self.cosines)) % (n - 1) + 1
        emotion = np.arange(n)
        matched = np.array(
            [
                c[emotion, (emotion + shift) % n].mean()
                for c, shift in zip(self.cosines, shifts, strict=True)
            ]
        )
        return bool(self.own.mean() > central(matched).high)


def spearman_brown(r: float, factor: float) -> float:
    """The cosine expected between vectors of `factor` times as many stories.

    Assumes that a part's vector is one signal plus noise that is independent between stories and
    shrinks with their number: r(n) = s^2 / (s^2 + noise^2 / n). It is the cosine with a vector from
    as many other stories; its square root is the one with the vector of endless stories. Raises
    ValueError unless 0 < r <= 1: there is no signal to extrapolate.
    """
    if not 0 < r <= 1 + 1e-9:
        raise ValueError(f"Spearman-Brown needs a cosine in (0, 1], not {r}")
    return factor * r / (1 + (factor - 1) * r)


def own_half_ranks(cosines: np.ndarray) -> np.ndarray:
    """Rank of an emotion's own other part among all emotions', 1 the nearest and a tie the worst
    rank that it allows, from either part; (2 x split, emotion)."""
    both = np.concatenate([cosines, cosines.transpose(0, 2, 1)])
    own = np.diagonal(both, axis1=1, axis2=2)
    return np.asarray((~(both < own[:, :, None])).sum(2))


def by_emotion(halves: Splits, names: Sequence[str], counts: np.ndarray) -> pd.DataFrame:
    """Split-half reliability of each vector: mean cosine and central 95 % over splits, the
    Spearman-Brown estimate for all its stories (empty where there is no signal to extrapolate), the
    null beside it, and how the own other half ranks (chance: 1 / emotions).
    """
    ranks, total, signal, rows = (
        own_half_ranks(halves.cosines),
        counts.sum(1),
        halves.above_chance(),
        [],
    )
    for e, name in enumerate(names):
        own = halves.own[:, e]
        others = np.concatenate(
            [
                np.delete(halves.cosines[:, e], e, 1).ravel(),
                np.delete(halves.cosines[:, :, e], e, 1).ravel(),
            ]
        )
        band, null, r = central(own), central(others), float(own.mean())
        rows.append(
            {
                "emotion": name,
                "stories": int(total[e]),
                "stories_in_half": float(halves.stories[e]),
                "split_half": r,
                "low": band.low,
                "high": band.high,
                "all_stories": (
                    spearman_brown(r, total[e] / halves.stories[e]) if signal and r > 0 else None
                ),
                "null": float(others.mean()),
                "null_low": null.low,
                "null_high": null.high,
                "identified": float((ranks[:, e] == 1).mean()),
                "mean_rank": float(ranks[:, e].mean()),
            }
        )
    return pd.DataFrame(rows)


def stability(points: Sequence[Splits]) -> pd.DataFrame:
    """The curve: cosine of disjoint parts, mean and central 95 % over splits and emotions, against
    stories per emotion, and its null.

    `spearman_brown` is what the last point predicts for each: where it leaves the curve,
    extrapolation is off too. Without signal there is no such column.
    """
    rows = []
    for point in points:
        band, null = central(point.own.ravel()), central(point.others)
        rows.append(
            {
                "groups": point.groups,
                "stories": float(point.stories.mean()),
                "cosine": float(point.own.mean()),
                "low": band.low,
                "high": band.high,
                "null": float(point.others.mean()),
                "null_low": null.low,
                "null_high": null.high,
            }
        )
    table, last = pd.DataFrame(rows), points[-1]
    if last.above_chance():
        table["spearman_brown"] = [
            spearman_brown(float(last.own.mean()), n / last.stories.mean())
            for n in table["stories"]
        ]
    return table


class Needed(NamedTuple):
    stories: int
    how: str


def stories_for(stories: np.ndarray, cosines: np.ndarray, target: float) -> Needed:
    """The smallest number of stories per emotion whose mean cosine reaches `target`.

    Inside the curve it is read off, straight between points over log stories (a few per cent too
    many where the curve bends); beyond it, extrapolated by Spearman-Brown.

    Raises:
        ValueError: not estimable: the curve shows no signal, or the answer is further away than
            FURTHEST times its last point.
    """
    reached = np.flatnonzero(cosines >= target)
    if len(reached) and reached[0] == 0:
        return Needed(int(np.ceil(stories[0])), AT_MOST)
    if len(reached):
        i = int(reached[0])
        share = (target - cosines[i - 1]) / (cosines[i] - cosines[i - 1])
        return Needed(
            int(np.ceil(stories[i - 1] * (stories[i] / stories[i - 1]) ** share - 1e-9)), MEASURED
        )
    last = float(cosines[-1])
    factor = target * (1 - last) / (last * (1 - target)) if last > 0 else np.inf
    if factor > FURTHEST:
        raise ValueError(
            f"a cosine of {target} is not estimable from one of {last:.3f} at {stories[-1]:.0f}"
            " stories"
        )
    return Needed(int(np.ceil(stories[-1] * factor - 1e-9)), EXTRAPOLATED)


def stories_needed(
    points: Sequence[Splits], targets: Sequence[float], draws: int, seed: int
) -> pd.DataFrame:
    """One row per target cosine: stories per emotion, their 95 % bootstrap interval over emotions,
    (low, high), and how they are known.

    `cosine_to_limit` is the square root of the target (see `spearman_brown`). What is not estimable
    is NaN.
    """
    stories = np.array([p.stories.mean() for p in points])
    per_emotion = np.array([p.own.mean(0) for p in points])
    rows = []
    for target in targets:
        row: dict[str, Any] = {
            "cosine": target,
            "cosine_to_limit": float(np.sqrt(target)),
            "stories": np.nan,
            "low": np.nan,
            "high": np.nan,
            "how": NOT_ESTIMABLE,
        }
        try:
            if points[-1].above_chance():
                found = stories_for(stories, per_emotion.mean(1), target)
                row |= {"stories": found.stories, "how": found.how}
                if found.how != AT_MOST:
                    row |= _interval(stories, per_emotion, target, draws, seed)
        except ValueError:
            pass  # not estimable: the row says so
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(
    stories: np.ndarray, per_emotion: np.ndarray, target: float, draws: int, seed: int
) -> dict[str, float]:
    """Low and high over resampled emotions; empty if not estimable on most resamples."""
    n = per_emotion.shape[1]

    def count(i: np.ndarray) -> float:
        return stories_for(stories, per_emotion[:, i].mean(1), target).stories

    try:
        return bootstrap(n, count, draws, seed)._asdict()
    except ValueError:
        return {}
