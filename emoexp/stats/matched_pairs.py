"""Statistics of how much a direction raises the word or probe that it is named for.

Matrices have a row for each steered direction and a column for each word or probe; each row has a
column of its own. A random direction has none, so the null is a random direction paired with a
random column: what rises under any steering at all rises in the null too, and the mean rank of the
null is the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.stats import rankdata

from emoexp.stats.intervals import Interval, bootstrap, central


class Cells(NamedTuple):
    """Statistics of every cell of a matrix (row, column).

    Attributes:
        value: the cell itself.
        rank: among the columns of its row, 1 the highest; ties share the mean of their ranks.
        selectivity: the cell minus the mean of the others of its row.
    """

    value: np.ndarray
    rank: np.ndarray
    selectivity: np.ndarray

    def at(self, columns: Sequence[int] | np.ndarray) -> Cells:
        """Returns one cell of each row, that of the row's own column; three arrays (row,)."""
        rows = np.arange(len(self.value))
        return Cells(*(part[rows, columns] for part in self))


def cells(matrix: np.ndarray) -> Cells:
    """Returns the value, rank and selectivity of every cell.

    Raises:
        ValueError: the matrix has fewer than two columns or is not finite.
    """
    if matrix.ndim != 2 or matrix.shape[1] < 2 or not np.isfinite(matrix).all():
        raise ValueError("a matrix of numbers with at least two columns is needed")
    others = (matrix.sum(1, keepdims=True) - matrix) / (matrix.shape[1] - 1)
    return Cells(matrix, rankdata(-matrix, axis=1), matrix - others)


class Estimate(NamedTuple):
    """A statistic of n rows, such as their mean, with its 95 % interval (bootstrap over rows).

    For random directions the interval is the range of such a mean.
    """

    value: float
    interval: Interval
    n: int

    def columns(self, name: str, ends: str = "") -> dict[str, float]:
        """Returns the value as column `name`, and its interval as columns `<ends>_low`,
        `<ends>_high` (`name` in place of no `ends`)."""
        return {name: self.value} | self.interval.columns(ends or name)


def mean_of(values: np.ndarray, draws: int, seed: int) -> Estimate:
    """Returns the mean over rows with its bootstrap interval over rows."""
    return Estimate(
        float(values.mean()),
        bootstrap(len(values), lambda i: float(values[i].mean()), draws, seed),
        len(values),
    )


def random_pairs(values: np.ndarray, n: int, draws: int, seed: int) -> Estimate:
    """Estimates the null: the mean of n cells, each of a random row and a random column.

    The interval is the central 95 % of such means. The value, the mean of all cells, is rounded to
    12 digits, so that it is exactly zero where it is zero by construction (selectivity).

    Args:
        values: (direction, column).
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(values), (draws, n))
    columns = rng.integers(0, values.shape[1], (draws, n))
    mean = round(float(values.mean()), 12) + 0.0
    return Estimate(mean, central(values[rows, columns].mean(1)), len(values))


def reading_order(
    names: Sequence[str], valence: dict[str, float], directions: np.ndarray
) -> np.ndarray:
    """Returns the order in which a map shows its emotions, as indices: by valence where all are
    known, else by clusters of the directions."""
    known = [valence[name] for name in names if name in valence]
    if len(known) == len(names):
        return np.argsort(known, kind="stable")
    return leaves_list(linkage(directions, "average", metric="cosine", optimal_ordering=True))
