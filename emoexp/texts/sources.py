"""Streams of documents: text files, JSONL, parquet, and data sets of the Hugging Face hub.

A document is a text file (or, with `separator`, a part of one), a line of a JSONL file, or a row of
a table. Documents come in pieces of at most `PIECE` characters, so that no file is ever in memory
as a whole.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from emoexp import textfiles
from emoexp.config import PLAIN_TURNS
from emoexp.errors import EmoexpError, require
from emoexp.stories.imported.rows import visible

T = TypeVar("T")
PIECE = 2**16
"""Characters of a document that are in memory at once."""
COLUMNS = ("text", "content", "document", "body", "conversation", "messages")
"""The usual names of the column of texts; the first that is there is read."""
TEXTS, LINES, TABLES = (".txt", ".md"), (".jsonl", ".ndjson"), (".parquet",)
ALLOWED = ", ".join((*TEXTS, *LINES, *TABLES))
HUB = "hf:"


@dataclass(frozen=True)
class Piece:
    """A part of a document.

    Attributes:
        document: number of the document in its set, from 0.
        name: of the document: its file, with the line or row.
        text: without white space at its ends; empty for an empty document.
    """

    document: int
    name: str
    text: str


@dataclass(frozen=True)
class Options:
    """How documents are read.

    Attributes:
        column: of the texts in a table; None is the first of `COLUMNS` that is there.
        separator: a line of a text file that matches it (re.fullmatch) ends a document.
        split: of a data set of the hub.
    """

    column: str | None = None
    separator: str | None = None
    split: str = "train"


Parts = Iterator[tuple[str, Iterable[str]]]
"""Documents: the name of each, and its text in parts of any length."""


@dataclass(frozen=True)
class TextSet:
    """A named set of documents.

    Attributes:
        name: in tables and figures.
        source: as the user gave it.
        read: opens the set and yields its documents.
        endless: whether it is too large to be counted (a data set of the hub).
        chosen: numbers of the documents that are read; None is all.
    """

    name: str
    source: str
    read: Callable[[], Parts]
    endless: bool = False
    chosen: frozenset[int] | None = field(default=None, repr=False)

    def pieces(self, limit: int | None) -> Iterator[Piece]:
        """Yields the pieces of the first `limit` documents that are chosen; None is all.

        Raises:
            EmoexpError: a document cannot be read.
        """
        number = 0
        for position, (name, parts) in enumerate(self.read()):
            if self.chosen is None or position in self.chosen:
                yield from (Piece(number, name, text) for text in cut_pieces(parts))
                number += 1
            if number == limit:
                return

    def count(self, limit: int | None = None) -> int:
        """Reads the first `limit` documents and returns how many there are.

        Raises:
            EmoexpError: there are none, or one cannot be read.
        """
        n = 1 + max((piece.document for piece in self.pieces(limit)), default=-1)
        require(n > 0, f"experiment.texts: {self.source} holds no document")
        return n


def draw_documents(texts: TextSet, limit: int, seed: int) -> TextSet:
    """Returns the set with `limit` of its documents, drawn at random without replacement.

    All of it is read once, to count the documents.
    """
    n = texts.count()
    chosen = np.random.default_rng(seed).choice(n, min(limit, n), replace=False)
    return replace(texts, chosen=frozenset(chosen.tolist()))


def cut_pieces(parts: Iterable[str]) -> Iterator[str]:
    """Yields a document in pieces of at most `PIECE` characters, cut at the last empty line, line
    end or space before that, wherever there is one; the parts' own lengths change nothing."""
    text, yielded = "", False
    for part in parts:
        text += part
        while len(text) > PIECE:
            ends = (text.rfind(mark, 1, PIECE) for mark in ("\n\n", "\n", " "))
            cut = next((end for end in ends if end > 0), PIECE)
            if piece := text[:cut].strip():
                yield piece
                yielded = True
            text = text[cut:]
    if (piece := text.strip()) or not yielded:
        yield piece


