"""The blocks of a report as one HTML page that needs no other file, or as Markdown with its figures
beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from emoexp.figures import files
from emoexp.report.blocks import Block, Cell, FigureBlock, Heading, TableBlock, Text
from emoexp.views.pages import environment


def png(block: FigureBlock) -> str:
    """Returns the figure as a PNG in base64."""
    return base64.b64encode(files.png(block.figure)).decode()


def html(title: str, blocks: Sequence[Block]) -> str:
    """Returns one page that needs no other file and no network; every text is escaped."""
    pages = environment(Path(__file__).parent)
    pages.tests["heading"] = lambda block: isinstance(block, Heading)
    pages.tests["words"] = lambda block: isinstance(block, Text)
    pages.tests["cells"] = lambda block: isinstance(block, TableBlock)
    return pages.get_template("report.html.j2").render(title=title, blocks=blocks, png=png)


def escaped(text: str) -> str:
    """Returns plain text for Markdown: nothing in it becomes markup, a link or a new column."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(escaped(cell.text) for cell in cells) + " |"


def _table(block: TableBlock) -> str:
    sides = (" :-- " if k < block.left else " --: " for k in range(len(block.columns)))
    head = _row([Cell(name) for name in block.columns])
    return "\n".join([head, f"|{'|'.join(sides)}|", *map(_row, block.rows)])


def markdown(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """Returns the report as Markdown, and saves its figures into `folder`, as PNG and PDF."""
    lines = [f"# {escaped(title)}"]
    for block in blocks:
        if isinstance(block, Heading):
            lines.append(f"{'#' * block.level} {escaped(block.text)}")
        elif isinstance(block, Text):
            lines.append(escaped(block.text))
        elif isinstance(block, TableBlock):
            lines.append(_table(block))
        else:
            files.save(block.figure, folder, Path(block.name).stem)
            lines.append(f"![{escaped(block.caption)}]({block.name})")
    return "\n\n".join(lines) + "\n"
