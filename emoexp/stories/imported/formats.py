"""Readers of story corpora, one per layout. They add to a `Reading`; a malformed row is a fault
there, never an exception.

The docstring of a reader names where its layout was looked up, or says that the layout is a guess.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from json import JSONDecodeError
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from emoexp.errors import EmoexpError, shortened
from emoexp.stimuli.checks import LONGEST_NAME, emotion_name
from emoexp.stories.imported.arrow import arrow
from emoexp.stories.imported.rows import (
    NEUTRAL,
    ROLES,
    Reading,
    columns_of,
    listed,
    read_rows,
    visible,
)
from emoexp.textfiles import UnreadableError, csv_rows, lines_of, parse_json, suffix_of

SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
LINES = (".jsonl", ".ndjson")
Row = tuple[str, Mapping[str, Any]]
Table = tuple[list[str], Iterable[Row]]
EMPTY: Table = ([], ())


def read_table(path: Path, reading: Reading, *, neutral: bool = False) -> None:
    """Reads one file of `READERS`; `neutral` if it is known to hold neutral texts only."""
    reading.files.add(path)
    try:
        names, rows = READERS[suffix_of(path)](path, reading)
        if names:
            read_rows(iter(rows), names, reading, reading.name(path), neutral=neutral)
    except UnreadableError as error:
        reading.fault(reading.name(path), error.reason)


def json_table(path: Path, reading: Reading) -> Table:
    """Reads JSON Lines, or one JSON document, whichever the file holds."""
    is_lines = suffix_of(path) in LINES
    lines = (line for line in lines_of(path) if line.strip())
    first = ""
    try:
        first, more = next(lines, ""), next(lines, None) is not None
        row = parse_json(first)
        by_line = more or (is_lines and isinstance(row, dict))
    except JSONDecodeError:
        by_line = is_lines and not first.lstrip().startswith("[")
    except UnreadableError:  # also of a line that is too long
        by_line = is_lines
    lines.close()
    return (json_lines if by_line else json_rows)(path, reading)


def json_lines(path: Path, reading: Reading) -> Table:
    """Reads a file with one JSON object a line; the columns are the keys of all of them."""
    name = reading.name(path)

    def rows(fault: Callable[[str, str], None]) -> Iterator[Row]:
        """Yields the rows, each with its place."""
        for number, line in enumerate(lines_of(path), 1):
            if not line.strip():
                continue
            where = f"{name}, line {number}"
            reading.tick(where)
            try:
                row = parse_json(line)
            except JSONDecodeError as error:
                fault(where, f"not JSON ({error.msg})")
                continue
            if isinstance(row, dict):
                yield where, row
            else:
                fault(where, f"a JSON {type(row).__name__}, not an object")

    names = {key: None for _, row in rows(lambda where, what: None) for key in row}
    if not names:  # the rows are not read, so their faults are told here
        list(rows(reading.fault))
    return list(names), rows(reading.fault)


def load_json(path: Path, reading: Reading) -> Any:
    """Reads a whole JSON file; returns None, and adds a fault, if it is not one."""
    text = reading.text_of(path)
    try:
        return None if text is None else parse_json(text)
    except JSONDecodeError as error:
        reading.fault(f"{reading.name(path)}, line {error.lineno}", f"not JSON ({error.msg})")
    return None


def json_rows(path: Path, reading: Reading) -> Table:
    """Reads a JSON array of objects, or an object (see `rows_of`)."""
    data = load_json(path, reading)
    if data is None:
        return EMPTY
    rows = list(rows_of(data, reading)) if isinstance(data, dict) else data
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        if not isinstance(row, dict):
            where = f"{reading.name(path)}, item {number}"
            reading.fault(where, f"a JSON {type(row).__name__}, not an object")
            return EMPTY
    names = list(dict.fromkeys(key for row in rows for key in row))
    return names, ((f"{reading.name(path)}, item {n}", row) for n, row in enumerate(rows, 1))


def rows_of(data: Mapping[str, Any], reading: Reading) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a JSON object: {column: [cells]} or {column: {row: cell}}, as pandas
    writes; else by key, which is the emotion of rows that name none, a list of rows, the texts, or
    {topic: texts} (guesses at what people keep: no public corpus of these forms was found)."""
    columns = [list(c.values()) if isinstance(c, dict) else c for c in data.values()]
    roles = {name.lower() for name in data} | set(reading.columns.values()) & set(data)
    of_text, of_emotion = (set(ROLES[role]) & roles for role in ("text", "emotion"))
    if (of_text or "text" in reading.columns) and of_emotion and len({*map(_length, columns)}) == 1:
        yield from (dict(zip(data, cells, strict=True)) for cells in zip(*columns, strict=True))
        return
    for key, value in data.items():
        if isinstance(value, dict):
            yield from ({"emotion": key, "topic": topic, "text": v} for topic, v in value.items())
        elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            known = {*ROLES["emotion"], reading.columns.get("emotion", "emotion").lower()}
            for row in value:
                yield row if known & {name.lower() for name in row} else {"emotion": key, **row}
        else:
            yield {"emotion": key, "text": value}


