"""The rows of a story corpus while it is read: stories, neutral texts, and every fault with its
file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.stories.corpus import Story

NEUTRAL = "neutral"
ROLES = {
    "emotion": ("emotion", "label", "emotion_label", "emotion_name", "feeling", "sin"),
    "topic": ("topic", "premise", "scenario", "seed_topic"),
    "text": (
        "text",
        "texts",
        "story",
        "stories",
        "dialogue",
        "dialogues",
        "content",
        "body",
        "transcript",
    ),
}
"""The usual names of columns, by role. The first name wins; two of the others raise an error that
asks the user to choose."""


def emotion_name(raw: str) -> str:
    """Returns the emotion as emoexp spells it: stripped, lower case, underscores as spaces. Nothing
    else is mapped ("joy" stays "joy")."""
    return raw.strip().lower().replace("_", " ")


@dataclass
class Reading:
    """The stories, neutral texts and faults that have been read of one source so far.

    Attributes:
        root: the folder or file that the places of faults are relative to.
        columns: the user's names for the columns `emotion`, `topic` and `text`.
        part: of tables with a `source` column, the one source whose stories are wanted.
        all_neutral: every text is a neutral one, whatever emotion it is filed under
            (`stories.neutral`).
        faults: malformed rows, each with its file and line.
        authors: the authors that the files name.
        sources: the values of the `source` column, of rows that are stories.
    """

    root: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    all_neutral: bool = False
    stories: list[Story] = field(default_factory=list)
    neutral: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    authors: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)

    def name(self, path: Path) -> str:
        """Returns the path of a file relative to the root; of the root itself, its name."""
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def fault(self, where: str, what: str) -> None:
        """Adds a malformed row at `where`."""
        self.faults.append(f"{where}: {what}")

    def add(self, where: str, emotion: Any, topic: Any, texts: Any) -> None:
        """Adds one row: `texts` is a text, a list of texts, or such a list as JSON. A story without
        a word is added too, for `sift` to reject and count; a neutral text without a word is a
        fault, since nothing sifts those."""
        named = isinstance(emotion, str) and bool(emotion.strip())
        neutral = self.all_neutral or (named and emotion_name(emotion) == NEUTRAL)
        if not neutral and not named:
            missing = emotion in (None, "")
            what = "no emotion" if missing else f"the emotion is {emotion!r}, not its name"
            return self.fault(where, what)
        listed = _listed(texts)
        if not listed:
            return self.fault(where, "no text")
        for text in listed:
            if fault := _fault_of(text, neutral):
                self.fault(where, fault)
            elif neutral:
                self.neutral.append(text.strip())
            else:
                topic_name = "" if topic is None else str(topic).strip()
                self.stories.append(Story(emotion_name(emotion), topic_name, text.strip()))
        return None

    def text_of(self, path: Path) -> str | None:
        """Reads a text file, line ends as \\n and without a byte-order mark; returns None, and adds
        a fault, if it is not UTF-8."""
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            self.fault(self.name(path), f"not UTF-8 (byte {error.start}): convert it")
        return None


def _fault_of(text: Any, neutral: bool) -> str | None:
    """Returns what is wrong with a text; None if nothing is."""
    if text is None:
        return "no text"
    if not isinstance(text, str):
        return f"the text is of type {type(text).__name__}"
    if not _is_whole(text):
        return "half of a surrogate pair in the text"
    return "an empty neutral text" if neutral and not text.strip() else None


def _is_whole(text: str) -> bool:
    """Checks whether `text` can be written as UTF-8; JSON can hold halves of a character that
    cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(texts: Any) -> list[Any]:
    """Returns a text, a list of texts, or such a list as JSON, as a list."""
    if isinstance(texts, str) and texts.lstrip().startswith("["):
        try:
            parsed = json.loads(texts)
        except json.JSONDecodeError:
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
                f" {', '.join(names)}"
            )
        return chosen[role]
    known = {n.strip().lower(): n for n in names}
    candidates = [known[usual] for usual in ROLES[role] if usual in known]
    if len(candidates) > 1 and candidates[0].strip().lower() != role:
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
    chosen = (
        {role: name for role, name in reading.columns.items() if name in names}
        if neutral
        else reading.columns
    )
    emotion, topic, text = (
        choose_column(role, names, chosen, where) for role in ("emotion", "topic", "text")
    )
    if text is None or (emotion is None and not neutral):
        role = "text" if text is None else "emotion"
        raise EmoexpError(
            f"{where} has no column for the {role}, it has {', '.join(names)}: say which"
            f" (stories.columns={{{role}: <column>}})"
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
