"""Statistics of split halves: how well stories determine a vector, and how many are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emoexp.stats.intervals import bootstrap, central
from emoexp.stats.own_probe import own_ranks

FURTHEST = 16
"""Extrapolation stops at this multiple of the stories in the largest part measured."""
MEASURED = "measured"
AT_MOST = "at most: fewer not measured"
EXTRAPOLATED = "extrapolated (Spearman-Brown)"
NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True)
class Splits:
    """Cosines between the vectors of disjoint parts of the stories.

    Attributes:
        cosines: [s, e, f] is the cosine of e's vector from the first part with f's from the second;
            (split, emotion, emotion).
        stories: stories in one part, as expected over splits; (emotion,).
        groups: groups in one part, of the emotion that has the fewest.
    """

    cosines: np.ndarray
    stories: np.ndarray
    groups: int

    @property
    def own(self) -> np.ndarray:
        """Returns the cosines of each emotion with itself; (split, emotion)."""
        return np.asarray(np.diagonal(self.cosines, axis1=1, axis2=2))

    @property
    def others(self) -> np.ndarray:
        """Returns the cosines of all pairs of different emotions; (pair,)."""
        return np.asarray(self.cosines[:, ~np.eye(self.cosines.shape[1], dtype=bool)]).ravel()

    def above_chance(self) -> bool:
        """Tells whether the mean over emotions lies above its null.

        The null is the central 95 % of the mean when emotions are matched with other emotions.
        """
        n = self.cosines.shape[1]
        shifts = np.arange(len(self.cosines)) % (n - 1) + 1
        emotion = np.arange(n)
        pairs = zip(self.cosines, shifts, strict=True)
        matched = np.array([c[emotion, (emotion + shift) % n].mean() for c, shift in pairs])
        return bool(self.own.mean() > central(matched).high)


def spearman_brown(r: float, factor: float) -> float:
    """Returns the cosine expected between vectors of `factor` times as many stories.

    It assumes that a part's vector is one signal plus noise that is independent between stories and
    shrinks with their number: r(n) = s^2 / (s^2 + noise^2 / n). The cosine is that with a vector
    from as many other stories; its square root is that with the vector of endless stories.

    Raises:
        ValueError: r is not in (0, 1], so that there is no signal to extrapolate.
    """
    if not 0 < r <= 1 + 1e-9:
        raise ValueError(f"Spearman-Brown needs a cosine in (0, 1], not {r}")
    return factor * r / (1 + (factor - 1) * r)


def own_half_ranks(cosines: np.ndarray) -> np.ndarray:
    """Ranks an emotion's own other part among all emotions' other parts, from either part; 1 is the
    nearest; (2 x split, emotion)."""
    return own_ranks(np.concatenate([cosines, cosines.transpose(0, 2, 1)]))


def by_emotion(halves: Splits, names: Sequence[str], counts: np.ndarray) -> pd.DataFrame:
    """Computes the split-half reliability of each vector.

    Returns:
        one row per emotion: mean cosine and central 95 % over splits, the Spearman-Brown estimate
        for all its stories (empty where there is no signal to extrapolate), the null, and how the
        own other half ranks (chance: 1 / emotions).
    """
    ranks, total = own_half_ranks(halves.cosines), counts.sum(1)
    signal = halves.above_chance()
    rows = []
    for e, name in enumerate(names):
        own, others = halves.own[:, e], _cosines_with_others(halves, e)
        r = float(own.mean())
        rows.append(
            {
                "emotion": name,
                "stories": int(total[e]),
                "stories_in_half": float(halves.stories[e]),
                "split_half": r,
                **central(own).columns(),
                "all_stories": (
                    spearman_brown(r, total[e] / halves.stories[e]) if signal and r > 0 else None
                ),
                "null": float(others.mean()),
                **central(others).columns("null"),
                "identified": float((ranks[:, e] == 1).mean()),
                "mean_rank": float(ranks[:, e].mean()),
            }
        )
    return pd.DataFrame(rows)


def _cosines_with_others(halves: Splits, e: int) -> np.ndarray:
    """Cosines of emotion `e` with all other emotions, from either part; (2 x split x other,)."""
    first = np.delete(halves.cosines[:, e], e, 1).ravel()
    second = np.delete(halves.cosines[:, :, e], e, 1).ravel()
    return np.concatenate([first, second])


def stability(points: Sequence[Splits]) -> pd.DataFrame:
    """Returns the curve: the cosine of disjoint parts against stories per emotion, and its null.

    Cosines are means and central 95 % over splits and emotions. `spearman_brown` is the prediction
    from the last point for each point: where it leaves the curve, extrapolation is off too. Without
    signal there is no such column.
    """
    rows = []
    for point in points:
        rows.append(
            {
                "groups": point.groups,
                "stories": float(point.stories.mean()),
                "cosine": float(point.own.mean()),
                **central(point.own.ravel()).columns(),
                "null": float(point.others.mean()),
                **central(point.others).columns("null"),
            }
        )
    table, last = pd.DataFrame(rows), points[-1]
    if last.above_chance():
        factors = [n / last.stories.mean() for n in table["stories"]]
        table["spearman_brown"] = [spearman_brown(float(last.own.mean()), f) for f in factors]
    return table


class Needed(NamedTuple):
    """A number of stories, and how it is known: MEASURED, AT_MOST or EXTRAPOLATED."""

    stories: int
    how: str


def stories_for(stories: np.ndarray, cosines: np.ndarray, target: float) -> Needed:
    """Returns the smallest number of stories per emotion whose mean cosine reaches `target`.

    Inside the curve it is interpolated, linearly over log stories (a few per cent too many where
    the curve bends); beyond it, extrapolated by Spearman-Brown.

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
        between = stories[i - 1] * (stories[i] / stories[i - 1]) ** share
        return Needed(int(np.ceil(between - 1e-9)), MEASURED)
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
    """Estimates the stories per emotion that each target cosine needs; one row per target.

    Beside the number are its 95 % bootstrap interval over emotions (low, high) and how it is known.
    `cosine_to_limit` is the square root of the target (see `spearman_brown`). What is not estimable
    is NaN.
    """
    stories = np.array([p.stories.mean() for p in points])
    per_emotion = np.array([p.own.mean(0) for p in points])
    rows = []
    for target in targets:
        row: dict[str, Any] = {"cosine": target, "cosine_to_limit": float(np.sqrt(target))}
        row |= {"stories": np.nan, "low": np.nan, "high": np.nan, "how": NOT_ESTIMABLE}
        try:
            if points[-1].above_chance():
                needed = stories_for(stories, per_emotion.mean(1), target)
                row |= needed._asdict()
                if needed.how != AT_MOST:
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
