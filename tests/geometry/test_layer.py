"""Cosines from resampled stories and from shuffled labels: what is planted comes back, intervals
cover, and too few stories are one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.geometry.layer import (
    LayerGeometry,
    draw_groups,
    layer_geometry,
    resampled_directions,
    story_interval,
)
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.reliability import check_groups
from emoexp.vectors.vectors import EmotionVectors, directions_of

NAMES = ("happy", "joyful", "sad", "calm", "panicked", "bored", "proud", "tired")
WIDTH = 40
NOTHING = np.zeros((0, WIDTH))


def planted(directions: np.ndarray, noise: float, seed: int = 0, groups: int = 16) -> StoryGroups:
    """Stories of one group each: the direction of the emotion, and noise of its own."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((len(directions), groups, WIDTH)) * noise / np.sqrt(WIDTH)
    means = (directions[:, None] + drawn).astype(np.float32)
    counts = np.ones(means.shape[:2], dtype=np.int64)
    return StoryGroups(NAMES[: len(directions)], means, counts, 3)


def vectors_of(groups: StoryGroups) -> EmotionVectors:
    weights = groups.counts / groups.counts.sum(1, keepdims=True)
    means = np.einsum("eg,egd->ed", weights, groups.means.astype(np.float64))
    directions = directions_of(means, NOTHING, groups.emotions)
    return EmotionVectors(groups.emotions, directions, groups.layer, 1.0, 0, {})


def geometry_of(groups: StoryGroups, draws: tuple[int, int] = (100, 60)) -> LayerGeometry:
    rngs = (np.random.default_rng(0), np.random.default_rng(1))
    return layer_geometry(vectors_of(groups), 8, groups, NOTHING, *rngs, draws)


def random_directions(n: int = len(NAMES), seed: int = 5) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((n, WIDTH))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def test_cosines_are_those_of_the_vectors_and_controls_are_fitted_alike() -> None:
    groups = planted(random_directions(), 0.5)
    found = geometry_of(groups)
    directions = vectors_of(groups).directions
    np.testing.assert_allclose(found.cosines, directions @ directions.T)
    assert (found.layer, found.depth) == (3, 0.5)
    for drawn, n in ((found.resampled, 100), (found.shuffled, 60)):
        assert drawn.shape == (n, 8, 8)
        np.testing.assert_allclose(np.diagonal(drawn, axis1=1, axis2=2), 1)
        off = drawn[:, ~np.eye(8, dtype=bool)]
        assert off.mean() == pytest.approx(-1 / 7, abs=0.02), "centring is in the controls too"
    near = np.abs(found.resampled.mean(0) - found.cosines).max()
    far = np.abs(found.shuffled.mean(0) - found.cosines)[~np.eye(8, dtype=bool)].max()
    assert near < 0.1 < far


def test_a_resample_takes_the_same_groups_for_every_emotion() -> None:
    """What all stories of a group share cancels, however often the group is taken."""
    groups = planted(random_directions(), 0.0)
    topics = 30 * np.random.default_rng(2).standard_normal((1, 16, WIDTH)).astype(np.float32)
    shared = StoryGroups(groups.emotions, groups.means + topics, groups.counts, 3)
    for drawn in resampled_directions(shared, NOTHING, 5, np.random.default_rng(0)):
        np.testing.assert_allclose(drawn, vectors_of(groups).directions, atol=1e-4)


def test_a_resample_weighs_groups_by_their_stories(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = planted(random_directions(3), 1.0, groups=4)
    counts = np.array([[1, 2, 3, 4], [1, 1, 1, 1], [2, 2, 2, 2]])
    groups = StoryGroups(groups.emotions, groups.means, counts, 3)
    taken = np.array([[2, 0, 1, 1]])
    monkeypatch.setattr("emoexp.geometry.layer.draw_groups", lambda *_: taken)
    means = np.stack(
        [
            np.average(m, axis=0, weights=w)
            for m, w in zip(groups.means, counts * taken, strict=True)
        ]
    )
    [found] = resampled_directions(groups, NOTHING, 1, np.random.default_rng(0))
    np.testing.assert_allclose(found, directions_of(means, NOTHING, NAMES), atol=1e-6)


def test_draws_leave_no_emotion_without_stories_and_take_no_empty_group() -> None:
    counts = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 2, 2, 2, 2, 0]])
    taken = draw_groups(counts, 50, np.random.default_rng(0))
    assert taken.shape == (50, 7)
    assert (taken.sum(1) == 6).all()
    assert (taken[:, 6] == 0).all()
    assert (taken @ counts.T > 0).all()
    with pytest.raises(EmoexpError, match="most resamples of the stories leave an emotion without"):
        draw_groups(np.eye(12, dtype=np.int64), 50, np.random.default_rng(0))


def test_the_interval_covers_what_other_corpora_of_that_size_give() -> None:
    """300 corpora of one plan: the interval of each holds the mean cosine of all of them in about
    95 of 100, although the noise is large enough that resamples lie nearer to 0."""
    directions = random_directions(4)
    directions[1] = 0.9 * directions[0] + 0.1 * directions[1]
    corpora = [planted(directions, 3.0, seed, groups=20) for seed in range(300)]
    pair = np.array([(v @ v.T)[0, 1] for v in (vectors_of(c).directions for c in corpora)])
    held, unshifted = 0, 0
    for corpus, cosine in zip(corpora, pair, strict=True):
        drawn = resampled_directions(corpus, NOTHING, 100, np.random.default_rng(0))
        resampled = np.array([(v @ v.T)[0, 1] for v in drawn])
        low, high = story_interval(cosine, resampled)
        assert low <= cosine <= high
        held += low <= pair.mean() <= high
        ends = np.quantile(resampled, [0.025, 0.975])
        unshifted += ends[0] <= pair.mean() <= ends[1]
    assert 0.88 * 300 < held < 0.99 * 300
    assert unshifted < held, "percentiles as they are lie too near to 0"


def test_the_interval_keeps_its_ends_within_one() -> None:
    low, high = story_interval(np.array([0.999, -1.0]), np.array([[0.9, -1.0], [0.99, -1.0]] * 50))
    assert (low >= -1).all()
    assert (high <= 1).all()
    assert low[0] < 0.999 < high[0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 1, 1, 1]] * 2, "at least 3 emotions, not 2"),
        ([[1] * 4, [1] * 4, [1, 1, 1, 0]], "'sad' has 3 group.s. of stories .* needs at least 4"),
    ],
)
def test_too_few_stories_or_emotions_are_one_line(
    counts: Sequence[Sequence[int]], message: str
) -> None:
    table = np.array(counts)
    with pytest.raises(EmoexpError, match=message):
        check_groups(StoryGroups(NAMES[: len(table)], np.zeros((*table.shape, 2)), table, 0))
