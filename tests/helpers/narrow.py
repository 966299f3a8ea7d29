"""What a narrow terminal shows, against a wide one."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.table import Table
from rich.text import Text

from emoexp.console import PROSE, print_table
from emoexp.store.record import SavedRun
from emoexp.views.terminal import frame_table, tables_of, verdict_table

WIDTHS = (40, 60, 80, 130)


def rendered(table: Table, width: int) -> str:
    """What a console of `width` columns prints of a table."""
    out = io.StringIO()
    print_table(Console(file=out, width=width), table)
    return out.getvalue()


def words_of(text: str) -> set[str]:
    return {word.strip(":") for word in re.split(r"[│┃\s]+", text)}


def check_nothing_is_cut(table: Table, width: int) -> None:
    """Every cell and the name of every column that has one is printed: short texts in one piece,
    others word by word; no line is wider than the console."""
    columns = {
        str(column.header): [Text.from_markup(str(cell)).plain for cell in column.cells]
        for column in table.columns
    }
    headings = [str(column.header) for column in table.columns[:2]]  # left out where they stack
    printed = rendered(table, width)
    assert max(map(len, printed.splitlines())) <= width
    shown = words_of(printed)
    for name, cells in columns.items():
        for cell in filter(None, cells):
            assert words_of(cell) <= shown, f"{cell!r} at {width}"
            assert cell in printed or len(cell) > PROSE or width < 60, f"{cell!r} at {width}"
        if any(cells) and name not in headings:
            assert words_of(name) <= shown, f"{name!r} at {width}"


def check_run_is_shown_whole(run: SavedRun) -> None:
    """Checks every table that the terminal shows of a run at each of `WIDTHS`."""
    for width in WIDTHS:
        if run.record.verdicts:
            check_nothing_is_cut(verdict_table(run.record.verdicts, "run"), width)
        for title, frame in tables_of(run):
            check_nothing_is_cut(frame_table(frame, title), width)
