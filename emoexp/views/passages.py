"""The passages page: the passages of each set of texts that project highest on each emotion.

It is one file that needs no network, and a view of a saved run's passages.parquet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from emoexp.store.artifacts import write_text
from emoexp.store.record import SavedRun
from emoexp.texts.top import MARKED, PASSAGES
from emoexp.views.pages import template
from emoexp.views.transcripts import segments

PAGE = "passages.html"


def marked_ranges(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Returns the characters of the tokens above the threshold; a token that is left out has the
    projection NaN, which is not above it."""
    tokens = zip(row["starts"], row["ends"], row["projections"], strict=True)
    return [(int(a), int(b)) for a, b, x in tokens if x > row["threshold"]]


def cards(passages: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yields each passage as the template shows it."""
    shown = ("set", "emotion", "rank", "document", "passage", "projection", "threshold")
    for record in passages.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        marked = segments(row["text"], marked_ranges(row))
        yield {name: row[name] for name in shown} | {"segments": marked}


def write_passages_page(run: SavedRun) -> Path:
    """Writes the page into the run's directory and returns its path; every text is escaped."""
    passages = pd.read_parquet(run.directory / PASSAGES)
    page = template("passages.html.j2").render(
        title="Texts: passages by emotion",
        lines=[f"{run.record.model}, layer {run.record.layer}", *run.record.notes],
        marked=round(100 * MARKED),
        cards=cards(passages),
        sets=list(passages["set"].unique()),
        emotions=sorted(passages["emotion"].unique()),
    )
    path = run.directory / PAGE
    write_text(path, page)
    return path
