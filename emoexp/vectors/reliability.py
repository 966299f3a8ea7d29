"""How well stories determine an emotion's vector: split halves, and a curve over the number of
stories.

Groups of stories (extraction.py) are split at random into two disjoint parts, the same groups for
every emotion, and vectors are
fitted from each part as from the whole: centred over the emotions, neutral components projected
    out, unit norm. The cosine of
an emotion's two vectors says how far other stories of the same kind would give the same vector; its
null is the cosine of different emotions' vectors across the same parts.

A group's mean weighs by its stories. Where a topic has several stories, both parts hold stories
about it, so nothing is said of topics that the corpus lacks. Bands over splits show how much the
choice of stories matters; since all splits share one corpus, they are no confidence intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.stats.intervals import bootstrap, central
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.vectors import directions_of

LEAST_GROUPS = 4
"""With fewer, half of an emotion's stories is one group, and there is no curve."""
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


def check_groups(groups: StoryGroups) -> None:
    """Raises EmoexpError if an emotion has fewer than four groups of stories, or there are fewer
    than three emotions."""
    held = (groups.counts > 0).sum(1)
    if (least := int(held.min())) < LEAST_GROUPS:
        raise EmoexpError(
            f"{groups.emotions[int(held.argmin())]!r} has {least} group(s) of stories longer than"
            f" the skip: reliability needs at least {LEAST_GROUPS}; give more stories, or raise"
            " scale.stories_per_emotion"
        )
    if len(held) < 3:
        raise EmoexpError(
            f"reliability needs at least 3 emotions, to tell one from the others, not {len(held)}"
        )


def draw_parts(
    counts: np.ndarray, m: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of two disjoint parts of `m` groups of each emotion, or of half its groups (an odd
    one is left out); each (emotion, group).

    One order of the groups serves all emotions, so that a part holds the same topics for each.
    Weights are story counts, summing to 1.
    """
    order = rng.permutation(counts.shape[1])
    first, second = np.zeros(counts.shape), np.zeros(counts.shape)
    for e, held in enumerate(counts):
        filled = order[held[order] > 0]
        take = len(filled) // 2 if m is None else m
        if not 1 <= take <= len(filled) // 2:
            raise ValueError(
                f"two disjoint parts of {take} groups cannot be drawn from {len(filled)}"
            )
        for weights, part in ((first, filled[:take]), (second, filled[take : 2 * take])):
            weights[e, part] = held[part] / held[part].sum()
    return first, second


def split(
    groups: StoryGroups, components: np.ndarray, m: int | None, splits: int, seed: int
) -> Splits:
    """`splits` random pairs of parts of `m` groups (None: half of each emotion's), without the
    neutral `components` (component, d_model)."""
    check_groups(groups)
    rng = np.random.default_rng(seed)
    means, cosines = groups.means.astype(np.float64), []
    for _ in range(splits):
        parts = draw_parts(groups.counts, m, rng)
        first, second = (
            directions_of(np.matmul(w[:, None], means)[:, 0], components, groups.emotions)
            for w in parts
        )
        cosines.append(first @ second.T)
    filled = (groups.counts > 0).sum(1)
    taken = filled // 2 if m is None else np.full(len(filled), m)
    return Splits(np.array(cosines), groups.counts.sum(1) * taken / filled, int(taken.min()))


def curve(groups: StoryGroups, components: np.ndarray, splits: int, seed: int) -> list[Splits]:
    """Parts of 1, 2, 4, ... groups, up to half of what the emotion with the fewest has."""
    check_groups(groups)
    half = int((groups.counts > 0).sum(1).min()) // 2
    sizes = sorted({2**k for k in range(half.bit_length())} | {half})
    return [split(groups, components, m, splits, seed) for m in sizes]


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


def own_ranks(cosines: np.ndarray) -> np.ndarray:
    """Rank of an emotion's own other part among all emotions', 1 the nearest and a tie the worst
    rank that it allows, from either part; (2 x split, emotion)."""
    both = np.concatenate([cosines, cosines.transpose(0, 2, 1)])
    own = np.diagonal(both, axis1=1, axis2=2)
    return np.asarray((~(both < own[:, :, None])).sum(2))


def by_emotion(halves: Splits, groups: StoryGroups) -> pd.DataFrame:
    """Split-half reliability of each vector: mean cosine and central 95 % over splits, the
    Spearman-Brown estimate for all its stories (empty where there is no signal to extrapolate), the
    null beside it, and how the own other half ranks (chance: 1 / emotions).
    """
    ranks, total, signal, rows = (
        own_ranks(halves.cosines),
        groups.counts.sum(1),
        halves.above_chance(),
        [],
    )
    for e, name in enumerate(groups.emotions):
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
