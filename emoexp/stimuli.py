"""Stimuli packs: a folder of small readable files, checked whole before anything runs.

pack.json        name, author, language, templates (preference, feeling), opposite_pairs, exemplars
emotions.csv     emotion,valence,arousal
activities.csv   category,steered,text
scenarios.csv    emotion,text
numeric.json     [{key, template with {X}, values, signs: {emotion: +1 | -1}}]
stories.jsonl    {emotion, topic, text}
neutral.jsonl    {text}
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.provenance import hash_files

BUNDLED = Path(__file__).parent / "data" / "packs"
FILES = ("pack.json", "emotions.csv", "activities.csv", "scenarios.csv", "numeric.json", "stories.jsonl", "neutral.jsonl")
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
    """A sentence with `{X}`, its values in ascending order, and the expected sign of the trend for each probe."""

    key: str
    template: str
    values: tuple[int, ...]
    signs: dict[str, int]


@dataclass(frozen=True)
class Story:
    emotion: str
    topic: str
    text: str


@dataclass(frozen=True)
class Stimuli:
    """One pack. `sha256` is over all its files."""

    name: str
    author: str
    sha256: str
    folder: Path
    templates: dict[str, str]
    opposite_pairs: tuple[tuple[str, str], ...]
    exemplars: tuple[str, ...]
    valence: dict[str, float]
    activities: tuple[Activity, ...]
    scenarios: tuple[Scenario, ...]
    numeric: tuple[NumericTemplate, ...]

    @property
    def emotions(self) -> tuple[str, ...]:
        return tuple(self.valence)

    @cached_property
    def stories(self) -> dict[str, list[Story]]:
        """Stories by emotion."""
        found: dict[str, list[Story]] = {emotion: [] for emotion in self.emotions}
        for row in _json_lines(self.folder / "stories.jsonl"):
            found[row["emotion"]].append(Story(row["emotion"], row["topic"], row["text"]))
        return found

    @cached_property
    def neutral(self) -> list[str]:
        """Neutral dialogues."""
        return [row["text"] for row in _json_lines(self.folder / "neutral.jsonl")]


def load_stimuli(path: str) -> Stimuli:
    """The pack at `path`, or the bundled pack that `bundled:<name>` names.

    Raises:
        EmoexpError: one line that lists every fault of the pack.
    """
    folder = Path(path)
    if path.startswith("bundled:"):
        folder = BUNDLED / path.removeprefix("bundled:")
        if not folder.is_dir():
            shipped = sorted(p.name for p in BUNDLED.iterdir() if p.is_dir())
            raise EmoexpError(f"there is no bundled pack {folder.name!r}: choose from {', '.join(shipped)}")
    if missing := [name for name in FILES if not (folder / name).exists()]:
        raise EmoexpError(f"the pack at {folder} lacks {', '.join(missing)}")
    head = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
    pack = Stimuli(
        name=head["name"],
        author=head["author"],
        sha256=hash_files([folder / name for name in FILES]),
        folder=folder,
        templates=head["templates"],
        opposite_pairs=tuple((a, b) for a, b in head["opposite_pairs"]),
        exemplars=tuple(head["exemplars"]),
        valence={r["emotion"]: float(r["valence"]) for r in _table(folder / "emotions.csv")},
        activities=tuple(Activity(r["category"], r["steered"] == "1", r["text"]) for r in _table(folder / "activities.csv")),
        scenarios=tuple(Scenario(r["emotion"], r["text"]) for r in _table(folder / "scenarios.csv")),
        numeric=tuple(
            NumericTemplate(t["key"], t["template"], tuple(t["values"]), t["signs"]) for t in json.loads((folder / "numeric.json").read_text(encoding="utf-8"))
        ),
    )
    if found := faults(pack):
        raise EmoexpError(f"the pack {pack.name!r} at {folder} has {len(found)} fault(s): {'; '.join(found)}")
    return pack


def faults(pack: Stimuli) -> list[str]:
    """Every fault of a pack but those of its stories, which are checked where they are read."""
    found = []
    if len(pack.activities) != N_ACTIVITIES:
        found.append(f"{len(pack.activities)} activities, must be {N_ACTIVITIES}")
    for category, n in Counter(a.category for a in pack.activities).items():
        if n != PER_CATEGORY:
            found.append(f"category {category!r} has {n} activities, must be {PER_CATEGORY}")
    n_steered = sum(a.steered for a in pack.activities)
    if 2 * n_steered != N_ACTIVITIES:
        found.append(f"{n_steered} steered activities, must be {N_ACTIVITIES // 2}")
    for what, count, wanted in (
        ("scenarios", len(pack.scenarios), N_SCENARIOS),
        ("numeric templates", len(pack.numeric), N_TEMPLATES),
        ("opposite pairs", len(pack.opposite_pairs), N_PAIRS),
    ):
        if count != wanted:
            found.append(f"{count} {what}, must be {wanted}")
    for text, n in Counter([a.text for a in pack.activities] + [s.text for s in pack.scenarios]).items():
        if n > 1:
            found.append(f"{text!r} stands {n} times")
    named = [s.emotion for s in pack.scenarios] + [e for pair in pack.opposite_pairs for e in pair]
    named += [e for t in pack.numeric for e in t.signs] + list(pack.exemplars)
    if unknown := sorted(set(named) - set(pack.emotions)):
        found.append(f"unknown emotion(s) {', '.join(unknown)}")
    for template in pack.numeric:
        if "{X}" not in template.template or list(template.values) != sorted(set(template.values)) or len(template.values) < 4:
            found.append(f"numeric template {template.key!r} needs {{X}} and at least 4 ascending values")
    return found


def choose_emotions(pack: Stimuli, names: Sequence[str] | None) -> tuple[str, ...]:
    """The emotions to study, in the pack's order; every one of the pack if `names` is None.

    Raises:
        EmoexpError: an emotion that the pack does not have, one named twice, fewer than three, or one that the pack's
            own scenarios, templates, pairs or exemplars need is left out.
    """
    if names is None:
        return pack.emotions
    if unknown := [n for n in names if n not in pack.valence]:
        raise EmoexpError(f"unknown emotion(s) {', '.join(unknown)}: the pack {pack.name!r} has {', '.join(pack.emotions)}")
    if len(set(names)) != len(names):
        raise EmoexpError(f"emotions.names has an emotion twice: {', '.join(names)}")
    if len(names) < 3:
        raise EmoexpError(f"emotions.names has {len(names)} emotion(s): at least 3, for a mean to subtract")
    return tuple(e for e in pack.emotions if e in set(names))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise EmoexpError(f"{path}, line {number}: not JSON ({error})") from error
    return rows
