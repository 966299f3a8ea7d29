"""What is gathered of a story corpus while it is read: stories, neutral texts, and every fault with
its file and line."""

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
"""What columns are usually called. The first name wins; two of the others are a question to the
user."""


def emotion_name(raw: str) -> str:
    """An emotion as emoexp spells it: stripped, lower case, underscores as spaces. Nothing else is
    mapped ("joy" stays "joy")."""
    return raw.strip().lower().replace("_", " ")


@dataclass
class Reading:
    """What has been read of one source so far.

    Attributes:
        root: what faults are told relative to.
        columns: what the user says `emotion`, `topic` and `text` are called.
        part: of tables with a `source` column, the one source whose stories are wanted.
        all_neutral: every text is a neutral one, whatever emotion it is filed under
            (`stories.neutral`).
        faults: malformed rows, each with its file and line.
        authors: who the files say wrote their stories.
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
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    def add(self, where: str, emotion: Any, topic: Any, texts: Any) -> None:
        """One row: `texts` is a text, a list of texts, or such a list as JSON. A story without a
        word is kept for `sift` to reject and count; a neutral text without a word is a fault,
        since nothing sifts those."""
        neutral = self.all_neutral or (
            isinstance(emotion, str) and emotion_name(emotion) == NEUTRAL
        )
        if not neutral and not (isinstance(emotion, str) and emotion.strip()):
            return self.fault(
                where,
                (
                    "no emotion"
                    if emotion in (None, "")
                    else f"the emotion is {emotion!r}, not its name"
                ),
            )
        listed = _listed(texts)
        if not listed:
            return self.fault(where, "no text")
        for text in listed:
            if not isinstance(text, str):
                self.fault(
                    where,
                    f"the text is of type {type(text).__name__}" if text is not None else "no text",
                )
            elif not _is_whole(text):
                self.fault(where, "half of a surrogate pair in the text")
            elif not neutral:
                self.stories.append(
                    Story(
                        emotion_name(emotion),
                        "" if topic is None else str(topic).strip(),
                        text.strip(),
                    )
                )
            elif text.strip():
                self.neutral.append(text.strip())
            else:
                self.fault(where, "an empty neutral text")
        return None

    def text_of(self, path: Path) -> str | None:
        """The contents, line ends as \\n and without a byte-order mark; None, and a fault, if they
        are not UTF-8."""
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            self.fault(self.name(path), f"not UTF-8 (byte {error.start}): convert it")
        return None


def _is_whole(text: str) -> bool:
    """Whether it can be written as UTF-8; JSON can hold halves of a character that cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(texts: Any) -> list[Any]:
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
    """The column for `role` among `names`; None if there is none.

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
    found = [known[usual] for usual in ROLES[role] if usual in known]
    if len(found) > 1 and found[0].strip().lower() != role:
        raise EmoexpError(
            f"{where}: {role} could be any of the columns {', '.join(found)}: say which"
            f" (stories.columns={{{role}: {found[0]}}})"
        )
    return found[0] if found else None


@dataclass(frozen=True)
class Columns:
    emotion: str | None
    topic: str | None
    text: str
    source: str | None


def columns_of(names: Sequence[str], reading: Reading, where: str, *, neutral: bool) -> Columns:
    """Which column is what; a neutral table needs only texts, and may call them otherwise than the
    stories' table does."""
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
    """Rows of a table with the columns `names`. Of a `source` column only the wanted part is taken;
    neutral rows always are."""
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
    """Files that match, none of them hidden, in an order that does not depend on the file
    system."""
    found = [
        p
        for p in folder.glob(pattern)
        if p.is_file()
        and not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(folder).parts)
    ]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())