def _length(column: Any) -> int:
    """Returns the number of cells of a column; -1 for what is none."""
    return len(column) if isinstance(column, list) else -1


def separated(path: Path, reading: Reading) -> Table:
    """Reads a table with a header, quoted as spreadsheets quote. The line number of a row is that
    of its first line."""
    name, usual = reading.name(path), "\t" if suffix_of(path) == ".tsv" else ","
    reader = csv_rows(lines_of(path), usual, strict=True)
    try:
        _, names = next(reader, (0, []))
    except csv.Error as error:
        reading.fault(name, f"not a table ({error})")
        return EMPTY
    if any(len(column) > LONGEST_NAME for column in names):
        reading.fault(name, "its first line must name the columns (emotion, text)")
        return EMPTY
    if len(set(names)) != len(names) or not names:
        reading.fault(name, "two columns of the same name" if names else "no header")
        return EMPTY

    def rows() -> Iterator[Row]:
        """Yields the rows, each with its place."""
        line = 1
        try:
            for line, row in reader:
                where = f"{name}, line {line}"
                if len(row) == len(names):
                    yield where, dict(zip(names, row, strict=True))
                else:
                    reading.fault(where, f"{len(row)} fields, the header has {len(names)}")
        except csv.Error as error:
            reading.fault(f"{name}, after line {line}", f"not to be read from here on ({error})")

    return names, rows()


READERS: dict[str, Callable[[Path, Reading], Table]] = {
    **dict.fromkeys((*LINES, ".json"), json_table),
    **dict.fromkeys((".csv", ".tsv"), separated),
    **dict.fromkeys((".parquet", ".arrow"), arrow),
}
"""By suffix, the reader of a table."""


