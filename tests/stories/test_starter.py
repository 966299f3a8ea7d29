"""The stories that ship: balanced, none names its emotion, none repeats another or the pack."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import yaml

from emoexp.places import CONF
from emoexp.stimuli import load_stimuli
from emoexp.stories.corpus import Corpus, starter_corpus
from emoexp.stories.reject import sift

LONGEST_SHARED = 7
"""Words in a row that two texts may share: a phrase such as "she had to hold on to the"."""


@pytest.fixture(scope="module")
def starter() -> Corpus:
    return starter_corpus()


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def runs(text: str) -> set[str]:
    parts = words(text)
    n = LONGEST_SHARED + 1
    return {" ".join(parts[i : i + n]) for i in range(len(parts) - n + 1)}


def test_every_emotion_has_one_story_on_each_of_the_same_topics(starter: Corpus) -> None:
    screen = yaml.safe_load((CONF / "emotions" / "screen30.yaml").read_text())["names"]
    assert set(starter.by_emotion) == set(screen)
    topics = [story.topic for story in starter.by_emotion["happy"]]
    assert len(set(topics)) == 20
    assert set(topics) <= set(load_stimuli("bundled:emoexp").topics)
    for stories in starter.by_emotion.values():
        assert [story.topic for story in stories] == topics, "story i is about the same topic"
    assert len(starter.neutral) == 80
    assert sum(text.startswith("Human: ") for text in starter.neutral) == 40
    assert "language model" in starter.author


def test_no_story_is_one_that_the_project_rejects(starter: Corpus) -> None:
    accepted, rejected = sift(starter.stories)
    assert len(accepted) == 600 and not rejected


def test_length_does_not_tell_the_emotion(starter: Corpus) -> None:
    lengths = {
        emotion: [len(story.text.split()) for story in stories]
        for emotion, stories in starter.by_emotion.items()
    }
    flat = np.concatenate(list(lengths.values()))
    assert flat.min() >= 110 and flat.max() <= 150
    assert np.ptp([np.mean(n) for n in lengths.values()]) < 0.04 * flat.mean()
    neutral = [len(text.split()) for text in starter.neutral]
    assert min(neutral) >= 110 and max(neutral) <= 150


def test_no_two_texts_share_a_run_of_words_or_many_an_opening(starter: Corpus) -> None:
    texts = [story.text for story in starter.stories] + list(starter.neutral)
    owners = defaultdict[str, set[int]](set)
    for i, text in enumerate(texts):
        for run in runs(text):
            owners[run].add(i)
    assert not {run: sorted(ids) for run, ids in owners.items() if len(ids) > 1}
    openings = Counter(" ".join(words(story.text)[:3]) for story in starter.stories)
    assert max(openings.values()) <= 3


def test_no_story_holds_what_the_pack_asks_about(starter: Corpus) -> None:
    pack = load_stimuli("bundled:emoexp")
    asked = [a.text for a in pack.activities] + [s.text for s in pack.scenarios]
    asked += [template.template for template in pack.numeric]
    in_stories = set[str]().union(*(runs(story.text) for story in starter.stories))
    assert not [text for text in asked if runs(text) & in_stories]
