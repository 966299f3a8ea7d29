"""Readers of story corpora, one per layout. They add to a `Reading`; a malformed row is a fault
there, never an exception.

The docstring of a reader names where its layout was looked up, or says that the layout is a guess.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from emoexp.errors import EmoexpError
from emoexp.stories.imported.rows import NEUTRAL, ROLES, Reading, emotion_name, read_rows, visible

TABLE_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
Table = tuple[list[str], Iterator[tuple[str, Mapping[str, Any]]]]
EMPTY: Table = ([], iter(()))


def read_table(path: Path, reading: Reading, *, neutral: bool = False) -> None:
    """Reads one .jsonl, .json, .csv, .tsv or .parquet file; `neutral` if it is known to hold
    neutral texts only."""
    reader = {
        ".jsonl": json_lines,
        ".json": json_rows,
        ".csv": separated,
        ".tsv": separated,
        ".parquet": parquet,
    }[path.suffix.lower()]
    names, rows = reader(path, reading)
    if names:
        read_rows(rows, names, reading, reading.name(path), neutral=neutral)


def json_lines(path: Path, reading: Reading) -> Table:
    """Reads a file with one JSON object a line; the columns are the keys of all of them."""
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, line in enumerate((reading.text_of(path) or "").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{reading.name(path)}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            reading.fault(where, f"not JSON ({error.msg})")
            continue
        if isinstance(row, dict):
            rows.append((where, row))
        else:
            reading.fault(where, f"a JSON {type(row).__name__}, not an object")
    return list(dict.fromkeys(key for _, row in rows for key in row)), iter(rows)


def load_json(path: Path, reading: Reading) -> Any:
    """Reads a whole JSON file; returns None, and adds a fault, if it is not one."""
    text = reading.text_of(path)
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        reading.fault(f"{reading.name(path)}, line {error.lineno}", f"not JSON ({error.msg})")
    return None


def json_rows(path: Path, reading: Reading) -> Table:
    """Reads a JSON array of objects, or an object {emotion: [texts]} (a guess at what people keep:
    no public corpus of this form was found)."""
    data = load_json(path, reading)
    if isinstance(data, dict):
        data = [{"emotion": emotion, "text": texts} for emotion, texts in data.items()]
    if data is None:
        return EMPTY
    for number, row in enumerate(data if isinstance(data, list) else [data], 1):
        if not isinstance(row, dict):
            where = f"{reading.name(path)}, item {number}"
            reading.fault(where, f"a JSON {type(row).__name__}, not an object")
            return EMPTY
    names = list(dict.fromkeys(key for row in data for key in row))
    return names, ((f"{reading.name(path)}, item {n}", row) for n, row in enumerate(data, 1))


def separated(path: Path, reading: Reading) -> Table:
    """Reads CSV or TSV with a header, quoted as spreadsheets quote. The line number of a row is
    that of its first line."""
    text = reading.text_of(path)
    if text is None:
        return EMPTY
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
        strict=True,
    )
    names = next(reader, [])
    if len(set(names)) != len(names) or not names:
        reading.fault(reading.name(path), "two columns of the same name" if names else "no header")
        return EMPTY

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields the rows, each with its place."""
        while True:
            where = f"{reading.name(path)}, line {reader.line_num + 1}"
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                return reading.fault(where, f"not to be read from here on ({error})")
            if row and len(row) != len(names):
                reading.fault(where, f"{len(row)} fields, the header has {len(names)}")
            elif row:
                yield where, dict(zip(names, row, strict=True))

    return names, rows()


def parquet(path: Path, reading: Reading) -> Table:
    """Reads the known columns of a Parquet file; rows count from 1."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        reading.fault(reading.name(path), f"not a whole Parquet file ({reason})")
        return EMPTY
    names = [str(name) for name in table.schema_arrow.names]
    usual = {name for names_of_role in ROLES.values() for name in names_of_role}
    wanted = usual | {"source"} | {name.lower() for name in reading.columns.values()}

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields the rows, each with its place."""
        number = 0
        try:
            for batch in table.iter_batches(columns=[n for n in names if n.lower() in wanted]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{reading.name(path)}, row {number}", row
        except (pyarrow.ArrowException, OSError) as error:
            where = f"{reading.name(path)}, after row {number}"
            reason = str(error).splitlines()[0]
            reading.fault(where, f"not to be read from here on ({reason})")

    return names, rows()


def read_sqlite(path: Path, reading: Reading) -> None:
    """Reads gemotions' store: table `stories_clean` (or `stories`, as the API answered, where there
    is no cleaned one) with emotion, topic, text, and table `dialogues` with topic, text, in the
    same file or another (generate_stories.py and generate_neutral.py of dejanseo/gemotions, in a
    vendored copy on GitHub, whose neutral.db this has read). Opened read-only.

    Raises:
        EmoexpError: the file has none of these tables.
    """
    label = reading.name(path)
    path = path.resolve()
    try:
        with closing(_connect_read_only(path)) as database:
            for table in _tables_to_read(database, path):
                _read_sqlite_table(database, table, label, reading)
    except sqlite3.DatabaseError as error:
        reading.fault(label, f"not to be read as SQLite ({error})")


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Opens a database that may be in WAL mode, as the store is: opened plainly, sqlite would write
    files beside it. It may do so only if there is a log to read."""
    log = path.with_name(path.name + "-wal")
    mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)


def _tables_to_read(database: sqlite3.Connection, path: Path) -> list[str]:
    """Returns the names of the table of stories and of the table of dialogues, as far as they are
    there."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    tables = {str(row[0]) for row in database.execute(query)}
    stories = [name for name in ("stories_clean", "stories") if name in tables]
    dialogues = ["dialogues"] if "dialogues" in tables else []
    chosen: list[str] = [*stories[:1], *dialogues]
    if not chosen:
        raise EmoexpError(
            f"{path} has no table stories_clean, stories or dialogues: it has"
            f" {', '.join(sorted(tables)) or 'none'}"
        )
    return chosen


def _read_sqlite_table(
    database: sqlite3.Connection, table: str, label: str, reading: Reading
) -> None:
    cursor = database.execute(f"SELECT rowid AS rowid_, * FROM {table}")
    names = [column[0] for column in cursor.description]
    rows = (
        (f"{label}, {table} rowid {row[0]}", dict(zip(names, row, strict=True))) for row in cursor
    )
    where = f"{label}, table {table}"
    read_rows(rows, names[1:], reading, where, neutral=table == "dialogues")


def read_json_folder(folder: Path, reading: Reading) -> None:
    """Reads stories/<emotion>/<any>.json and neutral/<any>.json.

    emotion-probes writes {emotion, topic, stories: [...], metadata: {model, ...}} and {topic,
    dialogues: [...]} under the hash of the topic (github.com/V-Coding/emotion-probes,
    src/emotion_probes/data.py). emoexp writes {emotion, topic, texts: [...], answers, ...}
    (emoexp/stories/generation.py), with no texts where the author gave none. A bare list of texts
    is a guess.
    """
    for path in visible(folder / "stories", "*/*.json"):
        row = _as_row(load_json(path, reading))
        named = unquote(path.parent.name)
        emotion = row.get("emotion", named)
        if isinstance(emotion, str) and emotion_name(emotion) != emotion_name(named):
            reading.fault(
                reading.name(path), f"the emotion is {emotion!r}, the folder's is {named!r}"
            )
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
