"""Control directions: vectors of shuffled labels."""

from __future__ import annotations

import numpy as np
import pytest

from emoexp.vectors.controls import shuffled_directions, shuffled_weights
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.lens import shuffled_lens, within_top

NAMES = ("happy", "sad", "calm", "angry")
NO_COMPONENTS = np.zeros((0, 8))


def groups_of(means: np.ndarray, counts: np.ndarray | None = None) -> StoryGroups:
    n = np.ones(means.shape[:2], dtype=np.int64) if counts is None else counts
    return StoryGroups(NAMES, means.astype(np.float32), n, 3)


def shuffled_means(groups: StoryGroups, seed: int = 0) -> np.ndarray:
    weights = shuffled_weights(groups.counts, np.random.default_rng(seed))
    return np.asarray(weights @ groups.means.reshape(groups.counts.size, -1))


def labelled(n_groups: int) -> np.ndarray:
    """Means whose first dimension is the emotion and whose second is the topic."""
    means = np.zeros((4, n_groups, 8))
    means[:, :, 0] = np.arange(4)[:, None]
    means[:, :, 1] = 10 * np.arange(n_groups)[None, :]
    return means


def test_each_shuffled_emotion_keeps_its_topics_and_loses_its_label() -> None:
    means = labelled(16)
    shuffled = shuffled_means(groups_of(means))
    assert shuffled[:, 1] == pytest.approx(75), "each has every topic once, as before"
    assert shuffled[:, 0].sum() == pytest.approx(6), "no story is lost, none counts twice"
    assert np.abs(shuffled[:, 0] - 1.5).max() < 1, "and no emotion has kept its own"


def test_stories_count_alike_whatever_the_size_of_their_group() -> None:
    means = np.zeros((4, 1, 8))
    means[:, 0, 0] = [1, 2, 3, 4]
    counts = np.array([[1], [2], [3], [4]])
    shuffled = shuffled_means(groups_of(means, counts))
    assert sorted(shuffled[:, 0]) == [1, 2, 3, 4], "one group is its own mean"


def test_an_emotion_with_fewer_groups_keeps_as_many() -> None:
    means, counts = labelled(3), np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [2, 1, 1]])
    shuffled = shuffled_means(groups_of(means, counts))
    assert shuffled[2, 1] == 0, "one group, that of the first topic"
    assert shuffled[1, 1] <= 10
    assert np.isfinite(shuffled).all()


def test_the_draws_differ_and_are_those_of_the_seed() -> None:
    groups = groups_of(np.random.default_rng(1).standard_normal((4, 16, 8)))

    def draw(seed: int) -> np.ndarray:
        return shuffled_directions(groups, NO_COMPONENTS, 3, np.random.default_rng(seed))

    first = draw(0)
    assert first.shape == (3, 4, 8)
    assert np.linalg.norm(first, axis=2) == pytest.approx(1)
    assert np.array_equal(first, draw(0)) and not np.array_equal(first, draw(1))
    assert not np.array_equal(first[0], first[1])


def test_neutral_components_are_projected_out_of_shuffled_vectors_too() -> None:
    groups = groups_of(np.random.default_rng(1).standard_normal((4, 16, 8)))
    component = np.eye(8)[:1]
    drawn = shuffled_directions(groups, component, 2, np.random.default_rng(0))
    assert drawn[..., 0] == pytest.approx(0, abs=1e-12)


def test_the_lens_of_shuffled_vectors_counts_as_the_lens_of_vectors_does() -> None:
    rng = np.random.default_rng(3)
    unembedding, directions = rng.standard_normal((5, 40)), rng.standard_normal((3, 4, 5))
    words = {"happy": [0], "sad": [7], "calm": [11, 12], "angry": [3]}
    pairs = [("happy", "sad"), ("calm", "angry")]
    hits, dots = shuffled_lens(
        lambda d: d @ unembedding, directions, words, pairs, 6, unembedding.shape[1]
    )
    for k, drawn in enumerate(directions):
        lens = drawn @ unembedding
        all_words = within_top(lens, list(words.values()), 6)
        assert hits.iloc[k].tolist() == np.diag(all_words).astype(int).tolist()
        flat = lens - lens.mean(1, keepdims=True)
        assert dots.iloc[k].tolist() == pytest.approx([flat[0] @ flat[1], flat[2] @ flat[3]])
    assert hits["calm"].sum() == 0, "a word of two tokens is never within the top"
    assert list(dots) == ["happy, sad", "calm, angry"]
