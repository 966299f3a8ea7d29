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
        documents, passages = m.sums.documents[filled], m.sums.passages[filled]
        means = m.sums.values[READ_OUTS.index(read_out), filled] / passages[:, None] / unit
        about = {"set": m.texts.name, "group": filled, "documents": documents}
        own = pd.DataFrame(about | {"passages": passages})
        parts.append(own.join(pd.DataFrame(means, columns=list(names))))
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
            about = {"set": m.texts.name, "null": label, "draw": np.arange(len(drawn))}
            found = pd.DataFrame(drawn @ mean, columns=list(names))
            parts.append(pd.DataFrame(about).join(found))
    return pd.concat(parts, ignore_index=True)
