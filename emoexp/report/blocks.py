"""The blocks of a report, which are independent of HTML and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from emoexp.views.terminal import show_value

MARKS = "* passes and is informative; ~ passes, not above its null; plain: fails; -: not measured."


class Cell(NamedTuple):
    """The text of a table's cell; `kind` is good, weak, bad or nothing; `links` are words and the
    files or folders that they lead to."""

    text: str
    kind: str = ""
    links: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Heading:
    """A heading; level 2 is a section, level 3 a part of one."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` as of a cell."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Code:
    """A command line, to be copied."""

    text: str


@dataclass(frozen=True)
class TableBlock:
    """A table whose first `left` columns are text, and the others numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    left: int = 1


@dataclass(frozen=True)
class FigureBlock:
    """A figure; `name` is the file that Markdown links to."""

    name: str
    figure: Figure
    caption: str


Block = Heading | Text | Code | TableBlock | FigureBlock


def marked(verdict: dict[str, Any] | None) -> Cell:
    """Returns the value of a verdict with its mark, as `MARKS` explains them."""
    if verdict is None:
        return Cell("-")
    if not verdict["passed"]:
        return Cell(show_value(verdict), "bad")
    if verdict["informative"]:
        return Cell(f"{show_value(verdict)} *", "good")
    return Cell(f"{show_value(verdict)} ~", "weak")


def ranged(verdict: dict[str, Any] | None, name: str) -> Cell:
    """Returns `low .. high` of the verdict's interval (`ci`) or null (`null`)."""
    if verdict is None:
        return Cell("")
    return Cell(f"{show_value(verdict, f'{name}_low')} .. {show_value(verdict, f'{name}_high')}")


def in_order(identifiers: Iterable[str]) -> list[str]:
    """Returns the criteria from V1 to V11, each once."""
    return sorted(set(identifiers), key=lambda v: int(v[1:]))


def slug(*words: str) -> str:
    """Returns the words as a part of a file name, of at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(w for w in words if w)).strip("_")[:80]
