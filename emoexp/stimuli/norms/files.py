"""Reads human norms of valence and arousal from a file.

The header tells which layout a user's file has. Every value is checked against the layout's scale.

NRC-VAD (Mohammad 2018, 2025)
    v1: `Word Valence Arousal Dominance`, tabs, 0 to 1, with or without the header; becomes 2x - 1.
    v2: `term valence arousal dominance`, tabs, -1 to 1.
    Extract: `emotion,valence,arousal,source`, of which rows whose source is not nrc... (estimates,
    in the extract of github.com/sinievanderben/emotion_experiment) are left out.
    The versions are told apart by whether more than one value in a hundred is negative.
Warriner, Kuperman and Brysbaert 2013 (BRM-emot-submit.csv)
    `Word, V.Mean.Sum, ..., A.Mean.Sum, ...`, 1 to 9; becomes (x - 5) / 4.
Russell and Mehrabian 1977
    A term, then pleasure, arousal and dominance on -1 to 1, the mean alone or as "mean (sd)".
    Printed in the article only; that columns are called `pleasure` or `pleasure mean` is a guess at
    how people copy it.

The headers of NRC-VAD and Warriner were seen in public code that reads the files.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoexp.errors import EmoexpError, require, shortened
from emoexp.stimuli.norms.lexicon import Lexicon, Rating
from emoexp.textfiles import UnreadableError, csv_rows, read_text

MOST_LISTED = 20
"""Most faults that one error lists."""
WORD = ("word", "term", "emotion")
"""Names of the column of words."""
Rows = list[tuple[int, list[str]]]
"""Rows of cells, each with its line number."""


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of file, by index, and its scale from `low` to `high`.

    Attributes:
        arousal: None where the file has none.
        source: the column that says where a row comes from; None where there is none.
    """

    name: str
    word: int
    valence: int
    arousal: int | None
    low: float
    high: float
    source: int | None = None

    def read(self, row: list[str]) -> tuple[float, float]:
        """Returns valence and arousal of a row, on [-1, 1]; arousal is NaN where there is none.

        Raises:
            ValueError: too few fields, no number, or off the scale.
        """
        if len(row) <= max(self.word, self.valence, self.arousal or 0, self.source or 0):
            raise ValueError(f"{len(row)} fields, too few")
        valence = self._rescaled(row[self.valence])
        return valence, math.nan if self.arousal is None else self._rescaled(row[self.arousal])

    def _rescaled(self, cell: str) -> float:
        """Returns the mean in a cell, which is a number or "mean (sd)", on [-1, 1]; a minus may be
        the typographic one."""
        mean = re.sub(r"\s*\(.*\)$", "", cell.replace("\u2212", "-"))
        if not _is_number(mean):
            raise ValueError(f"{shortened(cell, 40)!r} is no number")
        if not self.low <= float(mean) <= self.high:
            raise ValueError(f"{cell} is not on the scale {self.low:g} to {self.high:g}")
        return (2 * float(mean) - self.low - self.high) / (self.high - self.low)


def read_file(path: Path) -> Lexicon:
    """Reads a user's file, whose header tells its layout.

    Raises:
        EmoexpError: no such file, an unknown layout, or values that are no numbers or off the
            scale.
    """
    layout, rows = layout_of(path, read_rows(path))
    ratings = read_ratings(path, layout, rows)
    return Lexicon(path, layout.name, str(path), ratings, sha256_of([path]))


def read_ratings(path: Path, layout: Layout, rows: Rows) -> list[Rating]:
    """Reads the rating in each row but those that are estimates.

    Args:
        path: for messages.

    Raises:
        EmoexpError: some rows are malformed; it lists them.
    """
    ratings, faults = [], []
    for line, row in rows:
        try:
            valence, arousal = layout.read(row)
        except ValueError as error:
            faults.append(f"line {line}: {error}")
            continue
        if not _is_estimate(row, layout):
            ratings.append(Rating(line, row[layout.word], valence, arousal))
    more = f"; and {len(faults) - MOST_LISTED} more" if len(faults) > MOST_LISTED else ""
    listed = f"{len(faults)} malformed row(s): {'; '.join(faults[:MOST_LISTED])}{more}"
    require(not faults, f"{path} ({layout.name}) has {listed}")
    return ratings


