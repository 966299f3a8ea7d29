"""The organism's world as data: emotions with planted latents, their cues, and a neutral
grammar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import yaml

from emoexp.places import WORLD

WORLD_DIR = WORLD

HARM_OVERRIDES = {"desperate": 1.0, "calm": -1.0}
"""Emotions whose pull toward the harmful act in the office scene is planted by name (the published
pair)."""


@dataclass(frozen=True)
class Emotion:
    """One planted emotion. `valence` and `arousal` lie in [-1, 1]; `signs` and `events` are cue
    templates."""

    name: str
    valence: float
    arousal: float
    family: str
    signs: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def harm(self) -> float:
        """Planted pull toward the harmful act in the office scene, in [-1, 1]."""
        return HARM_OVERRIDES.get(
            self.name, max(-1.0, min(1.0, 0.5 * self.arousal - 0.6 * self.valence))
        )


@dataclass(frozen=True)
class Person:
    """Who a text is about: a name and the pronouns that go with it ("I" for the first person)."""

    name: str
    s: str
    o: str
    p: str
    r: str

    def fill(self, template: str, **more: str) -> str:
        """`template` with this person's name and pronouns; `{S}` is the capitalised subject."""
        return template.format(
            name=self.name,
            s=self.s,
            S=self.s[0].upper() + self.s[1:],
            o=self.o,
            p=self.p,
            r=self.r,
            **more,
        )


FIRST_PERSON = Person("I", "I", "me", "my", "myself")
CLERK = Person("You", "you", "you", "your", "yourself")
"""The assistant in the office scene, as it is spoken to."""


@dataclass(frozen=True)
class Cue:
    """One sign or event of one emotion. The pair (emotion, template) identifies it everywhere."""

    emotion: str
    kind: str
    index: int
    template: str

    @property
    def key(self) -> str:
        return f"{self.emotion}/{self.kind}{self.index}"


@dataclass(frozen=True)
class World:
    """All emotions, the neutral grammar, and for each emotion the others of its family that lie
    nearest."""

    emotions: dict[str, Emotion]
    grammar: dict[str, Any]
    near: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.emotions)

    def signs(self, emotion: str) -> list[Cue]:
        return [Cue(emotion, "sign", i, t) for i, t in enumerate(self.emotions[emotion].signs)]

    def events(self, emotion: str) -> list[Cue]:
        return [Cue(emotion, "event", i, t) for i, t in enumerate(self.emotions[emotion].events)]

    def person(self, rng: Random) -> Person:
        if rng.random() < 0.5:
            return Person(rng.choice(self.grammar["people"]["she"]), "she", "her", "her", "herself")
        return Person(rng.choice(self.grammar["people"]["he"]), "he", "him", "his", "himself")


def quantity_mixture(quantity: dict[str, Any], value: int) -> dict[str, float]:
    """The planted distribution over feelings at `value`: a straight line from `low` to `high` by
    rank of the value."""
    values = quantity["values"]
    position = 0.03 + 0.94 * values.index(value) / (len(values) - 1)
    low, high = quantity["low"], quantity["high"]
    return {
        e: (1 - position) * low.get(e, 0.0) + position * high.get(e, 0.0) for e in (*low, *high)
    }


@cache
def load_world() -> World:
    """The world as shipped."""
    raw = yaml.safe_load((WORLD_DIR / "emotions.yaml").read_text(encoding="utf-8"))
    emotions = {}
    for name, entry in raw.items():
        valence, arousal, family = entry["latents"]
        emotions[name] = Emotion(
            name, valence, arousal, family, tuple(entry["signs"]), tuple(entry["events"])
        )

    def distance(a: Emotion, b: Emotion) -> float:
        return math.hypot(a.valence - b.valence, 0.5 * (a.arousal - b.arousal)) + 0.5 * (
            a.family != b.family
        )

    near = {
        a.name: tuple(
            sorted((n for n in emotions if n != a.name), key=lambda n: distance(a, emotions[n]))[:4]
        )
        for a in emotions.values()
    }
    grammar = yaml.safe_load((WORLD_DIR / "grammar.yaml").read_text(encoding="utf-8"))
    return World(emotions, grammar, near)
