"""Parses the paper's page into text blocks and table rows, and finds candidates for the lists.

The page is known from a description only (headings, run-in titles, tables), so nothing here decides
which candidate is right: a hash does (emoexp/stimuli/paper/proof.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from emoexp.stimuli.paper import published
from emoexp.stimuli.paper.proof import LABELS, bare_words, normalise

# fmt: off
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "d-article", "dd", "details", "div", "dl",
    "dt", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "ul",
))
# fmt: on
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
BOLD, SKIPPED = ("b", "strong"), ("script", "style", "svg")


@dataclass(frozen=True)
class Block:
    """A paragraph, heading, list item or cell.

    Attributes:
        level: of a heading, 1 to 6; else 0.
        title: the bold text at the block's beginning.
    """

    text: str
    level: int
    title: str


@dataclass
class Page:
    """The content of a page, in which lists and prompts are looked for.

    Attributes:
        name: for the provenance; it has no path of the user's machine.
        blocks: in order, cells of tables included.
        tables: rows of cells.
    """

    name: str
    blocks: list[Block] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)

    def words(self, _: str) -> list[str]:
        """Returns the words of the whole page, for any prompt, which may be split over blocks."""
        return bare_words("\n".join(block.text for block in self.blocks))

    def candidates(self, name: str) -> list[list[str]]:
        """Returns the lists on the page that might be, or contain, the list `name`."""
        match name:
            case "emotions_171":
                return [_words_between_commas(block.text) for block in self.blocks]
            case "topics_100":
                return self._after_heading({"dataset", "generation"})
            case "activities_64":
                return self._rows(_activity)
            case "scenarios_12":
                return self._rows(_scenario)
            case n if n == LABELS:
                return self._rows(_scenario_label)
        return []

    def _rows(self, item: Callable[[Sequence[str]], str | None]) -> list[list[str]]:
        """Returns the items of one kind in each table.

        Args:
            item: the item in a row of two cells or more; None where the row has none.
        """
        tables = [[item(row) for row in table if len(row) >= 2] for table in self.tables]
        return [[text for text in items if text is not None] for items in tables]

    def _after_heading(self, wanted: set[str]) -> list[list[str]]:
        """Returns the blocks of each section whose heading has the `wanted` words.

        A section ends before the next heading of its rank or above, and before the first bold title
        of a prompt.
        """
        return [
            self._section(start)
            for start, block in enumerate(self.blocks)
            if block.level and wanted <= set(block.text.lower().split())
        ]

    def _section(self, start: int) -> list[str]:
        """Returns the texts, without headings, of the section whose heading is block `start`."""
        texts: list[str] = []
        for block in self.blocks[start + 1 :]:
            if 0 < block.level <= self.blocks[start].level or "prompt" in block.title.lower():
                break
            if not block.level:
                texts.append(block.text)
        return texts


_CATEGORIES = frozenset(published.activities().category)
_EMOTIONS = frozenset(word for words in published.clusters().values() for word in words)


def _activity(row: Sequence[str]) -> str | None:
    """Returns category and text in a row of the table of activities; None for any other row."""
    category = row[0].capitalize()
    return f"{category}\t{row[1]}" if category in _CATEGORIES else None


def _scenario(row: Sequence[str]) -> str | None:
    """Returns emotion and text in a row of the table of scenarios; None for any other row."""
    return f"{row[1].lower()}\t{_unquoted(row[2])}" if _is_scenario(row) else None


def _scenario_label(row: Sequence[str]) -> str | None:
    """Returns the label in a row of the table of scenarios; None for any other row."""
    return _unquoted(row[0]) if _is_scenario(row) else None


def _is_scenario(row: Sequence[str]) -> bool:
    """Checks that a row is of the table of scenarios: label, emotion, text."""
    return len(row) == 3 and row[1].lower() in _EMOTIONS


def _unquoted(text: str) -> str:
    """Returns a text without the quotes around it."""
    return text.strip("\"'")


def _words_between_commas(text: str) -> list[str]:
    """Returns the parts of a comma-separated list of words; nothing for any other text."""
    parts = [part.strip().removeprefix("and ").lower() for part in text.rstrip(". ").split(",")]
    return parts if len(parts) > 2 and all(0 < len(part.split()) <= 2 for part in parts) else []


def parse_page(html: str, name: str) -> Page:
    """Parses the HTML of a page, which is called `name` in the provenance."""
    parser = _Parser(name)
    parser.feed(html)
    parser.close()
    parser.end_block()
    return parser.page


class _Parser(HTMLParser):
    """The parser of a page.

    A block ends where a block element begins or ends. A tag that is not HTML, such as a delimiter
    of stories, leaves no text.

    Attributes:
        text: the current block's text so far.
        title: the bold text at the current block's beginning.
        cell: the current cell's text so far; None outside of cells.
        level: of the current heading; 0 outside of headings.
        bold: depth of open bold elements.
        skipped: depth of open elements whose text is left out.
    """

    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page(name)
        self.text: list[str] = []
        self.title: list[str] = []
        self.cell: list[str] | None = None
        self.level = self.bold = self.skipped = 0

    def end_block(self) -> None:
        """Adds the current block to the page, if it has text, and begins a new one."""
        if text := normalise("".join(self.text)):
            self.page.blocks.append(Block(text, self.level, normalise("".join(self.title))))
        self.text, self.title = [], []

    def end_cell(self) -> None:
        """Adds the current cell, if there is one, to the last row of the last table."""
        if self.cell is not None and self.page.tables and self.page.tables[-1]:
            self.page.tables[-1][-1].append(normalise("".join(self.cell)))
        self.cell = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ends and begins blocks, tables, rows and cells."""
        if tag in SKIPPED:
            self.skipped += 1
        if tag in BLOCKS:
            self.end_block()
            self.level = HEADINGS.index(tag) + 1 if tag in HEADINGS else 0
        if tag == "br":
            self.handle_data("\n")
        self.bold += tag in BOLD
        if tag in ("td", "th", "tr", "table"):
            self.end_cell()
        if tag == "table":
            self.page.tables.append([])
        elif tag == "tr" and self.page.tables:
            self.page.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = []

    def handle_endtag(self, tag: str) -> None:
        """Ends blocks and cells."""
        self.skipped = max(0, self.skipped - (tag in SKIPPED))
        self.bold = max(0, self.bold - (tag in BOLD))
        if tag in BLOCKS:
            self.end_block()
            self.level = 0
        if tag in ("td", "th", "tr", "table"):
            self.end_cell()

    def handle_data(self, data: str) -> None:
        """Adds text to the current block, to its title and to the current cell."""
        if self.skipped:
            return
        text, title = normalise("".join(self.text)), normalise("".join(self.title))
        if self.bold and not text.removeprefix(title):
            self.title.append(data)
        self.text.append(data)
        if self.cell is not None:
            self.cell.append(data)
