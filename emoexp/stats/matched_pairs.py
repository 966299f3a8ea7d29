"""Does a direction raise what it is named for? Matrices of steered directions by columns (words,
probes), each row with a column of its own.

A random direction has no column of its own, so its null is a random direction paired with a random
column: whatever rises under any steering at all rises in the null too, and a mean rank stays at the
middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.stats import rankdata

from emoexp.stats.intervals import Interval, bootstrap, central


class Cells(NamedTuple):
    """Of every cell of a matrix (row, column).

    Attributes:
        value: the cell itself.
        rank: among the columns of its row, 1 the highest; ties share the mean of their ranks.
        selectivity: the cell minus the mean of the others of its row.
    """

    value: np.ndarray
    rank: np.ndarray
    selectivity: np.ndarray

    def at(self, columns: Sequence[int] | np.ndarray) -> Cells:
        """One cell of each row: the column that is the row's own; three arrays (row,)."""
        rows = np.arange(len(self.value))
        return Cells(*(part[rows, columns] for part in self))


def cells(matrix: np.ndarray) -> Cells:
    """Value, rank and selectivity of every cell."""
    if matrix.ndim != 2 or matrix.shape[1] < 2 or not np.isfinite(matrix).all():
        raise ValueError("a matrix of numbers with at least two columns is needed")
    others = (matrix.sum(1, keepdims=True) - matrix) / (matrix.shape[1] - 1)
    return Cells(matrix, rankdata(-matrix, axis=1), matrix - others)


class Estimate(NamedTuple):
    """A mean over n rows with its 95 % interval (bootstrap over rows), or for random directions
    with the range of such a mean."""

    value: float
    interval: Interval
    n: int

    @property
    def text(self) -> str:
        digits = 2 if max(map(abs, self.interval)) >= 1 else 3
        return f"{self.interval.low:.{digits}f} .. {self.interval.high:.{digits}f}"


def mean_of(values: np.ndarray, draws: int, seed: int) -> Estimate:
    """Mean over rows, with its bootstrap interval over rows."""
    return Estimate(
        float(values.mean()),
        bootstrap(len(values), lambda i: float(values[i].mean()), draws, seed),
        len(values),
    )


def random_pairs(values: np.ndarray, n: int, draws: int, seed: int) -> Estimate:
    """Mean of n cells, each of a random row and a random column, and the central 95 % of such
    means: the null; `values` is (direction, column).

    The mean is rounded to 12 digits: where it is zero by construction (selectivity), it says so.
    """
    rng = np.random.default_rng(seed)
    rows, columns = (
        rng.integers(0, len(values), (draws, n)),
        rng.integers(0, values.shape[1], (draws, n)),
    )
    return Estimate(
        round(float(values.mean()), 12) + 0.0, central(values[rows, columns].mean(1)), len(values)
    )


def reading_order(
    names: Sequence[str], valence: dict[str, float], directions: np.ndarray
) -> tuple[np.ndarray, str]:
    """An order of emotions in which a map can be read, and its name: by valence where all are
    known, else by clusters of the directions."""
    known = [valence[name] for name in names if name in valence]
    if len(known) == len(names):
        return np.argsort(known, kind="stable"), "valence"
    return (
        leaves_list(linkage(directions, "average", metric="cosine", optimal_ordering=True)),
        "cluster",
    )