def read_local(path: Path, options: Options) -> Parts:
    """Yields the documents of a file, or of all files of a folder in the order of their names.

    Raises:
        EmoexpError: the path is missing, is of another kind, or cannot be read.
    """
    for file in files_of(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        documents = READERS[textfiles.suffix_of(file)](file, name, options)
        for document, parts in _named(documents, file):
            yield document, _named(parts, file)


def _named(items: Iterable[T], file: Path) -> Iterator[T]:
    """Yields items that are read from `file`; an error in that names the setting."""
    try:
        with textfiles.explained(file):
            yield from items
    except textfiles.UnreadableError as error:
        raise EmoexpError(f"experiment.texts: {error}") from error


def files_of(path: Path) -> list[Path]:
    """Returns the files of a set. Raises EmoexpError where there are none, or of another kind."""
    require(
        textfiles.kind_of(path) is not None,
        f"experiment.texts: {path} does not exist: give a file or folder, hf:<owner>/<name>, or one"
        " of the presets",
    )
    if path.is_dir():
        textfiles.check_folders(path)
        files = [f for f in visible(path, "**/*") if _is_read(f)]
        require(
            bool(files),
            f"experiment.texts: {path} has no file that ends in {ALLOWED} (or .gz, ...)",
        )
        return files
    require(
        _is_read(path),
        f"experiment.texts: {path} is not read: a file must end in {ALLOWED}, each also with"
        f" {', '.join(textfiles.PACKED)} but for parquet",
    )
    return [path]


def _is_read(path: Path) -> bool:
    """Tells whether there is a reader of a file; a packed parquet file has none."""
    suffix = textfiles.suffix_of(path)
    return suffix in READERS and not (suffix in TABLES and path.suffix.lower() != suffix)


def _read_text(path: Path, name: str, options: Options) -> Parts:
    """Yields a text file as one document, or the parts between lines that match the separator."""
    with textfiles.open_text(path) as file:
        if options.separator is None:
            yield name, iter(lambda: file.read(PIECE), "")
            return
        pattern, n = re.compile(options.separator), 0
        while (line := file.readline(PIECE)) or n == 0:
            n += 1
            rest = _until(pattern, file, line)
            yield f"{name}, part {n}", rest
            deque(rest, maxlen=0)  # what was not read of it


def _until(pattern: re.Pattern[str], file: IO[str], line: str) -> Iterator[str]:
    """Yields `line` and those after it, up to one that matches, which is left out."""
    while line and not pattern.fullmatch(line.rstrip("\n")):
        yield line
        line = file.readline(PIECE)


def _read_lines(path: Path, name: str, options: Options) -> Parts:
    """Yields the text of each line of a JSONL file."""
    for i, line in enumerate(textfiles.lines_of(path), 1):
        if not line.strip():
            continue
        try:
            row = textfiles.parse_json(line)
        except JSONDecodeError as error:
            raise EmoexpError(f"{path}, line {i}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise EmoexpError(f"{path}, line {i}: not an object with a column of texts")
        column = choose_column(list(row), options.column, f"{path}, line {i}")
        yield f"{name}:{i}", [text_of(row[column], f"{path}, line {i}")]


def _read_table(path: Path, name: str, options: Options) -> Parts:
    """Yields the text of each row of a parquet file."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            column = choose_column(file.schema_arrow.names, options.column, str(path))
            i = 0
            for batch in file.iter_batches(batch_size=64, columns=[column]):
                for value in batch.column(0):
                    i += 1
                    yield f"{name}, row {i}", [text_of(value.as_py(), f"{path}, row {i}")]
    except pyarrow.ArrowException as error:
        raise EmoexpError(f"{path} is not a whole parquet file ({error})") from error


READERS: dict[str, Callable[[Path, str, Options], Parts]] = {
    **dict.fromkeys(TEXTS, _read_text),
    **dict.fromkeys(LINES, _read_lines),
    **dict.fromkeys(TABLES, _read_table),
}
"""The reader of each suffix."""


def choose_column(names: Sequence[str], wanted: str | None, where: str) -> str:
    """Returns the column of the texts. Raises EmoexpError, which names the columns there are."""
    found = [name for name in ([wanted] if wanted else COLUMNS) if name in names]
    if not found:
        lacks = f"no column {wanted!r}" if wanted else "no column of texts that is known"
        raise EmoexpError(
            f"{where} has {lacks}: it has {', '.join(names)}; name it with experiment.column=<one>"
        )
    return found[0]


def text_of(value: Any, where: str) -> str:
    """Returns the text of a cell: a text, or a chat as a list of {role, content}; empty for null.

    A chat is written in the plain format: "Human: ..." and "Assistant: ...".

    Raises:
        EmoexpError: it is something else, or not whole UTF-8.
    """
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(turn, Mapping) for turn in value):
        value = "\n\n".join(_turn(turn, where) for turn in value)
    if not isinstance(value, str):
        kind = type(value).__name__
        raise EmoexpError(f"{where}: the text is of type {kind}: choose another experiment.column")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EmoexpError(f"{where}: half of a surrogate pair in the text: mend it") from error
    return value


def _turn(turn: Mapping[str, Any], where: str) -> str:
    """Returns a turn of a chat in the plain format; a system's is its text alone."""
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise EmoexpError(f"{where}: a turn of a chat without role or content")
    marks = dict(zip(("user", "assistant"), PLAIN_TURNS, strict=True))
    return f"{marks[role]} {content}" if role in marks else content