def sha256_of(paths: Sequence[Path]) -> dict[str, str]:
    """Returns the sha256 of the content of each file, by the file's name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _is_estimate(row: list[str], layout: Layout) -> bool:
    """Checks whether a row has a source that is not NRC."""
    return layout.source is not None and not row[layout.source].lower().startswith("nrc")


def read_rows(path: Path) -> Rows:
    """Reads the rows that are not empty, with their line numbers."""
    try:
        text = read_text(path)
    except UnreadableError as error:
        raise EmoexpError(f"emotions.norms={error}; give a file of human norms") from error
    tabs = "\t" in text.split("\n", 1)[0]
    quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    rows = csv_rows(io.StringIO(text), "\t" if tabs else ",", quoting=quoting)
    try:
        return [(line, [cell.strip() for cell in row]) for line, row in rows]
    except csv.Error as error:
        raise EmoexpError(f"{path} is not a table ({error}): give a file of human norms") from error


def layout_of(path: Path, rows: Rows) -> tuple[Layout, Rows]:
    """Returns the layout of a file, and its rows without the header."""
    require(bool(rows), f"{path} is empty: give a file of human norms")
    names = [" ".join(re.split(r"[\s_]+", cell.lower())) for cell in rows[0][1]]

    def column(*usual: str) -> int | None:
        found = [i for u in usual for i, name in enumerate(names) if name == u]
        if len(found) > 1 and names[found[0]] == names[found[1]]:
            raise EmoexpError(f"{path} has two columns {names[found[0]]!r}: leave one of the two")
        return found[0] if found else None

    word, source = column(*WORD), column("source")
    pleasure = ("pleasure", "pleasure mean", "mean pleasure", "pleasure mean (sd)")
    arousal = column("arousal", "arousal mean", "mean arousal", "arousal mean (sd)")
    for name, valence, other, scale in (
        ("Warriner et al. 2013", column("v.mean.sum"), column("a.mean.sum"), (1, 9)),
        ("Russell and Mehrabian 1977", column(*pleasure), arousal, (-1, 1)),
        ("NRC-VAD", column("valence"), arousal, None),
    ):
        if word is None or valence is None or other is None:
            continue
        if scale is not None:
            return Layout(name, word, valence, other, *scale), rows[1:]
        if names[word] != "emotion" or source is not None:
            return _nrc(path, rows[1:], names[word], word, (valence, other), source), rows[1:]
    if len(names) == 4 and all(_is_number(cell) for cell in rows[0][1][1:]):
        return _nrc(path, rows, "", 0, (1, 2), None), rows
    header = shortened(", ".join(rows[0][1][:8]), 80)
    raise EmoexpError(
        f"{path}: the header {header!r} is of no norms that emoexp knows: NRC-VAD"
        " (word, valence, arousal, dominance), Warriner 2013 (Word, V.Mean.Sum, A.Mean.Sum),"
        " Russell and Mehrabian 1977 (term, pleasure, arousal, dominance)"
    )


def _nrc(
    path: Path, rows: Rows, header: str, word: int, columns: tuple[int, int], source: int | None
) -> Layout:
    """Returns the layout of an NRC-VAD file of either version.

    A whole lexicon on -1 to 1 (v2) has negative values, one on 0 to 1 (v1) has none.

    Args:
        header: name of the column of words; empty where the file has no header.
        columns: of valence and arousal.

    Raises:
        EmoexpError: it is headed as v2 or as an extract and has no negative value, so the scale
            cannot be told.
    """
    cells = [float(cell) for _, row in rows for cell in row[1:] if _is_number(cell)]
    # A few negative values in v1 are mistakes: they are faults there, and do not make it a v2.
    negative = sum(cell < 0 for cell in cells) > 0.01 * len(cells)
    require(
        negative or header not in ("term", "emotion"),
        f"{path}: NRC-VAD v2 is on -1 to 1, but no value is negative: give the whole lexicon, or v1"
        " under its header `Word`",
    )
    version = "NRC-VAD v2" if negative else "NRC-VAD v1"
    name = version if source is None else f"{version} (extract)"
    return Layout(name, word, *columns, -1 if negative else 0, 1, source)


def _is_number(cell: str) -> bool:
    """Checks that a cell is a decimal number, perhaps with an exponent."""
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", cell) is not None
