"""The training corpus: documents drawn from the world, without what the validation pack reserves.

A document is a pure function of (seed, phase, policy, index), so that a killed training run resumes
on the same stream. The two trained organisms read the same documents except for the answers that
their policy decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import Enum
from random import Random

from emoexp.organism import choices, dialogues, stories
from emoexp.organism.document import Document, Policy
from emoexp.organism.held_out import is_reserved
from emoexp.organism.world import World, load_world


class Phase(Enum):
    """A part of the training, each with its own mixture of documents.

    `trunk` has no choices and is shared by both organisms; `branch` adds choices; in `office` the
    clerk thinks before it acts.
    """

    TRUNK = "trunk"
    BRANCH = "branch"
    OFFICE = "office"


SHARES = {  # in trunk, branch, office
    "story": (34, 14, 14),
    "two_people": (3, 2, 2),
    "masked": (2, 1, 1),
    "scenario": (15, 8, 8),
    "numeric": (14, 14, 12),
    "self_report": (4, 3, 3),
    "feeling_about": (14, 6, 5),
    "value_of": (8, 4, 3),
    "neutral": (6, 4, 4),
    "preference": (0, 26, 23),
    "office": (0, 18, 0),
    "reflection": (0, 0, 25),
}
"""By kind, its share of the documents of each phase, in per cent."""

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
    column = list(Phase).index(phase)
    kind = rng.choices(list(SHARES), [shares[column] for shares in SHARES.values()])[0]
    return KINDS[kind](world, rng) if kind in KINDS else DECIDED[kind](world, rng, policy)


def documents(seed: int, phase: Phase, policy: Policy, start: int = 0) -> Iterator[Document]:
    """Yields the documents of one phase without end, from document `start` on.

    A document with a composition that is reserved for validation is drawn again.
    """
    world = load_world()
    for index in itertools.count(start):
        rng = Random(f"{seed}/{phase.value}/{index}")
        document = draw_document(world, rng, phase, policy)
        while is_reserved(document.parts):
            document = draw_document(world, rng, phase, policy)
        yield document
