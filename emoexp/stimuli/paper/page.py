"""The paper's page as text blocks and table rows, and where on it the lists are looked for.

The page is known from a description only (headings, run-in titles, tables), so nothing here decides
what is right: it offers candidates, and a hash takes one (emoexp/stimuli/paper/proof.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from emoexp.stimuli.paper import published
from emoexp.stimuli.paper.proof import LABELS, bare_words, normalise

BLOCKS = frozenset(
    (
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "d-article",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    )
)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
BOLD, SKIPPED = ("b", "strong"), ("script", "style", "svg")


@dataclass(frozen=True)
class Block:
    """A paragraph, heading, list item or cell. `level` is the heading's (1 to 6), else 0; `title`
    is the bold text that it opens with."""

    text: str
    level: int
    title: str


@dataclass
class Page:
    """Attributes:
    blocks: in order, cells of tables included.
    tables: rows of cells.
    """

    blocks: list[Block] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)

    def words(self) -> list[str]:
        """The whole page as one run of words, for prompts, which may be split over blocks in any
        way."""
        return bare_words("\n".join(block.text for block in self.blocks))

    def candidates(self, name: str) -> list[list[str]]:
        """Lists on the page that might be, or hold, the list `name`."""
        match name:
            case "emotions_171":
                return [_words_between_commas(block.text) for block in self.blocks]
            case "topics_100":
                return self._after_heading({"dataset", "generation"})
            case "activities_64":
                return self._rows(
                    lambda row: (
                        f"{row[0].capitalize()}\t{row[1]}"
                        if row[0].capitalize() in _CATEGORIES
                        else None
                    )
                )
            case "scenarios_12":
                return self._rows(
                    lambda row: (
                        f"{row[1].lower()}\t{_unquoted(row[2])}" if _is_scenario(row) else None
                    )
                )
            case n if n == LABELS:
                return self._rows(lambda row: _unquoted(row[0]) if _is_scenario(row) else None)
        return []

    def _rows(self, item: Callable[[Sequence[str]], str | None]) -> list[list[str]]:
        """By table, the rows that are items of the wanted kind."""
        return [
            [i for row in table if len(row) >= 2 and (i := item(row)) is not None]
            for table in self.tables
        ]

    def _after_heading(self, wanted: set[str]) -> list[list[str]]:
        """Blocks between a heading that has the `wanted` words and the next of its rank, up to the
        first bold title of a prompt."""
        found = []
        for start, heading in enumerate(self.blocks):
            if heading.level and wanted <= set(heading.text.lower().split()):
                part: list[str] = []
                for block in self.blocks[start + 1 :]:
                    if 0 < block.level <= heading.level or "prompt" in block.title.lower():
                        break
                    if not block.level:
                        part.append(block.text)
                found.append(part)
        return found


_CATEGORIES = frozenset(published.activities().category)
_EMOTIONS = frozenset(word for words in published.clusters().values() for word in words)


def _is_scenario(row: Sequence[str]) -> bool:
    return len(row) == 3 and row[1].lower() in _EMOTIONS


def _unquoted(text: str) -> str:
    return text.strip("\"'")


def _words_between_commas(text: str) -> list[str]:
    """The parts of a comma-separated list of words; nothing for any other text."""
    parts = [part.strip().removeprefix("and ").lower() for part in text.rstrip(". ").split(",")]
    return parts if len(parts) > 2 and all(0 < len(part.split()) <= 2 for part in parts) else []


def parse_page(html: str) -> Page:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    parser.end_block()
    return parser.page


class _Parser(HTMLParser):
    """Blocks end where block elements begin or end; a tag that HTML does not know (such as a
    delimiter of stories) leaves no text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.text: list[str] = []
        self.title: list[str] = []
        self.cell: list[str] | None = None
        self.level = self.bold = self.skipped = 0

    def end_block(self) -> None:
        if text := normalise("".join(self.text)):
            self.page.blocks.append(Block(text, self.level, normalise("".join(self.title))))
        self.text, self.title = [], []

    def end_cell(self) -> None:
        if self.cell is not None and self.page.tables and self.page.tables[-1]:
            self.page.tables[-1][-1].append(normalise("".join(self.cell)))
        self.cell = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
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
        self.skipped = max(0, self.skipped - (tag in SKIPPED))
        self.bold = max(0, self.bold - (tag in BOLD))
        if tag in BLOCKS:
            self.end_block()
            self.level = 0
        if tag in ("td", "th", "tr", "table"):
            self.end_cell()

    def handle_data(self, data: str) -> None:
        if self.skipped:
            return
        if self.bold and not normalise("".join(self.text)).removeprefix(
            normalise("".join(self.title))
        ):
            self.title.append(data)
        self.text.append(data)
        if self.cell is not None:
            self.cell.append(data)
