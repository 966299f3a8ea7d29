"""Passages: documents cut into runs of tokens, each of which the model reads by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emoexp.models.prompts import Prompt, Tokens, tokenize
from emoexp.texts.sources import Piece, TextSet

LEAST_TOKENS = 16
"""A passage has at least so many tokens; what is left of a document is left out if it has fewer."""

LEFT_OUT = ("first", "special", "massive", "short")
"""Why tokens are left out, as `Counts` names them."""


@dataclass(frozen=True)
class Passage:
    """A passage of a document.

    Attributes:
        document: number of the document in its set, from 0.
        name: of the document.
        number: of the passage in its document, from 0.
        text: its characters.
        tokens: its ids and the range of characters of each in `text`; (-1, -1) for a special token
            of the model.
    """

    document: int
    name: str
    number: int
    text: str
    tokens: Tokens


@dataclass
class Counts:
    """What of a set was read, and what was left out, in documents and tokens.

    Attributes:
        documents: that were read.
        documents_short: of them, those without a passage of `LEAST_TOKENS`.
        passages: that were projected.
        tokens: that the projections are means of.
        first: left out as the first of a sequence, the BOS or for a model without one the
            passage's own first token (it is an attention sink in many models).
        special: left out as special tokens of the model.
        massive: left out as massive activations.
        short: left out with the ends of documents that have fewer than `LEAST_TOKENS`.
        digest: of the tokens of all passages.
    """

    documents: int = 0
    documents_short: int = 0
    passages: int = 0
    tokens: int = 0
    first: int = 0
    special: int = 0
    massive: int = 0
    short: int = 0
    digest: Any = field(default_factory=hashlib.sha256, repr=False)

    def row(self) -> dict[str, int | str]:
        """Returns the row of the table `texts`."""
        left_out = {f"{why}_left_out": getattr(self, why) for why in LEFT_OUT}
        read = ("documents", "documents_short", "passages", "tokens")
        counts = {name: getattr(self, name) for name in read}
        return {**counts, **left_out, "sha256": self.digest.hexdigest()}


@dataclass(frozen=True)
class Cutter:
    """Cuts the documents of a set into passages.

    Attributes:
        tokenizer: of the model.
        tokens: of the text in one passage; the last one of a document may have fewer.
        per_document: passages of one document that are read, its first ones; None is all.
    """

    tokenizer: Any
    tokens: int
    per_document: int | None

    def prefix(self) -> list[int]:
        """Returns the ids that the tokenizer puts before a text, such as the BOS."""
        row = tokenize(Prompt("a"), self.tokenizer)
        first = next(i for i, (start, _) in enumerate(row.offsets) if start >= 0)
        return row.ids[:first]

    def _tokens_of(self, text: str) -> Tokens:
        """Returns the tokens of a text alone; unlike a prompt's they may begin with two BOS."""
        row = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        special = set(self.tokenizer.all_special_ids)
        marks = zip(row["input_ids"], row["offset_mapping"], strict=True)
        offsets = [(-1, -1) if token in special else (int(a), int(b)) for token, (a, b) in marks]
        return Tokens(list(row["input_ids"]), offsets)

    def passages(self, texts: TextSet, limit: int | None, counts: Counts) -> Iterator[Passage]:
        """Yields the passages of the first `limit` documents, and counts what is left out."""
        prefix, current, number = self.prefix(), -1, 0
        for piece in texts.pieces(limit):
            if piece.document != current:
                counts.documents_short += current >= 0 and number == 0
                counts.documents += 1
                current, number = piece.document, 0
            for passage in self._of_piece(piece, prefix, number, counts):
                yield passage
                number += 1
        counts.documents_short += current >= 0 and number == 0

    def _of_piece(
        self, piece: Piece, prefix: Sequence[int], number: int, counts: Counts
    ) -> Iterator[Passage]:
        """Yields the passages of a piece, whose first is the document's passage `number`."""
        if number == self.per_document or not piece.text:
            return
        row = self._tokens_of(piece.text)
        for start in range(0, len(row.ids), self.tokens):
            if number == self.per_document:
                return
            end = start + self.tokens
            ids, offsets = row.ids[start:end], row.offsets[start:end]
            own = [pair for pair in offsets if pair[0] >= 0]
            if len(own) < LEAST_TOKENS:
                counts.short += len(ids)
                continue
            left, right = own[0][0], own[-1][1]
            moved = [(a - left, b - left) if a >= 0 else (a, b) for a, b in offsets]
            tokens = Tokens([*prefix, *ids], [(-1, -1)] * len(prefix) + moved)
            text = piece.text[left:right]
            yield Passage(piece.document, piece.name, number, text, tokens)
            number += 1


def hash_of(passages: Sequence[Passage]) -> str:
    """Returns the sha256 of the ids of passages, which is all that their numbers depend on."""
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(np.array([-1, *passage.tokens.ids], dtype=np.int64).tobytes())
    return digest.hexdigest()
