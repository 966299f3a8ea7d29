"""The rows of a story corpus while it is read: stories, neutral texts, and every fault with its
file and line."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError, shortened
from emoexp.stimuli.checks import LONGEST_NAME, emotion_name, is_whole
from emoexp.stories.corpus import Story
from emoexp.stories.imported.sample import Sample
from emoexp.textfiles import UnreadableError, parse_json, read_text

NEUTRAL = "neutral"
ROLES = {
    "emotion": ("emotion", "label", "emotion_label", "emotion_name", "feeling", "sin"),
    "topic": ("topic", "premise", "scenario", "seed_topic"),
    "text": (
        *("text", "texts", "story", "stories", "dialogue", "dialogues"),
        *("content", "body", "transcript"),
    ),
}
"""The usual names of columns, by role. The first name wins; two of the others raise an error that
asks the user to choose."""
MOST_LISTED = 20
"""Faults, names and files that one message lists."""
UNNAMED = "not its name"
SAID_SECONDS, SAID_ROWS = 10.0, 10_000
"""Time, and rows, between two lines of progress."""


def listed(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return shortened(", ".join(map(str, names[:MOST_LISTED])), 400) + more


@dataclass
class Reading:
    """The stories, neutral texts and faults that have been read of one source so far.

    Attributes:
        root: the folder or file that the places of faults are relative to.
        columns: the user's names for the columns `emotion`, `topic` and `text`.
        part: of tables with a `source` column, the one source whose stories are wanted.
        all_neutral: every text is a neutral one, whatever emotion it is filed under
            (`stories.neutral`).
        sample: the stories, and the neutral texts as stories of `NEUTRAL`.
        faults: the first malformed rows, each with its file and line; `n_faults` counts all.
        authors: the authors that the files name.
        sources: the first values of the `source` column, of rows that are stories.
        files: that were read.
    """

    root: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    all_neutral: bool = False
    sample: Sample = field(default_factory=Sample)
    faults: list[str] = field(default_factory=list)
    n_faults: int = 0
    n_ticks: int = 0
    said: float = field(default_factory=time.monotonic)
    authors: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def name(self, path: Path) -> str:
        """Returns the path of a file relative to the root; of the root itself, its name."""
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def fault(self, where: str, what: str) -> None:
        """Adds a malformed row at `where`."""
        self.n_faults += 1
        if len(self.faults) < MOST_LISTED:
            self.faults.append(f"{where}: {what}")

    def add(self, where: str, emotion: Any, topic: Any, texts: Any) -> None:
        """Adds one row: `texts` is a text, a list of texts, or such a list as JSON. A story without
        a word is added too, for `sift` to reject and count; a neutral text without a word is a
        fault, since nothing sifts those."""
        self.tick(where)
        name = emotion_name("" if emotion is None else str(emotion))
        name = NEUTRAL if self.all_neutral else name
        if fault := "" if self.all_neutral else _fault_of_emotion(emotion, name):
            return self.fault(where, fault)
        given = _listed(texts)
        if not given:
            return self.fault(where, "no text")
        topic = "" if topic is None else sys.intern(str(topic).strip())
        for text in map(_decoded, given):
            if wrong := _fault_of(text, name == NEUTRAL):
                self.fault(where, wrong)
            else:
                self.sample.add(Story(sys.intern(name), topic, text.strip()))
        return None

    def tick(self, where: str) -> None:
        """Counts a row that was read, and now and then prints where it stands."""
        self.n_ticks += 1
        if self.n_ticks % SAID_ROWS == 0 and time.monotonic() - self.said > SAID_SECONDS:
            self.said = time.monotonic()
            sys.stderr.write(f"reading {where}\n")

    def text_of(self, path: Path) -> str | None:
        """Reads a text file; returns None, and adds a fault, if it cannot be read."""
        self.files.add(path)
        try:
            return read_text(path)
        except UnreadableError as error:
            self.fault(self.name(path), error.reason)
        return None


def _fault_of_emotion(raw: Any, name: str) -> str:
    """Returns what is wrong with the name of an emotion; empty if nothing is."""
    if raw is None or name == "":
        return "no emotion"
    if not isinstance(raw, str) or re.fullmatch(r"[-+]?\d+(\.\d+)?", name):
        return f"the emotion is {shortened(repr(raw), 40)}, {UNNAMED}"
    if len(name) > LONGEST_NAME:
        return f"the emotion has {len(name)} characters: {shortened(name, 40)!r} is no name"
    return "" if is_whole(name) else "half of a surrogate pair in the emotion"


def _decoded(text: Any) -> Any:
    """Returns bytes as the UTF-8 text that they are; anything else as it is."""
    try:
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        return text


def _fault_of(text: Any, neutral: bool) -> str | None:
    """Returns what is wrong with a text; None if nothing is."""
    if text is None:
        return "no text"
    if not isinstance(text, str):
        return f"the text is of type {type(text).__name__}"
    if not is_whole(text):
        return "half of a surrogate pair in the text"
    return "an empty neutral text" if neutral and not text.strip() else None


def _listed(texts: Any) -> list[Any]:
    """Returns a text, a list of texts, or such a list as JSON, as a list."""
    if isinstance(texts, str) and texts.lstrip().startswith("["):
        try:
            parsed = parse_json(texts)
        except JSONDecodeError:
            return [texts]  # a story may begin with a bracket
        return parsed if isinstance(parsed, list) else [texts]
    return texts if isinstance(texts, list) else [texts]


def choose_column(
    role: str, names: Sequence[str], chosen: Mapping[str, str], where: str
) -> str | None:
    """Returns the column for `role` among `names`; None if there is none.

    Raises:
        EmoexpError: the user's choice is not there, or several columns could be meant.
    """
    if role in chosen:
        if chosen[role] not in names:
            raise EmoexpError(
                f"{where} has no column {chosen[role]!r} (stories.columns={{{role}: ...}}): it has"
                f" {listed(names)}"
            )
        return chosen[role]
    known = [(n.strip().lower(), n) for n in names]
    candidates = [name for usual in ROLES[role] for lower, name in known if lower == usual]
    named = sum(lower == role for lower, _ in known)
    if len(candidates) > 1 and named != 1:
        raise EmoexpError(
            f"{where}: {role} could be any of the columns {', '.join(candidates)}: say which"
            f" (stories.columns={{{role}: {candidates[0]}}})"
        )
    return candidates[0] if candidates else None


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns by role; None for one that the table lacks."""

    emotion: str | None
    topic: str | None
    text: str
    source: str | None


