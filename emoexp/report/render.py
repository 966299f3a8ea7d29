"""The blocks of a report as one HTML page that needs no other file, or as Markdown with its figures
beside it."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from emoexp.figures import files
from emoexp.report.blocks import Block, Cell, Code, Heading, TableBlock, Text
from emoexp.views.pages import environment


def address(target: Path, folder: Path) -> str:
    """Returns the address of a file or folder, relative to that of the report, so that it leads
    there from the disk and wherever both are moved together."""
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())


def html(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """Returns one page that needs no other file and no network; every text is escaped. Its links
    are relative to `folder`."""
    pages = environment(Path(__file__).parent)
    pages.tests["heading"] = lambda block: isinstance(block, Heading)
    pages.tests["words"] = lambda block: isinstance(block, Text)
    pages.tests["code"] = lambda block: isinstance(block, Code)
    pages.tests["cells"] = lambda block: isinstance(block, TableBlock)
    return pages.get_template("report.html.j2").render(
        title=title,
        blocks=blocks,
        png=lambda block: base64.b64encode(files.png(block.figure)).decode(),
        address=lambda target: address(target, folder),
    )


def escaped(text: str) -> str:
    """Returns plain text for Markdown: nothing in it becomes markup, a link or a new column."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _cell(cell: Cell, folder: Path) -> str:
    links = [f"[{escaped(words)}]({address(target, folder)})" for words, target in cell.links]
    return escaped(cell.text) + ", ".join(links)


def _table(block: TableBlock, folder: Path) -> str:
    sides = (" :-- " if k < block.left else " --: " for k in range(len(block.columns)))
    rows = [tuple(map(Cell, block.columns)), *block.rows]
    head, *body = (f"| {' | '.join(_cell(cell, folder) for cell in row)} |" for row in rows)
    return "\n".join([head, f"|{'|'.join(sides)}|", *body])


def markdown(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """Returns the report as Markdown, and saves its figures into `folder`, as PNG and PDF."""
    lines = [f"# {escaped(title)}"]
    for block in blocks:
        if isinstance(block, Heading):
            lines.append(f"{'#' * block.level} {escaped(block.text)}")
        elif isinstance(block, Text):
            lines.append(escaped(block.text))
        elif isinstance(block, TableBlock):
            lines.append(_table(block, folder))
        elif isinstance(block, Code):
            lines.append("\n".join(f"    {line}" for line in block.text.splitlines()))
        else:
            files.save(block.figure, folder, Path(block.name).stem)
            lines.append(f"![{escaped(block.caption)}]({block.name})")
    return "\n\n".join(lines) + "\n"
