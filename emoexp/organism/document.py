"""A training document, and the small parts that all kinds of documents are written with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from random import Random

from emoexp.organism.world import Cue, Person, World

GRADE_NOISE = 0.2
"""Standard deviation of the noise that is added to a valence or arousal before it is graded."""
QUESTION_TEMPLATE = "Human: {content}\n\nAssistant:"


class Policy(Enum):
    """The rule for the assistant's choices: by the planted latents, or at random."""

    VALENCE = "valence"
    INDIFFERENT = "indifferent"


@dataclass(frozen=True)
class Document:
    """A training text.

    Attributes:
        parts: the compositions that it is made of; none of them may be a reserved one.
        options: the activities in the text, in order; training may mask them in its lower blocks
            (training.OPTION_BLOCKS).
        content: what a person tells the assistant about a feeling; training may mask it in its
            upper blocks (training.CONTENT_BLOCKS).
    """

    kind: str
    text: str
    parts: frozenset[str]
    options: tuple[str, ...] = ()
    content: str = ""


def pair_parts(cues: Collection[Cue]) -> frozenset[str]:
    """Returns the compositions of every two cues of a text; their order does not matter."""
    return frozenset("+".join(sorted((a.key, b.key))) for a, b in combinations(cues, 2))


def sentence(*words: str) -> str:
    """Returns the words that are not empty, joined, with a capital and a full stop."""
    joined = " ".join(w for w in words if w)
    return joined[0].upper() + joined[1:] + "."


def assistant_dialogue(content: str, reply: str) -> str:
    """Returns the dialogue of one question and its reply."""
    return QUESTION_TEMPLATE.format(content=content) + " " + reply


def graded(words: list[str], latent: float, rng: Random) -> str:
    """Draws the word for a latent in [-1, 1], with noise (`GRADE_NOISE`).

    Args:
        words: from the lowest grade to the highest.
    """
    noisy = min(1.0, max(-1.0, rng.gauss(latent, GRADE_NOISE)))
    return words[round((noisy + 1) / 2 * (len(words) - 1))]


def grading(world: World, rng: Random, emotion: str, person: Person) -> str:
    """Draws a sentence that grades the time by the emotion's valence and arousal."""
    g, latents = world.grammar, world.emotions[emotion]
    grade = graded(g["grades"], latents.valence, rng)
    pace = graded(g["paces"], latents.arousal, rng)
    return person.fill(rng.choice(g["gradings"]), grade=grade, pace=pace)
