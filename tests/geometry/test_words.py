"""A bag of words beside the residuals' geometry."""

from __future__ import annotations

import numpy as np
import pytest

from emoexp.geometry.words import NO_LAYER, word_groups, word_notes, word_tables
from emoexp.stories.corpus import Corpus, Story
from emoexp.vectors.vectors import directions_of

EMOTIONS = tuple(f"e{i}" for i in range(8))
TOPICS = [f"topic{t} of{t} that{t}" for t in range(8)]


def corpus(own: bool, seed: int = 0) -> Corpus:
    """Eight emotions, a story of each on each of eight topics, of filler words and of its topic's;
    with `own`, of two words of its emotion too."""
    rng = np.random.default_rng(seed)
    stories = []
    for emotion in EMOTIONS:
        for topic in TOPICS:
            filler = " ".join(f"w{k}" for k in rng.integers(0, 200, 30))
            text = f"{topic} {filler} {f'{emotion}a {emotion}b' if own else ''}"
            stories.append(Story(emotion=emotion, topic=topic, text=text))
    return Corpus(name="made", author="a test", stories=tuple(stories), neutral=("x", "y"))


def test_groups_are_those_of_the_residuals() -> None:
    groups = word_groups(corpus(True), EMOTIONS, None)
    assert groups.layer == NO_LAYER
    assert groups.counts.shape[0] == 8
    assert (groups.counts[:, :8] == 1).all()
    assert groups.counts[:, 8:].sum() == 0
    norms = np.linalg.norm(groups.means, axis=2)
    np.testing.assert_allclose(norms[:, :8], 1, rtol=1e-6)
    assert (norms[:, 8:] == 0).all()
    assert word_groups(corpus(True), EMOTIONS, 5).counts.sum() == 40


def test_words_of_an_emotion_are_told_and_filler_is_not() -> None:
    cosines = np.eye(8)[None] + np.random.default_rng(1).uniform(0, 0.1, (1, 8, 8))
    cosines = (cosines + cosines.transpose(0, 2, 1)) / 2
    found = {}
    for own in (True, False):
        groups = word_groups(corpus(own), EMOTIONS, None)
        found[own] = word_tables(groups, [3], cosines, (3, 20, 100), 0)
    told, chance = (found[own]["words"].iloc[0] for own in (True, False))
    assert told["top1"] > 0.6
    assert told["top1"] > told["shuffled_top1_high"]
    assert chance["top1"] < 0.35
    assert "layer" not in found[True]["words"]
    assert found[True]["word_similarity"]["layer"].tolist() == [3]


def test_the_similarity_with_words_is_one_for_the_words_own_cosines() -> None:
    groups = word_groups(corpus(False), EMOTIONS, None)
    means = groups.means[:, :8].astype(np.float64).mean(1)
    own = directions_of(means, np.zeros((0, means.shape[1])), EMOTIONS)
    tables = word_tables(groups, [0, 1], np.stack([own @ own.T] * 2), (2, 20, 100), 0)
    rho = tables["word_similarity"]
    assert rho["rho"].tolist() == pytest.approx([1, 1])
    assert (rho["rho"] > rho["null_high"]).all()
    by_layer = tables["words"].assign(layer=0)
    said = word_notes({**tables, "held_out_by_layer": by_layer})
    assert "more than that at 0 of 1 layers" in said[0]
    assert "rho 1.00 to 1.00, beyond permuted names at 2 of 2 layers" in said[1]
