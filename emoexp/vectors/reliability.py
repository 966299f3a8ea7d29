"""Vectors from parts of the stories: split halves, and a curve over the number of stories.

Groups of stories (extraction.py) are split at random into two disjoint parts, the same groups for
every emotion, and vectors are fitted from each part as from the whole: centred over the emotions,
neutral components projected out, unit norm. The cosine of an emotion's two vectors shows how far
other stories of the same kind would give the same vector; its null is the cosine of different
emotions' vectors across the same parts.

A group's mean has the weight of its number of stories. Where a topic has several stories, both
parts hold stories about it, so the cosine shows nothing about topics that the corpus lacks. Bands
over splits show how much the choice of stories matters; since all splits share one corpus, they
are not confidence intervals.
"""

from __future__ import annotations

import numpy as np

from emoexp.errors import EmoexpError
from emoexp.stats.reliability import Splits
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.vectors import directions_of

LEAST_GROUPS = 4
"""Least number of groups: with fewer, half of an emotion's stories is one group, and there is no
curve."""
LEAST_EMOTIONS = 3
"""Least number of emotions: two centred vectors always point opposite ways, so that neither tells
itself from another, and they have no geometry."""


def check_groups(groups: StoryGroups, what: str = "reliability") -> None:
    """Checks that the groups suffice for split halves, or to be resampled; `what` they are for is
    in the message.

    Raises:
        EmoexpError: an emotion has fewer than four groups of stories, or there are fewer than three
            emotions.
    """
    filled = (groups.counts > 0).sum(1)
    if (least := int(filled.min())) < LEAST_GROUPS:
        raise EmoexpError(
            f"{groups.emotions[int(filled.argmin())]!r} has {least} group(s) of stories longer than"
            f" the skip: {what} needs at least {LEAST_GROUPS}; give more stories, raise"
            " scale.stories_per_emotion, or leave the emotion out with emotions.names"
        )
    if len(filled) < LEAST_EMOTIONS:
        raise EmoexpError(
            f"{what} needs at least {LEAST_EMOTIONS} emotions, not {len(filled)}: choose more with"
            " emotions=..."
        )


def draw_parts(
    counts: np.ndarray, m: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws two disjoint parts of each emotion's groups, as weights; each (emotion, group).

    All emotions share one random order of the groups, so that a part holds the same topics for
    each. Weights are proportional to story counts and sum to 1.

    Args:
        counts: stories in each group; (emotion, group).
        m: groups in a part; None is half of the emotion's groups (an odd one is left out).

    Raises:
        ValueError: `m` is not between 1 and half of the number of an emotion's groups.
    """
    order = rng.permutation(counts.shape[1])
    first, second = np.zeros(counts.shape), np.zeros(counts.shape)
    for e, stories in enumerate(counts):
        filled = order[stories[order] > 0]
        take = len(filled) // 2 if m is None else m
        if not 1 <= take <= len(filled) // 2:
            raise ValueError(
                f"two disjoint parts of {take} groups cannot be drawn from {len(filled)}"
            )
        for weights, part in ((first, filled[:take]), (second, filled[take : 2 * take])):
            weights[e, part] = stories[part] / stories[part].sum()
    return first, second


def split(
    groups: StoryGroups, components: np.ndarray, m: int | None, splits: int, seed: int
) -> Splits:
    """Fits vectors from random pairs of disjoint parts, and compares them.

    Args:
        components: neutral components, which are projected out; (component, d_model).
        m: groups in a part; None is half of each emotion's groups.
        splits: how many pairs of parts are drawn.

    Raises:
        EmoexpError: as `check_groups` does, or as `directions_of` does.
    """
    check_groups(groups)
    rng = np.random.default_rng(seed)
    means = groups.means.astype(np.float64)
    cosines = []
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
    """Splits into parts of 1, 2, 4, ... groups, up to half of the fewest that an emotion has."""
    check_groups(groups)
    half = int((groups.counts > 0).sum(1).min()) // 2
    sizes = sorted({2**k for k in range(half.bit_length())} | {half})
    return [split(groups, components, m, splits, seed) for m in sizes]
