"""What is rejected and what is not: every form of an emotion's name, and no other word; refusals,
and no first-person stories."""

from __future__ import annotations

import csv

import pytest

from emoexp.stimuli import BUNDLED
from emoexp.stories.corpus import Corpus, Story
from emoexp.stories.reject import forms, is_refusal, names_emotion, sift

FILLER = (
    "the cart went down the lane and somebody closed the gate behind it while rain fell on the"
    " roof "
)


def long(text: str = "", n: int = 80) -> str:
    return f"{text} " + " ".join((FILLER * 6).split()[:n])


def all_171() -> list[str]:
    with (BUNDLED / "emoexp" / "emotions.csv").open(encoding="utf-8", newline="") as handle:
        return [row["emotion"] for row in csv.DictReader(handle)]


@pytest.mark.parametrize(
    ("emotion", "words"),
    [
        ("happy", "happy happily happiness happier happiest HAPPY"),
        ("angry", "angry angrily angrier angriest anger"),
        ("amazed", "amazed amaze amazes amazing amazingly amazement"),
        ("terrified", "terrified terrify terrifies terrifying terror"),
        ("satisfied", "satisfied satisfy satisfaction satisfying"),
        ("proud", "proud proudly prouder proudest pride"),
        ("sad", "sad sadly sadder saddest sadness"),
        ("trapped", "trapped trap trapping traps"),
        ("panicked", "panicked panic panicking panics"),
        ("scared", "scared scare scares scaring scary"),
        ("loving", "loving love loves loved lovingly"),
        ("hopeful", "hopeful hopefully hopefulness hope hopes hoped hoping"),
        ("content", "content contentment contented contentedly"),
        ("kind", "kind kindly kindness kinder"),
        ("excited", "excited excitedly excitement exciting excite"),
        ("frustrated", "frustrated frustration frustrating"),
        ("inspired", "inspired inspire inspiration inspiring"),
        ("depressed", "depressed depression depressing"),
        ("calm", "calm calmly calmer calmness calmed calming"),
        ("upset", "upset upsets upsetting"),
        ("ecstatic", "ecstatic ecstatically ecstasy"),
        ("hostile", "hostile hostility"),
        ("vulnerable", "vulnerable vulnerability vulnerably"),
        ("defiant", "defiant defiantly defiance"),
        ("patient", "patient patiently patience"),
        ("lonely", "lonely lonelier loneliness"),
        ("at ease", "at ease|At  ease|at\nease"),
        ("worn out", "worn out|worn-out"),
        ("grief-stricken", "grief-stricken|grief stricken|grief\u2011stricken|grief"),
        ("self-conscious", "self-conscious|self-consciously|self-consciousness"),
    ],
)
def test_every_form_of_the_name_is_found(emotion: str, words: str) -> None:
    for word in words.split("|") if "|" in words else words.split():
        assert names_emotion(f"Then (as they said) {word}, and went on.", emotion), word
        assert not names_emotion(f"Then un{word}x went on.", emotion), word


@pytest.mark.parametrize(
    ("emotion", "sentence"),
    [
        ("content", "She tipped out the contents of the box and read the content of the letter."),
        ("kind", "It was a kind of porch. There were two kinds."),
        ("patient", "The patients waited."),
        ("bored", "He bore the crate up the steps. The board was wet, and the boar ran."),
        ("scared", "A scar ran over his hand, and there were other scars."),
        ("tired", "The tires hissed on the wet road."),
        ("pleased", "Please sit, she said."),
        ("thankful", "Thank you, she said."),
        ("spiteful", "In spite of the rain they went."),
        ("playful", "The band would play at nine; they played two plays."),
        ("happy", "I am unhappy. What happened? It was perhaps a mishap."),
        ("sad", "The saddle lay on the sand."),
        ("mad", "She made a nomad's tent, madam."),
        ("hope", "The hopper was full."),
        ("loving", "He put on gloves, by the clover."),
        ("angry", "He ran up the gangway; the angle was steep."),
        ("at ease", "With ease she put it at the easel."),
        ("self-critical", "A critical moment came."),
    ],
)
def test_no_other_word_is(emotion: str, sentence: str) -> None:
    assert not names_emotion(sentence, emotion)


def test_each_of_the_171_is_found_by_its_own_name_and_hardly_any_by_anothers() -> None:
    """Found through another's name is only a word of the same family (hope, hopeful)."""
    names = all_171()
    assert len(names) == 171
    for name in names:
        assert names_emotion(f"They were {name.upper()}.", name)
        if " " not in name:
            assert len(forms(name)) >= 3, name
    crossed = {(a, b) for a in names for b in names if a != b and names_emotion(b, a)}
    assert crossed == {("hopeful", "hope"), ("hope", "hopeful")}


def test_the_organisms_own_stories_all_count(corpus: Corpus) -> None:
    kept, rejected = sift(corpus.stories)
    assert len(corpus.stories) == 1536
    assert rejected == ()
    assert kept == corpus.stories


def test_reasons_and_that_nothing_is_lost() -> None:
    stories = [
        Story("happy", "t", long("one")),
        Story("happy", "t", "   \n"),
        Story("happy", "t", "I'm sorry, but I can't write this story."),
        Story("sad", "t", long("Happily two")),
        Story("happy", "t", long("happily three")),
        Story("sad", "t", long("ONE,").replace(" ", "  ")),
        Story("", "t", long("happy")),
    ]
    kept, rejected = sift(stories)
    assert [s.text for s in kept] == [stories[i].text for i in (0, 3, 6)]
    assert [(r.story, r.reason) for r in rejected] == list(
        zip(
            [stories[i] for i in (1, 2, 4, 5)],
            ["empty", "refusal", "names_emotion", "duplicate"],
            strict=True,
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "I can't write stories about that.",
        "I cannot fulfill your request.",
        "I can\u2019t help with that.",
        "As an AI, I have no feelings.",
        "As an AI language model I must decline.",
        "I'm sorry, but I can't do that.",
        "I am sorry, but as an AI I will not.",
        "Sorry, but I can't.",
        "I'm unable to create this content.",
        "I won't write a story that shows this.",
        "I apologize, but I cannot continue.",
        "**I'm sorry, but I can't assist with that.**",
        "Unfortunately, I cannot provide such content.",
        "I am unable to help with your request.",
    ],
)
def test_refusals_are_told(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't believe the letter came today.",
        "I can't stop pacing.",
        "I cannot feel my hands.",
        "\"I'm sorry, but I can't stay,\" she said.",
        "I can't help smiling.",
        "I'm unable to sleep.",
        "As an artist, he knew the light.",
        "I won't go back there.",
        "I am sorry I ever came here.",
        "I can't help with the dishes tonight, my arm is in a cast.",
        "I'm sorry for the noise, he wrote.",
        "As a child she had counted them.",
    ],
)
def test_stories_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)