def read_sqlite(path: Path, reading: Reading) -> None:
    """Reads gemotions' store: table `stories_clean` (or `stories`, as the API answered, where there
    is no cleaned one) with emotion, topic, text, and table `dialogues` with topic, text, in the
    same file or another (generate_stories.py and generate_neutral.py of dejanseo/gemotions, in a
    vendored copy on GitHub, whose neutral.db this has read); else the one table or view that has
    columns for emotion and text. Opened read-only.

    Raises:
        EmoexpError: the file has no such table, or several.
    """
    label = reading.name(path)
    reading.files.add(path)
    path = path.resolve()
    try:
        with closing(_connect_read_only(path)) as database:
            for table in _tables_to_read(database, path, reading):
                _read_sqlite_table(database, table, label, reading)
    except sqlite3.DatabaseError as error:
        reading.fault(label, f"not to be read as SQLite ({shortened(str(error))})")


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Opens a database that may be in WAL mode, as the store is: opened plainly, sqlite would write
    files beside it. It may do so only if there is a log to read."""
    log = path.with_name(path.name + "-wal")
    mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)


def _tables_to_read(database: sqlite3.Connection, path: Path, reading: Reading) -> list[str]:
    """Returns the names of the table of stories and of the table of dialogues, as far as they are
    there.

    Raises:
        EmoexpError: no table could be one of these, or several could be that of the stories.
    """
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    tables = {str(row[0]).lower(): str(row[0]) for row in database.execute(query)}
    stories = [tables[name] for name in ("stories_clean", "stories") if name in tables][:1]
    dialogues = [tables["dialogues"]] if "dialogues" in tables else []
    if not (stories or dialogues):
        stories = [name for name in tables.values() if _has_stories(database, name, reading)]
    if len(stories) == 1 or dialogues:
        return [*stories, *dialogues]
    several = f"could be read from any of {', '.join(stories)}: call the one to read `stories`"
    none = (
        "has no table stories_clean, stories or dialogues, and none with columns for emotion and"
        f" text: it has {listed(list(tables.values())) or 'none'}"
    )
    raise EmoexpError(f"{path} {several if stories else none}")


def _has_stories(database: sqlite3.Connection, table: str, reading: Reading) -> bool:
    """Tells whether a table has columns for emotion and text."""
    try:
        columns_of(_select(database, table)[0], reading, table, neutral=reading.all_neutral)
    except EmoexpError:
        return False
    return True


def _select(database: sqlite3.Connection, table: str) -> tuple[list[str], sqlite3.Cursor]:
    """Returns the columns and all rows of a table or view."""
    quoted = table.replace('"', '""')
    rows = database.execute(f'SELECT * FROM "{quoted}"')
    return [column[0] for column in rows.description], rows


def _read_sqlite_table(
    database: sqlite3.Connection, table: str, label: str, reading: Reading
) -> None:
    names, cursor = _select(database, table)
    named = (dict(zip(names, row, strict=True)) for row in cursor)
    rows = ((f"{label}, {table} row {number}", row) for number, row in enumerate(named, 1))
    neutral = table.lower() == "dialogues"
    read_rows(rows, names, reading, f"{label}, table {table}", neutral=neutral)


def read_json_folder(folder: Path, reading: Reading) -> None:
    """Reads stories/<emotion>/<any>.json and neutral/<any>.json.

    emotion-probes writes {emotion, topic, stories: [...], metadata: {model, ...}} and {topic,
    dialogues: [...]} under the hash of the topic (github.com/V-Coding/emotion-probes,
    src/emotion_probes/data.py). emoexp writes {emotion, topic, texts: [...], answers, ...}
    (emoexp/stories/generation.py), with no texts where the author gave none. A bare list of texts
    is a guess.
    """
    for path in visible(folder / "stories", "*/*.json"):
        row, named = _as_row(load_json(path, reading)), unquote(path.parent.name)
        emotion = row.get("emotion", named)
        if isinstance(emotion, str) and emotion_name(emotion) != emotion_name(named):
            fault = f"the emotion is {emotion!r}, the folder's is {named!r}"
            reading.fault(reading.name(path), fault)
        elif row and not _unanswered(row):
            reading.add(reading.name(path), emotion, row.get("topic"), _texts_of(row))
        model = row["metadata"].get("model") if isinstance(row.get("metadata"), dict) else None
        reading.authors |= {str(model)} if model else set()
    for path in visible(folder / NEUTRAL, "*.json"):
        if (row := _as_row(load_json(path, reading))) and not _unanswered(row):
            reading.add(reading.name(path), NEUTRAL, row.get("topic"), _texts_of(row))


def _as_row(data: Any) -> dict[str, Any]:
    """Returns the row of a JSON file; it is empty only where a fault has been added already."""
    if data is None:
        return {}
    return data if isinstance(data, dict) else {"texts": data}


def _unanswered(row: Mapping[str, Any]) -> bool:
    """Checks whether `row` is a unit of emoexp's own that is done without a text."""
    return row.get("texts") == [] and "answers" in row


def _texts_of(row: Mapping[str, Any]) -> Any:
    keys = ("texts", "stories", "dialogues", "text", "story")
    return next((row[key] for key in keys if key in row), None)


def read_text_folder(folder: Path, reading: Reading) -> None:
    """Reads <emotion>/<any>.txt, a text each (data/ of
    github.com/sortira/seven-deadly-sins-of-gemma, whose neutral texts are one more such folder),
    and <emotion>.txt with a text per block between blank lines, or per line where there is no blank
    one (its data-prep/).

    Neutral texts on their own (`stories.neutral`) are a text per file.
    """
    for path in visible(folder, "**/*.txt" if reading.all_neutral else "*/*.txt"):
        if (text := reading.text_of(path)) is not None:
            reading.add(reading.name(path), path.parent.name, None, [text])
    if reading.all_neutral:
        return
    for path in visible(folder, "*.txt"):
        if path.stem.lower() not in ("readme", "license", "licence", "notice", "requirements"):
            read_blocks(path, reading)


def read_blocks(path: Path, reading: Reading) -> None:
    """Reads <emotion>.txt with several texts, see `read_text_folder`."""
    text = (reading.text_of(path) or "").strip()
    boundary = r"\n\s*\n" if re.search(r"\n\s*\n", text) else r"\n"
    for number, block in enumerate(re.split(boundary, text), 1):
        reading.add(f"{reading.name(path)}, text {number}", path.stem, None, [block])
