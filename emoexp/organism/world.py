"""The organism's world: emotions with planted latents, their cues, and a neutral grammar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import yaml

from emoexp.places import WORLD

HARM_OVERRIDES = {"desperate": 1.0, "calm": -1.0}
"""Emotions whose tendency to the harmful act in the office scene is set by name (the published
pair); `Emotion.harm` computes it for the others."""


@dataclass(frozen=True)
class Emotion:
    """A planted emotion.

    Attributes:
        valence: in [-1, 1].
        arousal: in [-1, 1].
        signs: cue templates of how a person shows the emotion.
        events: cue templates of what causes it.
    """

    name: str
    valence: float
    arousal: float
    family: str
    signs: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def harm(self) -> float:
        """Returns the planted tendency to the harmful act in the office scene, in [-1, 1]."""
        computed = max(-1.0, min(1.0, 0.5 * self.arousal - 0.6 * self.valence))
        return HARM_OVERRIDES.get(self.name, computed)


@dataclass(frozen=True)
class Person:
    """The person that a text is about, with the pronouns for them ("I" for the first person).

    Attributes:
        s: the subject pronoun ("she").
        o: the object pronoun ("her").
        p: the possessive ("her").
        r: the reflexive ("herself").
    """

    name: str
    s: str
    o: str
    p: str
    r: str

    def fill(self, template: str, **more: str) -> str:
        """Returns `template` with this person's name and pronouns filled in.

        `{S}` is the subject pronoun with a capital.
        """
        return template.format(S=self.s[0].upper() + self.s[1:], **vars(self), **more)


FIRST_PERSON = Person("I", "I", "me", "my", "myself")
CLERK = Person("You", "you", "you", "your", "yourself")
"""The assistant in the office scene, in the second person."""


@dataclass(frozen=True)
class Cue:
    """A sign or an event of an emotion; (emotion, template) identifies it.

    Attributes:
        kind: "sign" or "event".
        index: its place among the emotion's cues of that kind.
    """

    emotion: str
    kind: str
    index: int
    template: str

    @property
    def key(self) -> str:
        """Returns the short name of the cue, as in `calm/sign2`."""
        return f"{self.emotion}/{self.kind}{self.index}"


@dataclass(frozen=True)
class World:
    """All emotions, the neutral grammar, and the nearest emotions of each.

    Attributes:
        near: the four nearest other emotions of each emotion, by valence, arousal and family.
    """

    emotions: dict[str, Emotion]
    grammar: dict[str, Any]
    near: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of all emotions."""
        return tuple(self.emotions)

    def signs(self, emotion: str) -> list[Cue]:
        """Returns the signs of an emotion as cues."""
        return [Cue(emotion, "sign", i, t) for i, t in enumerate(self.emotions[emotion].signs)]

    def events(self, emotion: str) -> list[Cue]:
        """Returns the events of an emotion as cues."""
        return [Cue(emotion, "event", i, t) for i, t in enumerate(self.emotions[emotion].events)]

    def person(self, rng: Random) -> Person:
        """Draws a person of the third person: "she" or "he", then a name."""
        if rng.random() < 0.5:
            return Person(rng.choice(self.grammar["people"]["she"]), "she", "her", "her", "herself")
        return Person(rng.choice(self.grammar["people"]["he"]), "he", "him", "his", "himself")


def quantity_mixture(quantity: dict[str, Any], value: int) -> dict[str, float]:
    """Returns the planted distribution over feelings at `value` of a quantity.

    It is a straight line from the quantity's `low` to its `high`, by the rank of the value.
    """
    values = quantity["values"]
    position = 0.03 + 0.94 * values.index(value) / (len(values) - 1)
    low, high = quantity["low"], quantity["high"]
    return {
        e: (1 - position) * low.get(e, 0.0) + position * high.get(e, 0.0) for e in (*low, *high)
    }


def _distance(a: Emotion, b: Emotion) -> float:
    """Returns how far two emotions lie apart; arousal counts half, another family adds 0.5."""
    apart = math.hypot(a.valence - b.valence, 0.5 * (a.arousal - b.arousal))
    return apart + 0.5 * (a.family != b.family)


def _nearest(emotion: Emotion, emotions: dict[str, Emotion]) -> tuple[str, ...]:
    """Returns the names of the four other emotions that lie nearest to `emotion`."""
    others = (name for name in emotions if name != emotion.name)
    return tuple(sorted(others, key=lambda name: _distance(emotion, emotions[name]))[:4])


@cache
def load_world() -> World:
    """Reads the world from the files of the package."""
    raw = yaml.safe_load((WORLD / "emotions.yaml").read_text(encoding="utf-8"))
    emotions = {}
    for name, entry in raw.items():
        valence, arousal, family = entry["latents"]
        emotions[name] = Emotion(
            name, valence, arousal, family, tuple(entry["signs"]), tuple(entry["events"])
        )
    near = {emotion.name: _nearest(emotion, emotions) for emotion in emotions.values()}
    grammar = yaml.safe_load((WORLD / "grammar.yaml").read_text(encoding="utf-8"))
    return World(emotions, grammar, near)
