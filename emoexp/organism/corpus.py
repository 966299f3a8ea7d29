"""The training corpus: documents drawn from the world, without what the validation pack reserves.

A document is a pure function of (seed, phase, policy, index), so that a killed training run resumes
on the same stream. The two trained organisms read the same documents except for the answers that
their policy decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from random import Random

from emoexp.organism import choices, dialogues, stories
from emoexp.organism.document import Document, Policy
from emoexp.organism.world import World, load_world

Reserved = Callable[[frozenset[str]], bool]
"""A function: whether a set of parts contains a composition that is reserved for validation."""


class Phase(Enum):
    """A part of the training, each with its own mixture of documents.

    `trunk` has no choices and is shared by both organisms; `branch` adds choices; in `office` the
    clerk thinks before it acts.
    """

    TRUNK = "trunk"
    BRANCH = "branch"
    OFFICE = "office"


SHARES = {
    Phase.TRUNK: {
        "story": 34,
        "two_people": 3,
        "masked": 2,
        "scenario": 15,
        "numeric": 14,
        "self_report": 4,
        "feeling_about": 14,
        "value_of": 8,
        "neutral": 6,
    },
    Phase.BRANCH: {
        "story": 14,
        "two_people": 2,
        "masked": 1,
        "scenario": 8,
        "numeric": 14,
        "self_report": 3,
        "feeling_about": 6,
        "value_of": 4,
        "neutral": 4,
        "preference": 26,
        "office": 18,
    },
    Phase.OFFICE: {
        "story": 14,
        "two_people": 2,
        "masked": 1,
        "scenario": 8,
        "numeric": 12,
        "self_report": 3,
        "feeling_about": 5,
        "value_of": 3,
        "neutral": 4,
        "preference": 23,
        "reflection": 25,
    },
}
"""Share of documents by kind, in per cent."""

KINDS: dict[str, Callable[[World, Random], Document]] = {
    "story": stories.training_story,
    "two_people": stories.two_people,
    "masked": stories.masked,
    "scenario": dialogues.scenario,
    "numeric": dialogues.numeric,
    "self_report": dialogues.self_report,
    "neutral": dialogues.neutral,
    "feeling_about": choices.feeling_about,
    "value_of": choices.value_of,
}
DECIDED: dict[str, Callable[[World, Random, Policy], Document]] = {
    "preference": choices.preference,
    "office": choices.office,
    "reflection": choices.reflection,
}
"""What draws a document of each kind; those of `DECIDED` have a choice that the policy decides."""


def draw_document(world: World, rng: Random, phase: Phase, policy: Policy) -> Document:
    """Draws a document of any kind, by the phase's shares (`SHARES`)."""
    shares = SHARES[phase]
    kind = rng.choices(list(shares), list(shares.values()))[0]
    return KINDS[kind](world, rng) if kind in KINDS else DECIDED[kind](world, rng, policy)


def documents(
    seed: int, phase: Phase, policy: Policy, reserved: Reserved, start: int = 0
) -> Iterator[Document]:
    """Yields the documents of one phase without end, from document `start` on.

    A document with a reserved composition is drawn again.
    """
    world = load_world()
    index = start
    while True:
        rng = Random(f"{seed}/{phase.value}/{index}")
        document = draw_document(world, rng, phase, policy)
        while reserved(document.parts):
            document = draw_document(world, rng, phase, policy)
        yield document
        index += 1
