"""What is reserved for validation: the compositions of the organism's pack.

`is_reserved` is the test that keeps them out of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import yaml

from emoexp.organism.choices import ComposedActivity, compose_activity, office_part
from emoexp.organism.document import pair_parts, sentence
from emoexp.organism.stories import topic_part
from emoexp.organism.world import FIRST_PERSON, Cue, Person, World, load_world
from emoexp.places import WORLD

SEED = 2604
N_TOPICS = 30
CHOSEN: dict[str, Any] = yaml.safe_load((WORLD / "held_out.yaml").read_text(encoding="utf-8"))
"""The emotions of the `scenarios`, and the `categories` of the options with their emotions."""


@dataclass(frozen=True)
class HeldOutScenario:
    """A validation scenario: an event and a sign of one emotion.

    Attributes:
        parts: the composition of the two cues, which no training document has.
    """

    emotion: str
    text: str
    parts: frozenset[str]


@dataclass(frozen=True)
class PackActivity:
    """An activity of the organism's pack, with its category and whether it is steered."""

    category: str
    activity: ComposedActivity
    steered: bool


def topics(world: World) -> list[tuple[str, str]]:
    """Returns the story topics (errand, place) that no training story has."""
    all_topics = [(e, p) for e in world.grammar["errands"] for p in world.grammar["places"]]
    return Random(SEED).sample(all_topics, N_TOPICS)


def scenarios(world: World) -> list[HeldOutScenario]:
    """Returns the twelve scenarios; the question differs from one to the next."""
    questions = [q for q in world.grammar["questions"] if q]
    held_out = []
    for i, emotion in enumerate(CHOSEN["scenarios"]):
        event, sign = world.events(emotion)[i % 3], world.signs(emotion)[i % 4]
        lines = (
            sentence(FIRST_PERSON.fill(event.template)),
            sentence("I", FIRST_PERSON.fill(sign.template)),
            questions[i % len(questions)],
        )
        held_out.append(HeldOutScenario(emotion, " ".join(lines), pair_parts((event, sign))))
    return held_out


def offices(world: World) -> list[tuple[Person, str, str]]:
    """Returns the office scenes (boss, secret, day), three bosses for each secret.

    Training has each secret and each day, but never the two together.
    """
    secrets, days = world.grammar["office_secrets"], world.grammar["office_days"]
    rng = Random(SEED + 2)
    days = rng.sample(days, len(days))
    bosses: dict[str, Person] = {}
    while len(bosses) < 3 * len(secrets):
        boss = world.person(rng)
        bosses.setdefault(boss.name, boss)
    return [(boss, secrets[i // 3], days[i // 3]) for i, boss in enumerate(bosses.values())]


def activities(world: World) -> list[PackActivity]:
    """Returns the 64 options, 8 x 8; half of each category is steered.

    No option's frame stands with its cue in training.
    """
    rng = Random(SEED + 1)
    options = []
    for category, emotions in CHOSEN["categories"].items():
        steered = set(rng.sample(range(len(emotions)), len(emotions) // 2))
        for i, emotion in enumerate(emotions):
            cue, frame = _cue_and_frame(world, rng, emotion, chore=category == "Neutral")
            option = compose_activity(world, frame, cue, world.person(rng))
            options.append(PackActivity(category, option, i in steered))
    return options


def _cue_and_frame(world: World, rng: Random, emotion: str, *, chore: bool) -> tuple[Cue, str]:
    """Draws a cue of `emotion` and a frame for it (a chore and a sign, if `chore`)."""
    g = world.grammar
    if chore:
        return rng.choice(world.signs(emotion)), rng.choice(g["chores"])
    if rng.random() < 0.6:
        return rng.choice(world.signs(emotion)), rng.choice(g["frames_sign"])
    return rng.choice(world.events(emotion)), rng.choice(g["frames_event"])


@cache
def reserved_parts() -> frozenset[str]:
    """Returns every composition of the validation pack."""
    world = load_world()
    parts = {topic_part(*t) for t in topics(world)}
    parts |= {office_part(secret, day) for _, secret, day in offices(world)}
    of_texts = (s.parts for s in scenarios(world)), (a.activity.parts for a in activities(world))
    return frozenset(parts.union(*chain(*of_texts)))


def is_reserved(parts: frozenset[str]) -> bool:
    """Checks whether any of `parts` is reserved, so that training may not have it."""
    return not parts.isdisjoint(reserved_parts())
