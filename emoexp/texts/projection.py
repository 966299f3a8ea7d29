"""Projects passages on directions at one layer: one pass over a stream, in batches that are stored.

Of a passage, the tokens that count are its own without the first of the sequence (the BOS, or the
first token where there is none), without special tokens of the model and without massive ones,
those above 10 times the median norm of the passage (emoexp/vectors/pooling.py). Two read-outs:

projection: mean over tokens of the dot product of the residual with a unit direction; tables divide
    it by the mean residual norm of the layer.
cosine: mean over tokens of the cosine of the residual with the direction.

Both are linear in the direction, so the means over a set of the residuals, and of the residuals
scaled to norm 1, give them for any other directions, such as those of nulls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoexp.errors import EmoexpError, require
from emoexp.models.batches import length_batches
from emoexp.models.prompts import encode_tokens
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts, Row, array_key
from emoexp.store.progress import Meter, meter
from emoexp.texts.passages import LEAST_TOKENS, Counts, Cutter, Passage, hash_of
from emoexp.texts.sources import TextSet
from emoexp.vectors.pooling import massive_tokens, summing_device

VERSION = 1
BATCH = 64
"""Passages of one stored row: what a killed run computes again."""
GROUPS = 1024
"""Groups of documents, the units of the bootstrap: document i belongs to group i modulo this, so
that memory does not grow with the documents. Up to so many, each is a group of its own."""
READ_OUTS = ("projection", "cosine")


class Tokenwise(NamedTuple):
    """Residuals of a batch of passages, with the tokens that count.

    Attributes:
        residuals: (row, token, d_model), float64.
        used: tokens that count; (row, token).
        massive: tokens left out as massive; (row, token).
    """

    residuals: Tensor
    used: Tensor
    massive: Tensor


class Batch(NamedTuple):
    """Passages and their numbers.

    Attributes:
        passages: in the order of the set.
        projection, cosine: (passage, direction), float64; the projection is not yet divided by the
            residual norm.
    """

    passages: list[Passage]
    projection: np.ndarray
    cosine: np.ndarray


@dataclass
class Sums:
    """The running sums of a set, whose size does not depend on the set's.

    Attributes:
        passages: in each group; (group,).
        documents: in each group; (group,).
        values: sums over passages by read-out; (read-out, group, direction).
        residual: sum over passages of the mean residual; (d_model,), float64.
    """

    passages: np.ndarray
    documents: np.ndarray
    values: np.ndarray
    residual: np.ndarray

    @classmethod
    def empty(cls, directions: np.ndarray) -> Sums:
        """Returns sums of nothing, for directions of shape (direction, d_model)."""
        n, width = directions.shape
        passages, documents = (np.zeros(GROUPS, dtype=np.int64) for _ in range(2))
        return cls(passages, documents, np.zeros((len(READ_OUTS), GROUPS, n)), np.zeros(width))

    def add(self, batch: Batch) -> None:
        """Adds the passages of a batch."""
        group = np.array([passage.document for passage in batch.passages]) % GROUPS
        np.add.at(self.passages, group, 1)
        np.add.at(self.documents, group, [passage.number == 0 for passage in batch.passages])
        np.add.at(self.values[0], group, batch.projection)
        np.add.at(self.values[1], group, batch.cosine)


@dataclass(frozen=True)
class Projector:
    """Projects sets of texts on directions.

    Attributes:
        model, layer: whose residuals are read.
        directions: unit norm; (direction, d_model).
        cutter: cuts documents into passages.
        artifacts: where batches are stored.
    """

    model: SubjectModel
    layer: int
    directions: np.ndarray
    cutter: Cutter
    artifacts: Artifacts

    def check(self) -> None:
        """Raises EmoexpError where there are fewer than three directions, which have no ranking
        worth the name, or where a passage has more tokens than the model has positions."""
        n = len(self.directions)
        require(n >= 3, f"a ranking needs at least 3 emotions, not {n}: see emotions.names")
        limit = self.model.positions
        least = self.cutter.tokens + len(self.cutter.prefix())
        require(
            not limit or least <= limit,
            f"experiment.tokens={self.cutter.tokens} is too many: the model has {limit} positions",
        )

    def batches(
        self, texts: TextSet, limit: int | None, counts: Counts, sums: Sums
    ) -> Iterator[Batch]:
        """Yields a set's passages with their numbers, read from the store or computed, and adds
        them to `counts` and `sums`.

        Raises:
            EmoexpError: no document has a passage, or the model's activations are not numbers.
        """
        total = limit if texts.endless and limit is not None else texts.count(limit)
        passages = self.cutter.passages(texts, limit, counts)
        with meter(f"texts: {texts.name}, documents", total) as progress:
            while some := list(islice(passages, BATCH)):
                yield self._batch(some, counts, sums)
                _advance(progress, some[-1].document, counts.passages)
            _advance(progress, total, counts.passages)
        if counts.passages == 0:
            raise EmoexpError(
                f"experiment.texts: {texts.source} has no document of at least {LEAST_TOKENS}"
                f" tokens in its first {counts.documents}: give longer texts"
            )

    def _batch(self, passages: list[Passage], counts: Counts, sums: Sums) -> Batch:
        """Reads or computes the numbers of a batch, and adds them to `counts` and `sums`."""
        digest = hash_of(passages)
        key = ("texts", self.identity, [digest])
        [row] = self.artifacts.rows(*key, lambda _: self._row(passages), None)
        counts.digest.update(digest.encode())
        for name in ("tokens", "first", "special", "massive"):
            setattr(counts, name, getattr(counts, name) + int(row[name]))
        counts.passages += len(passages)
        batch = Batch(passages, *(row[name].astype(np.float64) for name in READ_OUTS))
        sums.add(batch)
        sums.residual += row["residual"]
        return batch

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the numbers of a batch depend on, beside its tokens."""
        return {
            "version": VERSION,
            "model": self.model.identity,
            "layer": self.layer,
            "directions": array_key(self.directions),
        }

    def _row(self, passages: Sequence[Passage]) -> Row:
        """Computes the numbers of a batch.

        Returns:
            projection and cosine (passage, direction), float32; residual, the sum over passages of
            their mean residual (d_model,); and counts of tokens.
        """
        n, width = self.directions.shape
        values = np.zeros((len(READ_OUTS), len(passages), n))
        residual, counts = np.zeros(width), np.zeros(2, dtype=np.int64)
        for rows, tokenwise in self.tokenwise(passages):
            h = tokenwise.residuals
            mean = _mean(h, tokenwise.used)
            scaled = _mean(h / h.norm(dim=-1, keepdim=True), tokenwise.used)
            values[0, rows] = mean @ self.directions.T
            values[1, rows] = scaled @ self.directions.T
            residual += mean.sum(0)
            counts += [int(tokenwise.used.sum()), int(tokenwise.massive.sum())]
        text = sum(len(passage.tokens.ids) - first_of(passage) for passage in passages)
        return {
            "projection": values[0].astype(np.float32),
            "cosine": values[1].astype(np.float32),
            "residual": residual,
            "tokens": counts[0],
            "massive": counts[1],
            "first": np.array(len(passages)),
            "special": text - counts.sum(),
        }

    def tokenwise(self, passages: Sequence[Passage]) -> Iterator[tuple[list[int], Tokenwise]]:
        """Yields the residuals of passages in batches of similar length, with their indices."""
        lengths = [len(passage.tokens.ids) for passage in passages]
        for rows in length_batches(lengths, self.model.config.batch_tokens):
            tokens = [passages[row].tokens for row in rows]
            encoding = encode_tokens(tokens, self.model.tokenizer, side="right")
            device = summing_device(self.model.device)
            normed = (encoding.is_text & (encoding.positions > 0)).to(device)

            def read(residual: Tensor, normed: Tensor = normed) -> Tokenwise:
                h = residual.to(normed.device).double()
                massive = massive_tokens(h.norm(dim=-1), normed)
                return Tokenwise(h, normed & ~massive, massive)

            [found] = self.model.each_residual(encoding, [self.layer], read)
            yield rows, found


def first_of(passage: Passage) -> int:
    """Returns how many tokens of a sequence are left out as the first: those before the text, such
    as the BOS, or the text's own first token where there are none."""
    starts = [start for start, _ in passage.tokens.offsets]
    return max(1, next(i for i, start in enumerate(starts) if start >= 0))


def _mean(h: Tensor, used: Tensor) -> np.ndarray:
    """Returns the mean over used tokens; (row, token, d_model), (row, token) -> (row, d_model)."""
    weights = used.double() / used.sum(1, keepdim=True)
    return torch.einsum("rtd,rt->rd", torch.where(used[..., None], h, 0), weights).cpu().numpy()


def _advance(progress: Meter, reached: int, passages: int) -> None:
    """Counts the documents before `reached` as done."""
    if (by := min(reached, progress.total) - progress.done) > 0:
        progress.advance(f"{passages} passages", by)
