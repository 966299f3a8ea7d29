"""The passages of a set that project highest on each direction, token by token.

A heap of bounded size holds them during the pass; the model reads them again at the end, for the
projection of each token. Tokens are marked above the 90th percentile of the token projections on
the same direction over a random sample of the set's passages (paper, Fig. 1, marks tokens above
the 90th percentile), so that marks mean the same in all passages of a set.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emoexp.models.prompts import Range
from emoexp.store.artifacts import replacing
from emoexp.texts.passages import Passage
from emoexp.texts.projection import Batch, Projector

PASSAGES = "passages.parquet"
SAMPLED = 64
"""Passages of the random sample that a set's percentile is of."""
MARKED = 0.9
"""Quantile of the token projections above which a token is marked."""


class Highest:
    """The passages that project highest on each direction so far, and a random sample of all.

    Args:
        n: passages kept for each of the directions.
        directions: how many there are.
        seed: of the sample.
    """

    def __init__(self, n: int, directions: int, seed: int) -> None:
        self.n, self.rng, self.seen = n, np.random.default_rng(seed), 0
        self.heaps: list[list[tuple[float, int, Passage]]] = [[] for _ in range(directions)]
        self.sample: list[Passage] = []

    def add(self, batch: Batch) -> None:
        """Takes in a batch; of equal passages the earlier one is kept."""
        for passage, values in zip(batch.passages, batch.projection, strict=True):
            for heap, value in zip(self.heaps, values.tolist(), strict=True):
                entry = (value, -self.seen, passage)
                add = heapq.heappush if len(heap) < self.n else heapq.heappushpop
                add(heap, entry)  # no two entries agree in the first two parts
            self.seen += 1
            place = int(self.rng.integers(self.seen))
            if len(self.sample) < SAMPLED:
                self.sample.append(passage)
            elif place < SAMPLED:
                self.sample[place] = passage

    def ranked(self, direction: int) -> list[tuple[float, Passage]]:
        """Returns the passages of a direction with their projections, the highest first."""
        ordered = sorted(self.heaps[direction], key=lambda entry: entry[:2], reverse=True)
        return [(value, passage) for value, _, passage in ordered]


def passage_rows(
    highest: Highest, projector: Projector, names: Sequence[str], unit: float
) -> list[dict[str, Any]]:
    """Reads the highest passages again and returns a row for each direction and rank.

    Args:
        unit: mean residual norm of the layer, the unit of projections.

    Returns:
        emotion, rank, document (its name), passage (its number in the document), projection,
        threshold (above which a token is marked), text, and by token `tokens` (its text), `starts`,
        `ends` (its characters) and `projections`, NaN where the token is left out.
    """
    thresholds = _thresholds(highest.sample, projector, unit)
    wanted: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    passages: dict[tuple[int, int], Passage] = {}
    for k in range(len(names)):
        for rank, (value, passage) in enumerate(highest.ranked(k), 1):
            key = (passage.document, passage.number)
            passages[key] = passage
            wanted[key].append((k, rank, value))
    rows = []
    for passage, offsets, values in _token_values(list(passages.values()), projector, unit):
        text = passage.text
        shown = {
            "document": passage.name,
            "passage": passage.number,
            "text": text,
            "tokens": [text[a:b] for a, b in offsets],
            "starts": [a for a, _ in offsets],
            "ends": [b for _, b in offsets],
        }
        for k, rank, value in wanted[passage.document, passage.number]:
            numbers = {
                "projection": value / unit,
                "threshold": float(thresholds[k]),
                "projections": values[:, k].tolist(),
            }
            rows.append((k, rank, {"emotion": names[k], "rank": rank} | shown | numbers))
    return [row for *_, row in sorted(rows, key=lambda r: r[:2])]


def _thresholds(sample: Sequence[Passage], projector: Projector, unit: float) -> np.ndarray:
    """The percentile of token projections on each direction over the sample; (direction,)."""
    values = np.concatenate([v for *_, v in _token_values(sample, projector, unit)])
    return np.asarray(np.nanquantile(values, MARKED, axis=0))


def _token_values(
    passages: Sequence[Passage], projector: Projector, unit: float
) -> Iterator[tuple[Passage, list[Range], np.ndarray]]:
    """Yields each passage with the characters of its own tokens and their projections, NaN where a
    token is left out; (token, direction)."""
    for rows, found in projector.tokenwise(passages):
        values = found.residuals.cpu().numpy() @ projector.directions.T / unit
        values[~found.used.cpu().numpy()] = np.nan
        for row, projected in zip(rows, values, strict=True):
            passage = passages[row]
            own = [i for i, (start, _) in enumerate(passage.tokens.offsets) if start >= 0]
            yield passage, [passage.tokens.offsets[i] for i in own], projected[own]


def write_passages(rows: Sequence[dict[str, Any]], directory: Path) -> None:
    """Writes the passages of all sets beside a run's tables, as parquet."""
    with replacing(directory / PASSAGES) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)
