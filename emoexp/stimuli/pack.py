"""Stimuli packs: folders of small readable files.

Every file is checked before an experiment runs (emoexp/stimuli/load.py).

pack.json        name, author, language, templates (preference, feeling, and for generation story,
                 dialogue), opposite_pairs, exemplars
emotions.csv     emotion,valence (empty where it is not known); perhaps cluster, and any further
                 columns
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from emoexp.errors import EmoexpError
from emoexp.stimuli.blackmail import BlackmailScenario
from emoexp.stimuli.checks import EXACT
from emoexp.store.artifacts import key_of

FILES = ("pack.json", "emotions.csv", "activities.csv", "scenarios.csv", "numeric.json")
OPTIONAL = ("topics.txt", "stories.jsonl", "neutral.jsonl", "blackmail.json")
N_CATEGORIES, PER_CATEGORY = 8, 8
N_ACTIVITIES = N_CATEGORIES * PER_CATEGORY
N_SCENARIOS, N_TEMPLATES, N_PAIRS = 12, 6, 5


@dataclass(frozen=True)
class Activity:
    """An option of a preference prompt; `steered` if it is in the steered half."""

    category: str
    steered: bool
    text: str


@dataclass(frozen=True)
class Scenario:
    """A text that implies an emotion and does not name it."""

    emotion: str
    text: str


@dataclass(frozen=True)
class NumericTemplate:
    """A sentence about a number, which implies emotions by the number's size.

    Attributes:
        template: the sentence, with `{X}` for the number.
        values: of the number, in ascending order.
        signs: for each probe the expected sign of the trend, +1 or -1.
    """

    key: str
    template: str
    values: tuple[int, ...]
    signs: dict[str, int]


@dataclass(frozen=True)
class Opening:
    """The text before a continuation by the model.

    Attributes:
        question: None for a text that is continued.
        answer: how the answer (or the text) begins; may be empty.
    """

    __pydantic_config__: ClassVar = EXACT
    question: str | None
    answer: str


@dataclass(frozen=True)
class SelfReportOpenings:
    """Sentences that end where a feeling is named. All questions and answers have words.

    Attributes:
        self: about the model itself.
        other: about others.
    """

    __pydantic_config__: ClassVar = EXACT
    self: Opening
    other: tuple[Opening, ...]


@dataclass(frozen=True)
class Stimuli:
    """One pack.

    Attributes:
        sha256: over all of its files (`FILES` and `OPTIONAL`).
        valence: lacks the emotions whose valence is not known.
        clusters: the cluster of each emotion; lacks those that have none.
        absent: parts that the pack declares absent ("numeric", "blackmail"); what needs them is not
            measured.
        blackmail: None where the pack has none.
        self_report: None where the pack has none.
        drift: empty where the pack has none.
        provenance: for each list its source; empty for a pack of a user's own.
        is_paper: whether these are the paper's own stimuli; decided by hash, not by the pack's
            name.
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
    clusters: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    blackmail: BlackmailScenario | None = None
    self_report: SelfReportOpenings | None = None
    drift: tuple[Opening, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    is_paper: bool = False

    def with_fewer_activities(self, per_category: int) -> Stimuli:
        """Returns the pack with the first activities of each category, half of them steered.

        It is a pack of another name and sha256, and not the paper's.

        Raises:
            EmoexpError: a category has too few of either half.
        """
        chosen = []
        for category in dict.fromkeys(a.category for a in self.activities):
            for steered in (True, False):
                wanted = (category, steered)
                half = [a for a in self.activities if (a.category, a.steered) == wanted]
                if len(half) < per_category // 2:
                    raise EmoexpError(
                        f"scale.activities_per_category={per_category}: the category {category!r}"
                        f" of the pack {self.name!r} has {len(half)} that are"
                        f" {'' if steered else 'not '}steered"
                    )
                chosen += half[: per_category // 2]
        key = {"pack": self.sha256, "activities_per_category": per_category}
        activities = tuple(a for a in self.activities if a in chosen)
        name = f"{self.name}, {per_category} activities of each category"
        return replace(self, name=name, activities=activities, sha256=key_of(key), is_paper=False)

    def lacking(self, part: str) -> EmoexpError:
        """Returns the error for an experiment that needs an optional part which the pack lacks.

        Args:
            part: `blackmail`, `self_report` or `drift`.
        """
        where = "a blackmail.json" if part == "blackmail" else f"{part} in pack.json"
        again = ", import it again from a source that has it" if self.provenance else ""
        return EmoexpError(
            f"the pack {self.name!r} has no {part}: choose stimuli=emoexp or"
            f" stimuli=organism{again}, or give the pack {where}"
        )


def choose_emotions(known: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the emotions to study, in the order of `known`.

    Args:
        known: the emotions of the pack, then those that only the corpus has.
        names: the emotions that the user chose; None for all.

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
