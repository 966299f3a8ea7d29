"""Stimuli packs: a folder of small readable files, checked whole before anything runs
(emoexp/stimuli/load.py).

pack.json        name, author, language, templates (preference, feeling, and for generation story,
                 dialogue), opposite_pairs, exemplars
emotions.csv     emotion,valence (empty where it is not known), and what else is known of them
activities.csv   category,steered,text
scenarios.csv    emotion,text
numeric.json     [{key, template with {X}, values, signs: {emotion: +1 | -1}}]; a pack
                 without says so: "absent": ["numeric"] in pack.json

A pack may also bring
topics.txt       one topic a line: what stories are generated about
stories.jsonl    {emotion, topic, text}
neutral.jsonl    {text}
blackmail.json   an office scene in which an assistant may do harm (emoexp/stimuli/blackmail.py)
and, in pack.json, `self_report` ({self: opening, other: [opening, ...]}), `drift`
([opening, ...]) and `provenance`: where each list comes from. An opening is {question, answer}:
what is asked (null: nothing, a text is continued) and how the answer begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.stimuli.blackmail import BlackmailScenario

FILES = ("pack.json", "emotions.csv", "activities.csv", "scenarios.csv", "numeric.json")
OPTIONAL = ("topics.txt", "stories.jsonl", "neutral.jsonl", "blackmail.json")
N_CATEGORIES, PER_CATEGORY = 8, 8
N_ACTIVITIES = N_CATEGORIES * PER_CATEGORY
N_SCENARIOS, N_TEMPLATES, N_PAIRS = 12, 6, 5


@dataclass(frozen=True)
class Activity:
    category: str
    steered: bool
    text: str


@dataclass(frozen=True)
class Scenario:
    emotion: str
    text: str


@dataclass(frozen=True)
class NumericTemplate:
    """A sentence with `{X}`, its values in ascending order, and the expected sign of the trend for
    each probe."""

    key: str
    template: str
    values: tuple[int, ...]
    signs: dict[str, int]


@dataclass(frozen=True)
class Opening:
    """What stands before a model's own words: a question, or None for a text to continue; and how
    the answer (or text) begins, perhaps empty."""

    question: str | None
    answer: str


@dataclass(frozen=True)
class SelfReportOpenings:
    """A sentence that ends where a feeling is named: of the model itself, and of others. All
    questions and answers have words."""

    self: Opening
    other: tuple[Opening, ...]


@dataclass(frozen=True)
class Stimuli:
    """One pack.

    Attributes:
        sha256: over all its files.
        valence: lacks the emotions whose valence is not known.
        absent: parts that the pack says it does not have ("numeric", "blackmail"); what needs them
            is not measured.
        blackmail: None where the pack has none; likewise self_report, and drift is empty.
        is_paper: whether these are the paper's own stimuli, by hash and whatever the pack is
            called.
        provenance: list by list where it comes from; empty for a pack of somebody's own.
    """

    name: str
    author: str
    sha256: str
    folder: Path
    templates: dict[str, str]
    opposite_pairs: tuple[tuple[str, str], ...]
    exemplars: tuple[str, ...]
    emotions: tuple[str, ...]
    valence: dict[str, float]
    activities: tuple[Activity, ...]
    scenarios: tuple[Scenario, ...]
    numeric: tuple[NumericTemplate, ...]
    topics: tuple[str, ...]
    absent: tuple[str, ...] = ()
    blackmail: BlackmailScenario | None = None
    self_report: SelfReportOpenings | None = None
    drift: tuple[Opening, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    is_paper: bool = False

    def lacking(self, part: str) -> EmoexpError:
        """What an experiment raises that needs an optional part which this pack does not bring:
        `blackmail`, `self_report` or `drift`."""
        where = "a blackmail.json" if part == "blackmail" else f"{part} in pack.json"
        again = ", import it again from a source that has it" if self.provenance else ""
        return EmoexpError(
            f"the pack {self.name!r} has no {part}: choose stimuli=emoexp or"
            f" stimuli=organism{again}, or give the pack {where}"
        )


def choose_emotions(known: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """The emotions to study, in the order of `known` (the pack's, then the corpus's own); all of
    them if `names` is None.

    Raises:
        EmoexpError: an emotion that is not known, one named twice, or fewer than three.
    """
    if names is None:
        return tuple(known)
    if unknown := [n for n in names if n not in known]:
        raise EmoexpError(
            f"unknown emotion(s) {', '.join(unknown)}: the pack and the corpus have"
            f" {', '.join(known)}"
        )
    if len(set(names)) != len(names):
        raise EmoexpError(f"emotions.names has an emotion twice: {', '.join(names)}")
    if len(names) < 3:
        raise EmoexpError(
            f"emotions.names has {len(names)} emotion(s): at least 3, for a mean to subtract"
        )
    return tuple(e for e in known if e in set(names))
