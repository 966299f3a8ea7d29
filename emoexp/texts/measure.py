"""What is measured of sets of texts: counts, projections by group of documents, nulls, passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.stats.texts import NEUTRAL
from emoexp.texts.passages import LEAST_TOKENS, Counts
from emoexp.texts.projection import READ_OUTS, Projector, Sums
from emoexp.texts.sources import TextSet
from emoexp.texts.top import Highest


@dataclass(frozen=True)
class Measured:
    """A set after the pass.

    Attributes:
        texts: the set.
        counts: what was read and left out.
        sums: of the projections.
        highest: its passages that project highest.
    """

    texts: TextSet
    counts: Counts
    sums: Sums
    highest: Highest


def measure_set(
    projector: Projector, texts: TextSet, limit: int | None, top: int, seed: int
) -> Measured:
    """Projects a set on the directions.

    Args:
        limit: documents that are read; None is all.
        top: passages that are kept for each direction.

    Raises:
        EmoexpError: fewer than two documents have a passage, so that there is no interval.
    """
    counts, sums = Counts(), Sums.empty(projector.directions)
    highest = Highest(top, len(projector.directions), seed)
    for batch in projector.batches(texts, limit, counts, sums):
        highest.add(batch)
    if (n := counts.documents - counts.documents_short) < 2:
        raise EmoexpError(
            f"experiment.texts: {texts.source} has {n} document(s) of at least {LEAST_TOKENS} "
            "tokens, and an interval over documents needs 2: give a folder, JSONL or parquet, or "
            "cut a text file with experiment.separator=<a pattern of the line between documents>"
        )
    return Measured(texts, counts, sums, highest)


def measure_sets(
    projector: Projector,
    sets: Sequence[TextSet],
    neutral: Sequence[str],
    limit: int | None,
    top: int,
    seed: int,
) -> list[Measured]:
    """Measures the sets, and last, under the name `NEUTRAL`, all neutral texts in the same way.

    Raises:
        EmoexpError: as `Projector.check` or `measure_set` does.
    """
    projector.check()
    reference = TextSet(NEUTRAL, NEUTRAL, lambda: (("", [text]) for text in neutral))
    found = [measure_set(projector, texts, limit, top, seed) for texts in sets]
    return [*found, measure_set(projector, reference, None, 1, seed)]


def counts_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Returns a row for each set: what was read, and what was left out."""
    return pd.DataFrame(
        [{"set": m.texts.name, "source": m.texts.source, **m.counts.row()} for m in measured]
    )


def groups_table(
    measured: Sequence[Measured], read_out: str, names: Sequence[str], unit: float
) -> pd.DataFrame:
    """Returns the mean of one read-out over the passages of each group of documents.

    Args:
        read_out: `projection` or `cosine`.
        unit: what the means are divided by: the mean residual norm for projections, 1 for cosines.

    Returns:
        set, group, documents, passages, and the mean for each of `names`.
    """
    parts = []
    for m in measured:
        filled = np.flatnonzero(m.sums.passages)
        sums = m.sums.values[READ_OUTS.index(read_out), filled]
        means = sums / m.sums.passages[filled, None] / unit
        part = pd.DataFrame(means, columns=list(names))
        part.insert(0, "set", m.texts.name)
        part.insert(1, "group", filled)
        part.insert(2, "documents", m.sums.documents[filled])
        part.insert(3, "passages", m.sums.passages[filled])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def nulls_table(
    measured: Sequence[Measured],
    directions: Mapping[str, np.ndarray],
    names: Sequence[str],
    unit: float,
) -> pd.DataFrame:
    """Returns the mean projection of each set on null directions in the emotions' places.

    Args:
        directions: by the label of the null; (draw, place, d_model).
        unit: mean residual norm of the layer.

    Returns:
        set, null, draw, and the mean for each place, which has an emotion's name.
    """
    parts = []
    for m in measured:
        mean = m.sums.residual / m.counts.passages / unit
        for label, drawn in directions.items():
            part = pd.DataFrame(drawn @ mean, columns=list(names))
            part.insert(0, "set", m.texts.name)
            part.insert(1, "null", label)
            part.insert(2, "draw", np.arange(len(drawn)))
            parts.append(part)
    return pd.concat(parts, ignore_index=True)
