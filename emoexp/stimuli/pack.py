"""Stimuli packs: a folder of small readable files, checked whole before anything runs.

pack.json        name, author, language, templates (preference, feeling, and for generation story, dialogue), opposite_pairs, exemplars
emotions.csv     emotion,valence (empty where it is not known), and what else is known of them
activities.csv   category,steered,text
scenarios.csv    emotion,text
numeric.json     [{key, template with {X}, values, signs: {emotion: +1 | -1}}]

A pack may also bring
topics.txt       one topic a line: what stories are generated about
stories.jsonl    {emotion, topic, text}
neutral.jsonl    {text}
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoexp.errors import EmoexpError
from emoexp.provenance import hash_files

BUNDLED = Path(__file__).parent.parent / "data" / "packs"
FILES = ("pack.json", "emotions.csv", "activities.csv", "scenarios.csv", "numeric.json")
OPTIONAL = ("topics.txt", "stories.jsonl", "neutral.jsonl")
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
class Stimuli:
    """One pack. `sha256` is over all its files; `valence` lacks the emotions whose valence is not known."""

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
    emotions = _table(folder / "emotions.csv")
    topics = folder / "topics.txt"
    pack = Stimuli(
        name=head["name"],
        author=head["author"],
        sha256=hash_files([folder / name for name in (*FILES, *OPTIONAL) if (folder / name).exists()]),
        folder=folder,
        templates=head["templates"],
        opposite_pairs=tuple((a, b) for a, b in head["opposite_pairs"]),
        exemplars=tuple(head["exemplars"]),
        emotions=tuple(r["emotion"] for r in emotions),
        valence={r["emotion"]: float(r["valence"]) for r in emotions if r["valence"]},
        activities=tuple(Activity(r["category"], r["steered"] == "1", r["text"]) for r in _table(folder / "activities.csv")),
        scenarios=tuple(Scenario(r["emotion"], r["text"]) for r in _table(folder / "scenarios.csv")),
        numeric=tuple(
            NumericTemplate(t["key"], t["template"], tuple(t["values"]), t["signs"]) for t in json.loads((folder / "numeric.json").read_text(encoding="utf-8"))
        ),
        topics=tuple(topics.read_text(encoding="utf-8").splitlines()) if topics.exists() else (),
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


def choose_emotions(known: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """The emotions to study, in the order of `known` (the pack's, then the corpus's own); all of them if `names` is None.

    Raises:
        EmoexpError: an emotion that is not known, one named twice, or fewer than three.
    """
    if names is None:
        return tuple(known)
    if unknown := [n for n in names if n not in known]:
        raise EmoexpError(f"unknown emotion(s) {', '.join(unknown)}: the pack and the corpus have {', '.join(known)}")
    if len(set(names)) != len(names):
        raise EmoexpError(f"emotions.names has an emotion twice: {', '.join(names)}")
    if len(names) < 3:
        raise EmoexpError(f"emotions.names has {len(names)} emotion(s): at least 3, for a mean to subtract")
    return tuple(e for e in known if e in set(names))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))
