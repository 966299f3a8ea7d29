"""How well stories determine an emotion's vector: split halves, and a curve over the number of
stories.

Groups of stories (extraction.py) are split at random into two disjoint parts, the same groups for
every emotion, and vectors are fitted from each part as from the whole: centred over the emotions,
neutral components projected out, unit norm. The cosine of an emotion's two vectors says how far
other stories of the same kind would give the same vector; its null is the cosine of different
emotions' vectors across the same parts.

A group's mean weighs by its stories. Where a topic has several stories, both parts hold stories
about it, so nothing is said of topics that the corpus lacks. Bands over splits show how much the
choice of stories matters; since all splits share one corpus, they are no confidence intervals.
"""

from __future__ import annotations

import numpy as np

from emoexp.errors import EmoexpError
from emoexp.stats.reliability import Splits
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.vectors import directions_of

LEAST_GROUPS = 4
"""With fewer, half of an emotion's stories is one group, and there is no curve."""


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
