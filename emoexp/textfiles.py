"""Reads files that people made: packed or not, in UTF-8 or UTF-16, tables with any delimiter, JSON.

A file that cannot be read is an `UnreadableError`, which names the file and the reason in one line.
No line and no whole file is longer than a limit, so memory is bounded whatever the file holds.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from emoexp.errors import EmoexpError, shortened

LARGEST = 2**29
"""Characters of a file that is read whole, at most."""
PIECE = 2**20
"""Characters that are read at once."""
LONGEST = 2**26
"""Characters of a line or of a cell, at most."""
DELIMITERS = ",;\t|"
csv.field_size_limit(LONGEST)


class UnreadableError(EmoexpError):
    """Raised for a file that cannot be read; `reason` is the message without the file's name."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{shortened(str(path))}: {reason}")
        self.reason = reason


def _unpack_zst(path: Path) -> IO[bytes]:
    """Opens a file that zstd packed."""
    import pyarrow

    return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))


PACKED: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _unpack_zst,
}
"""By suffix, what opens a packed file."""


def suffix_of(path: Path) -> str:
    """Returns the suffix of a file in lower case, without that of its packing."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Turns the errors of reading `path` into an `UnreadableError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        reason = f"not UTF-8 (byte 0x{byte:02x}; Latin-1 or Windows-1252?): save it as UTF-8"
        raise UnreadableError(path, reason) from error
    except PermissionError as error:
        where = str(error.filename or path).removesuffix("/.")
        raise UnreadableError(where, "no permission to read it") from error
    except FileNotFoundError as error:
        raise UnreadableError(error.filename or path, "does not exist") from error
    except IsADirectoryError as error:
        raise UnreadableError(path, "a folder, not a file") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError(path, f"cannot be read ({shortened(what)})") from error


def kind_of(path: Path) -> str | None:
    """Returns "file", "folder" or "device"; None where there is nothing.

    Raises:
        UnreadableError: a folder on the way may not be entered, or no file can have that name.
    """
    with explained(path):
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device"


def check_folders(folder: Path) -> None:
    """Raises UnreadableError where `folder` or a folder in it may not be listed: its files would
    be left out without a word."""

    def fail(error: OSError) -> None:
        raise error

    with explained(folder):
        for parent, folders, _ in os.walk(folder, onerror=fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in folders:
                os.stat(os.path.join(parent, name, "."))


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a text file: unpacked where its suffix says so, in the encoding that its first bytes
    tell (UTF-8, UTF-16 or UTF-32, without the byte-order mark); line ends become \\n.

    Raises:
        UnreadableError: in the whole context, where the file cannot be read.
    """
    if kind_of(path) == "device":
        raise UnreadableError(path, "a pipe or a device, not a file: save it as one")
    with explained(path):
        opener = PACKED.get(path.suffix.lower())
        with opener(path) if opener else path.open("rb") as file:
            start = file.peek(4)[:4]
            with io.TextIOWrapper(file, encoding=_encoding(start)) as text:
                yield text


def _encoding(start: bytes) -> str:
    """Returns the encoding of a text whose first bytes are `start`."""
    if start in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    zeros = [byte == 0 for byte in start]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else "utf-8-sig"


def read_text(path: Path) -> str:
    """Returns the whole text of a file; see `open_text`.

    Raises:
        UnreadableError: it cannot be read, or has more than `LARGEST` characters.
    """
    pieces, left = list[str](), LARGEST
    with open_text(path) as file:
        while piece := file.read(PIECE):  # read(LARGEST) would ask for all of that memory
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                large = f"more than {LARGEST:,} characters: give it as .jsonl or .csv"
                raise UnreadableError(path, large)
    return "".join(pieces)


def lines_of(path: Path) -> Iterator[str]:
    """Yields the lines of a text file with their ends; see `open_text`.

    Raises:
        UnreadableError: it cannot be read, or has a line of more than `LONGEST` characters.
    """
    with open_text(path) as file:
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                reason = f"line {number} has more than {LONGEST:,} characters"
                raise UnreadableError(path, reason)
            yield line


def parse_json(text: str) -> Any:
    """Parses JSON.

    Raises:
        json.JSONDecodeError: it is not JSON, is nested too deeply, has too long a number, or an
            object with a key twice, of which one would be lost.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise json.JSONDecodeError(f"the key {shortened(twice)!r} twice", text, 0)
        return content

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text, 0) from error
    except ValueError as error:
        raise json.JSONDecodeError("a number with too many digits", text, 0) from error


def csv_rows(
    lines: Iterable[str], usual: str = ",", **options: Any
) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a table that are not blank, each with the number of its first line.

    The delimiter is the tab where the header has one, else the one of `DELIMITERS` that gives it
    the most cells. A first line `sep=;`, as spreadsheets write it, is left out.

    Args:
        usual: the delimiter of a header of one cell.
        options: of csv.reader.

    Raises:
        csv.Error: it is no such table from some line on.
    """
    lines, head = iter(lines), []
    for line in lines:
        head.append(line)
        if line.strip() and not line.startswith("sep="):
            break
    header = head[-1] if head else ""
    counts = {d: len(next(csv.reader([header], delimiter=d), [])) for d in usual + DELIMITERS}
    delimiter = "\t" if "\t" in header else max(counts, key=lambda d: counts[d])
    reader = csv.reader(chain(head, lines), delimiter=delimiter, **options)
    while True:
        number = reader.line_num + 1
        if (row := next(reader, None)) is None:
            return
        if any(cell.strip() for cell in row) and not (number < len(head) and row[0][:4] == "sep="):
            yield number, row
