"""Reads human norms of valence and arousal from a user's file.

Norms are ratings by people; nothing is estimated by a formula. The header tells which layout the
file has. Every value is checked against the layout's scale; words that are not in the file are
absent.

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
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoexp.errors import EmoexpError

FEWEST = 3
"""Fewest emotions that a file must have, for a valence axis."""
MOST_LISTED = 20
"""Most faults that one error lists."""
WORD = ("word", "term", "emotion")
"""Names of the column of words."""


@dataclass(frozen=True)
class Norms:
    """The norms of the emotions that a file has.

    Attributes:
        layout: name of the file's layout, for the record.
        valence: on [-1, 1].
        arousal: on [-1, 1].
    """

    layout: str
    valence: dict[str, float]
    arousal: dict[str, float]


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of file, by index, and its scale from `low` to `high`.

    Attributes:
        source: the column that says where a row comes from; None where there is none.
    """

    name: str
    word: int
    valence: int
    arousal: int
    low: float
    high: float
    source: int | None = None

    def rescale(self, value: float) -> float:
        """Returns a value of the file's scale on [-1, 1]."""
        return (2 * value - self.low - self.high) / (self.high - self.low)


def load_norms(path: Path, emotions: Sequence[str]) -> dict[str, float]:
    """Reads the valence, on [-1, 1], of those of `emotions` that the file has.

    See `read_norms`, also for what it raises.
    """
    return read_norms(path, emotions).valence


def read_norms(path: Path, emotions: Sequence[str]) -> Norms:
    """Reads the norms of those of `emotions` that the file has.

    A word of the file is an emotion if the two are equal but for case and underscores.

    Raises:
        EmoexpError: no such file, an unknown layout, values that are no numbers or off the scale, a
            word rated twice, or fewer than three of the emotions in the file.
    """
    layout, rows = _layout(path, _table(path))
    ratings, faults = _ratings(layout, rows, emotions)
    if faults:
        more = f"; and {len(faults) - MOST_LISTED} more" if len(faults) > MOST_LISTED else ""
        raise EmoexpError(
            f"{path} ({layout.name}) has {len(faults)} malformed row(s):"
            f" {'; '.join(faults[:MOST_LISTED])}{more}"
        )
    if len(ratings) < FEWEST:
        raise EmoexpError(
            f"{path} ({layout.name}) has {len(ratings)} of the {len(emotions)} emotions: at least"
            f" {FEWEST} are needed for a valence axis"
        )
    ordered = {e: ratings[e] for e in emotions if e in ratings}
    return Norms(
        layout.name,
        {e: layout.rescale(valence) for e, (valence, _) in ordered.items()},
        {e: layout.rescale(arousal) for e, (_, arousal) in ordered.items()},
    )


Rows = list[tuple[int, list[str]]]
"""Rows of cells, each with its line number."""


def _ratings(
    layout: Layout, rows: Rows, emotions: Sequence[str]
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Returns (valence, arousal) by emotion, on the file's scale, and the faults of all rows."""
    by_word = {_normal(emotion): emotion for emotion in emotions}
    ratings: dict[str, tuple[float, float]] = {}
    faults = []
    for line, row in rows:
        if len(row) <= max(layout.word, layout.valence, layout.arousal, layout.source or 0):
            faults.append(f"line {line}: {len(row)} fields, too few")
            continue
        try:
            rating = (_number(row, layout.valence, layout), _number(row, layout.arousal, layout))
        except ValueError as error:
            faults.append(f"line {line}: {error}")
            continue
        emotion = by_word.get(_normal(row[layout.word]))
        if emotion is None or _is_estimate(row, layout):
            continue
        if ratings.setdefault(emotion, rating) != rating:
            faults.append(f"line {line}: {row[layout.word]!r} is rated a second time")
    return ratings, faults


def _is_estimate(row: list[str], layout: Layout) -> bool:
    """Checks whether a row has a source that is not NRC."""
    return layout.source is not None and not row[layout.source].lower().startswith("nrc")


def _normal(word: str) -> str:
    """Returns a word in small letters, with blanks for underscores."""
    return word.strip().lower().replace("_", " ")


def _table(path: Path) -> Rows:
    """Reads the rows that are not empty, with their line numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EmoexpError(
            f"emotions.norms={path} cannot be read ({type(error).__name__}): give a file of human"
            " norms"
        ) from error
    except UnicodeDecodeError as error:
        raise EmoexpError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    tabs = "\t" in text.split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    return [
        (reader.line_num, [cell.strip() for cell in row])
        for row in reader
        if any(cell.strip() for cell in row)
    ]


def _layout(path: Path, rows: Rows) -> tuple[Layout, Rows]:
    """Returns the layout of a file, and its rows without the header."""
    if not rows:
        raise EmoexpError(f"{path} is empty")
    names = [" ".join(re.split(r"[\s_]+", cell.lower())) for cell in rows[0][1]]

    def column(*usual: str) -> int | None:
        return next((names.index(u) for u in usual if u in names), None)

    word = column(*WORD)
    warriner_valence, warriner_arousal = column("v.mean.sum"), column("a.mean.sum")
    pleasure = column("pleasure", "pleasure mean", "mean pleasure", "pleasure mean (sd)")
    arousal = column("arousal", "arousal mean", "mean arousal", "arousal mean (sd)")
    if word is not None and warriner_valence is not None and warriner_arousal is not None:
        columns = (word, warriner_valence, warriner_arousal)
        return Layout("Warriner et al. 2013", *columns, 1, 9), rows[1:]
    if word is not None and pleasure is not None and arousal is not None:
        return Layout("Russell and Mehrabian 1977", word, pleasure, arousal, -1, 1), rows[1:]
    valence, source = column("valence"), column("source")
    if (
        word is not None
        and valence is not None
        and arousal is not None
        and (names[word] != "emotion" or source is not None)
    ):
        return _nrc(path, rows[1:], names[word], word, (valence, arousal), source), rows[1:]
    if len(names) == 4 and all(_is_number(cell) for cell in rows[0][1][1:]):
        return _nrc(path, rows, "", 0, (1, 2), None), rows
    raise EmoexpError(
        f"{path}: the header {', '.join(rows[0][1][:8])} is of no norms that emoexp knows: NRC-VAD"
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
    if not negative and header in ("term", "emotion"):
        raise EmoexpError(
            f"{path}: NRC-VAD v2 is on -1 to 1, but no value is negative: give the whole lexicon,"
            " or v1 under its header `Word`"
        )
    version = "NRC-VAD v2" if negative else "NRC-VAD v1"
    name = version if source is None else f"{version} (extract)"
    return Layout(name, word, *columns, -1 if negative else 0, 1, source)


def _is_number(cell: str) -> bool:
    """Checks that a cell is a decimal number, perhaps with an exponent."""
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", cell) is not None


def _number(row: list[str], column: int, layout: Layout) -> float:
    """Returns the mean in a cell: a number, or "mean (sd)"; a minus may be the typographic one.

    Raises:
        ValueError: no number, or off the scale.
    """
    cell = re.sub(r"\s*\(.*\)$", "", row[column].replace("\u2212", "-"))
    if not _is_number(cell):
        raise ValueError(f"{row[column]!r} is no number")
    if not layout.low <= float(cell) <= layout.high:
        raise ValueError(f"{row[column]} is not on the scale {layout.low:g} to {layout.high:g}")
    return float(cell)
