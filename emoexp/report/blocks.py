"""The pieces that a report is made of, which know nothing of HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from emoexp.views.terminal import show_value

MARKS = "* passes and is informative; ~ passes, but so does noise; plain: fails; -: not measured."


class Cell(NamedTuple):
    """Text of a table's cell; `kind` is good, weak, bad or nothing."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str
    kind: str = ""


@dataclass(frozen=True)
class TableBlock:
    """The first `left` columns are text, the others numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    left: int = 1


@dataclass(frozen=True)
class FigureBlock:
    """`name` is the file that Markdown links to."""

    name: str
    figure: Figure
    caption: str


Block = Heading | Text | TableBlock | FigureBlock


def marked(verdict: dict[str, Any] | None) -> Cell:
    """The value and what it is worth."""
    if verdict is None:
        return Cell("-")
    if not verdict["passed"]:
        return Cell(show_value(verdict), "bad")
    return (
        Cell(f"{show_value(verdict)} *", "good")
        if verdict["informative"]
        else Cell(f"{show_value(verdict)} ~", "weak")
    )


def ranged(verdict: dict[str, Any] | None, name: str) -> Cell:
    """`low .. high` of the verdict's interval (`ci`) or null (`null`)."""
    return Cell(
        ""
        if verdict is None
        else f"{show_value(verdict, f'{name}_low')} .. {show_value(verdict, f'{name}_high')}"
    )


def in_order(identifiers: Iterable[str]) -> list[str]:
    """V1 to V11, each once."""
    return sorted(set(identifiers), key=lambda v: int(v[1:]))


def slug(*words: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(w for w in words if w)).strip("_")[:80]
