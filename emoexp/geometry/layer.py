"""Cosines of the emotion vectors of one layer, with those of resampled stories and of shuffled
labels.

Vectors of resampled stories show how much the choice of stories matters; vectors of shuffled labels
show what these stories give by the same method where the labels carry nothing. Both are fitted by
the steps of the emotion vectors, centring included, so whatever centring does to a statistic is
done to its interval and to its null too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emoexp.errors import EmoexpError
from emoexp.stats.intervals import LEVEL
from emoexp.vectors.controls import each_shuffle
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.reliability import check_groups
from emoexp.vectors.vectors import EmotionVectors, directions_of

AT_ONCE = 20
"""Resamples whose means are in memory together."""
NEAR_ONE = 1 - 1e-12


@dataclass(frozen=True)
class LayerGeometry:
    """Cosines between the emotion vectors of one layer.

    Attributes:
        layer: the 0-based block.
        depth: share of the blocks up to and with it.
        names: the emotions.
        cosines: (emotion, emotion), float64.
        resampled: the same from resampled stories; (draw, emotion, emotion).
        shuffled: the same from shuffled labels; (draw, emotion, emotion).
    """

    layer: int
    depth: float
    names: tuple[str, ...]
    cosines: np.ndarray
    resampled: np.ndarray
    shuffled: np.ndarray


def layer_geometry(
    vectors: EmotionVectors,
    n_layers: int,
    groups: StoryGroups,
    components: np.ndarray,
    resamples: np.random.Generator,
    shuffles: np.random.Generator,
    draws: tuple[int, int],
) -> LayerGeometry:
    """Computes the cosines of one layer, and draws those of its controls.

    Args:
        n_layers: blocks of the model.
        groups: the stories of the layer, in groups.
        components: neutral components, which are projected out; (component, d_model).
        resamples, shuffles: the generators of both kinds of draws.
        draws: how many of each kind.

    Raises:
        EmoexpError: as `check_groups` and `directions_of` do.
    """
    check_groups(groups, "a geometry")
    resampled = resampled_directions(groups, components, draws[0], resamples)
    shuffled = each_shuffle(groups, components, draws[1], shuffles)
    return LayerGeometry(
        layer=vectors.layer,
        depth=(vectors.layer + 1) / n_layers,
        names=vectors.names,
        cosines=vectors.directions @ vectors.directions.T,
        resampled=np.stack([one @ one.T for one in resampled]),
        shuffled=np.stack([one @ one.T for one in shuffled]),
    )


def resampled_directions(
    groups: StoryGroups, components: np.ndarray, draws: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields vectors fitted from resampled groups of stories; (emotion, d_model) each.

    The same groups are drawn for every emotion: group g holds stories on the same topics where
    the emotions share their topics, so a resample is one of topics.
    """
    means = groups.means.astype(np.float64)
    for taken in np.array_split(draw_groups(groups.counts, draws, rng), -(-draws // AT_ONCE)):
        weights = taken[None] * groups.counts[:, None].astype(np.float64)
        weights /= weights.sum(2, keepdims=True)
        for drawn in np.matmul(weights, means).transpose(1, 0, 2):
            yield directions_of(drawn, components, groups.emotions)


def draw_groups(counts: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draws how many times each group is taken, with replacement; (draw, group).

    A draw that leaves an emotion without stories is drawn again.

    Args:
        counts: stories in each group; (emotion, group).

    Raises:
        EmoexpError: most draws leave an emotion without stories.
    """
    filled = np.flatnonzero(counts.sum(0))
    taken = np.zeros((4 * draws, counts.shape[1]), dtype=np.int64)
    even = np.full(len(filled), 1 / len(filled))
    taken[:, filled] = rng.multinomial(len(filled), even, 4 * draws)
    whole = taken[(taken @ counts.T > 0).all(1)]
    if len(whole) < draws:
        raise EmoexpError(
            "most resamples of the stories leave an emotion without any, since the numbers of"
            " stories per emotion differ too much: set scale.stories_per_emotion to the smallest"
        )
    return whole[:draws]


def story_interval(cosine: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95 % interval of cosines over the stories: low and high.

    It is of the cosine that other corpora of the same size would give. A resample holds some
    stories twice, so its vectors are noisier than those of the corpus and its cosines lie nearer
    to 0. The interval therefore has the spread of the resamples, and its middle is shifted to the
    cosine that was measured: percentiles of arctanh, less their median, around the arctanh of the
    cosine, so that no end leaves -1 to 1.

    Args:
        cosine: (...).
        resampled: (draw, ...).
    """
    centre, drawn = (np.arctanh(np.clip(c, -NEAR_ONE, NEAR_ONE)) for c in (cosine, resampled))
    low, middle, high = np.quantile(drawn, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=0)
    return np.tanh(centre + low - middle), np.tanh(centre + high - middle)
