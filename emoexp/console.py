"""The console: how wide it is, and tables that fit it without cutting a number."""

from __future__ import annotations

import os
import sys
import textwrap

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

FILE_WIDTH, UNKNOWN_WIDTH, LEAST_WIDTH = 200, 80, 20
"""Columns of a file or a pipe, of a terminal that does not say, and the fewest."""
PROSE = 20
"""Columns above which a text may be broken between words."""


def open_console(*, stderr: bool = False) -> Console:
    """Returns a console as wide as COLUMNS says, else as the terminal is; `FILE_WIDTH` where there
    is none."""
    stream = sys.stderr if stderr else sys.stdout
    said = os.environ.get("COLUMNS", "")
    columns = int(said) if said.isdecimal() else 0
    if not columns:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns or UNKNOWN_WIDTH
        except (OSError, ValueError):
            columns = FILE_WIDTH
    return Console(width=max(columns, LEAST_WIDTH), stderr=stderr)


def print_line(console: Console, text: str) -> None:
    """Prints markup, broken between words in a terminal and nowhere in a file."""
    console.print(text, soft_wrap=not console.is_terminal)


def print_table(console: Console, table: Table) -> None:
    """Prints a table in columns if they fit the console, else row by row (`stacked`).

    Only headers, and texts longer than `PROSE`, are broken into lines, between words.
    """
    title, caption = table.title, table.caption
    table.title = table.caption = None
    widths = _widths(table, console.width)
    for column, width in zip(table.columns, widths, strict=False):
        column.width = width
    if title:
        console.print(title)
    console.print(table if widths else stacked(table, console.width))
    if caption:
        console.print(caption, style=table.caption_style)


def _widths(table: Table, width: int) -> list[int]:
    """Returns the width of each column; none if they do not fit."""
    cells = [[Text.from_markup(str(cell)) for cell in column.cells] for column in table.columns]
    headers = [str(column.header) for column in table.columns]
    longest = [max((cell.cell_len for cell in column), default=0) for column in cells]
    whole = [any(" .. " in cell.plain for cell in column) for column in cells]  # an interval
    widths = [
        max(n if interval else min(n, PROSE), *map(len, header.split() or [""]))
        for n, interval, header in zip(longest, whole, headers, strict=True)
    ]
    wanted = [max(n, len(header)) for n, header in zip(longest, headers, strict=True)]
    spare = width - 3 * len(widths) - 1 - sum(widths)
    if spare < 0:
        return []
    for _ in range(spare):
        lacking = [want - given for want, given in zip(wanted, widths, strict=True)]
        if max(lacking, default=0) <= 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return widths


def stacked(table: Table, width: int) -> str:
    """Lays out each row of a table as a heading, of its first column, and `name: value` below it.

    A heading that is a number has its column's name before it. An empty cell is left out.
    """
    n_headings = 1 + next((i for i, column in enumerate(table.columns) if column.header), 0)
    headings, others = table.columns[:n_headings], table.columns[n_headings:]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    lines: list[str] = []
    for row in rows:
        cells = [Text.from_markup(str(cell)) for cell in row]
        heading = " ".join(cell.plain for cell in cells[:n_headings])
        if not any(letter.isalpha() for letter in heading):
            heading = f"{headings[-1].header} {heading}"
        lines += [f"[bold]{escape(line)}[/]" for line in textwrap.wrap(heading, width)]
        lines += _pairs(others, cells[n_headings:], width)
    return "\n".join(lines)


def _pairs(columns: list[Column], cells: list[Text], width: int) -> list[str]:
    """Returns the lines of a row's cells, as many `name: value` in each as fit whole."""
    indent, gap = "  ", "   "
    lines: list[str] = []
    room = 0
    for column, cell in zip(columns, cells, strict=True):
        if not cell.plain:
            continue
        name = str(column.header)
        length = len(name) + 2 + cell.cell_len
        pair = f"[dim]{escape(name)}:[/] {cell.markup}"
        if lines and length + len(gap) <= room:
            lines[-1] += gap + pair
            room -= length + len(gap)
        elif length + len(indent) <= width:
            lines.append(indent + pair)
            room = width - len(indent) - length
        else:
            text = textwrap.wrap(cell.plain, width - 2 * len(indent))
            lines += [f"{indent}[dim]{escape(name)}:[/]"]
            lines += [2 * indent + escape(line) for line in text]
            room = 0
    return lines