def columns_of(names: Sequence[str], reading: Reading, where: str, *, neutral: bool) -> Columns:
    """Returns the columns of a table by role; a neutral table needs only texts, and may call them
    otherwise than the stories' table does.

    Raises:
        EmoexpError: there is no column for a role that is needed, or several could be meant.
    """
    chosen = {k: name for k, name in reading.columns.items() if name in names or not neutral}
    emotion, topic, text = (choose_column(role, names, chosen, where) for role in ROLES)
    if text is None or (emotion is None and not neutral):
        role = "text" if text is None else "emotion"
        of_one = ", or keep the texts of one emotion as <emotion>.txt or <emotion>/*.txt"
        raise EmoexpError(
            f"{where} has no column for the {role}, it has {listed(names)}: say which"
            f" (stories.columns={{{role}: <column>}}){'' if text is None else of_one}"
        )
    source = next((n for n in names if n.lower() == "source"), None)
    return Columns(emotion, topic, text, source)


def read_rows(
    rows: Iterator[tuple[str, Mapping[str, Any]]],
    names: Sequence[str],
    reading: Reading,
    where: str,
    *,
    neutral: bool = False,
) -> None:
    """Adds the rows of a table with the columns `names` to `reading`. Of a table with a `source`
    column only the rows of the wanted part are taken; neutral rows always are."""
    columns = columns_of(names, reading, where, neutral=neutral or reading.all_neutral)
    for place, row in rows:
        emotion = NEUTRAL if neutral else row.get(columns.emotion or "")
        if columns.source is not None and not (
            isinstance(emotion, str) and emotion_name(emotion) == NEUTRAL
        ):
            if len(reading.sources) <= MOST_LISTED or reading.part == row.get(columns.source):
                reading.sources.add(str(row.get(columns.source)))
            if reading.part not in (None, row.get(columns.source)):
                continue
        reading.add(place, emotion, row.get(columns.topic or ""), row.get(columns.text))


def visible(folder: Path, pattern: str) -> list[Path]:
    """Returns the files that match and are not hidden, in an order that does not depend on the file
    system."""

    def is_hidden(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        return any(part.startswith((".", "__MACOSX")) for part in parts)

    files = [p for p in folder.glob(pattern) if p.is_file() and not is_hidden(p)]
    return sorted(files, key=lambda p: p.relative_to(folder).as_posix())
