"""Intervals, nulls and correlations: thin wrappers of scipy from numpy arrays to floats. Empty or
constant input raises; no value is made up for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

LEVEL = 0.95
UNDEFINED = "the statistic is not defined on most resamples"
ROUNDING = 1e-9
"""Two statistics that differ by no more are equal."""
CELLS_AT_ONCE = 2**18
"""Cells of a resampled table that are in memory at once: more than fit in a cache are slower."""


class Interval(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float

    def columns(self, name: str = "") -> dict[str, float]:
        """Returns the ends as columns of a table: `low` and `high`, after `<name>_` if given."""
        return {f"{name}_{end}" if name else end: x for end, x in self._asdict().items()}


def p_value(value: float, null: np.ndarray) -> float:
    """Returns the share of draws of a null at or above `value`, which itself counts as one draw.

    Draws that differ from it by rounding alone count as equal.
    """
    return float((1 + (null >= value - ROUNDING).sum()) / (1 + len(null)))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Returns Pearson's r.

    Raises:
        ValueError: either is constant, too short or not finite, so that r is not defined.
    """
    _check(x, y)
    return float(scipy_stats.pearsonr(x, y).statistic)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Returns Spearman's rho. Raises ValueError as `pearson` does."""
    _check(x, y)
    return float(scipy_stats.spearmanr(x, y).statistic)


def _check(x: np.ndarray, y: np.ndarray) -> None:
    """Raises ValueError unless a correlation of `x` and `y` is defined."""
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"a correlation needs at least 3 pairs, not {len(x)} and {len(y)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation of values that are not numbers")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("a correlation with a constant is not defined")


def correlate_columns(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns Pearson's r of every column with `y`; (n, k), (n,) or (n, m) -> (k,) or (k, m).

    Raises:
        ValueError: a column or `y` is constant or not finite.
    """
    standardised_y = _standardised(np.asarray(y, np.float64))
    return _standardised(np.asarray(columns, np.float64)).T @ standardised_y


def rank_columns(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns Spearman's rho of every column with `y`, or with the column of `y` at its place;
    (n, k), (n,) or (n, k) -> (k,).

    Raises:
        ValueError: as `spearman` does.
    """
    if not (np.isfinite(columns).all() and np.isfinite(y).all()):
        raise ValueError("a correlation of values that are not numbers")
    ranks, y_ranks = (scipy_stats.rankdata(a, axis=0) for a in (columns, y.reshape(len(y), -1)))
    # centred ranks are multiples of one half, so a rho of zero is exactly zero
    ranks = ranks - ranks.mean(0)
    y_ranks = y_ranks - y_ranks.mean(0)
    sizes = (ranks**2).sum(0) * (y_ranks**2).sum(0)
    if len(y) < 3 or not np.all(sizes > 0):
        raise ValueError("a correlation with a constant, or of fewer than 3 pairs, is not defined")
    return np.asarray((y_ranks * ranks).sum(0) / np.sqrt(sizes))


def _standardised(a: np.ndarray, axis: int = 0) -> np.ndarray:
    """Centres and scales to norm 1 along `axis`. Raises ValueError where that is not defined."""
    centred = a - a.mean(axis, keepdims=True)
    norms = np.linalg.norm(centred, axis=axis, keepdims=True)
    if not (np.isfinite(norms).all() and np.all(norms > 0)):
        raise ValueError(
            "a correlation with a constant, or with values that are not numbers, is not defined"
        )
    return np.asarray(centred / norms)


def resample(n: int, draws: int, seed: int) -> np.ndarray:
    """Draws indices 0 to n - 1 with replacement, `draws` times n of them; (draw, n).

    `central(values[resample(...)].mean(1))` is the 95 % percentile interval of a mean.

    Raises:
        ValueError: `n` is below 2.
    """
    if n < 2:
        raise ValueError(f"a bootstrap of {n} unit(s) has no interval")
    return np.random.default_rng(seed).integers(0, n, (draws, n))


def bootstrap(n: int, statistic: Callable[[np.ndarray], float], draws: int, seed: int) -> Interval:
    """Returns the 95 % percentile interval of `statistic(indices)` over resamples.

    The resamples are those of `resample`. One on which the statistic is not defined (it raises
    ValueError) is drawn again.

    Raises:
        ValueError: the statistic is not defined on most resamples.
    """
    values: list[float] = []
    for indices in resample(n, 2 * draws, seed):
        try:
            values.append(statistic(indices))
        except ValueError:
            continue
        if len(values) == draws:
            return central(np.array(values))
    raise ValueError(UNDEFINED)


def resampled_correlations(columns: np.ndarray, y: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Returns `correlate_columns` on each resample that `bootstrap` would take.

    Shapes: (n, k), (n,) -> (draw, k).

    Raises:
        ValueError: r is not defined on most resamples.
    """
    indices = resample(len(y), 2 * draws, seed)
    correlations: list[np.ndarray] = []
    n_defined = 0
    for part in np.array_split(indices, 1 + columns[0].size * indices.size // CELLS_AT_ONCE):
        x, z = columns[part], y[part]
        defined = (np.ptp(x, axis=1) > 0).all(1) & (np.ptp(z, axis=1) > 0)
        standardised_x, standardised_z = (_standardised(a[defined], 1) for a in (x, z))
        correlations.append(np.einsum("dnk,dn->dk", standardised_x, standardised_z))
        n_defined += int(defined.sum())
        if n_defined >= draws:
            return np.concatenate(correlations)[:draws]
    raise ValueError(UNDEFINED)


def central(values: np.ndarray) -> Interval:
    """Returns the central 95 % of `values`.

    Raises:
        ValueError: there are none, or some are not finite.
    """
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("the range of nothing, or of values that are not numbers, is not defined")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def wilson_share(hits: int, n: int) -> Interval:
    """Returns Wilson's 95 % interval of the share of `hits` in `n`; its width is never zero."""
    ends = scipy_stats.binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def wilson(hits: int, n: int) -> Interval:
    """Returns Wilson's 95 % interval of a count out of `n`, in counts."""
    share = wilson_share(hits, n)
    return Interval(share.low * n, share.high * n)


def widest(*intervals: Interval) -> Interval:
    """Returns the interval from the lowest low to the highest high."""
    return Interval(min(i.low for i in intervals), max(i.high for i in intervals))


def ratio_interval(above: np.ndarray, below: np.ndarray, draws: int, seed: int) -> Interval:
    """Returns the 95 % bootstrap interval of mean(above) / mean(below), each resampled by itself.

    Raises:
        ValueError: `below` has a mean of 0 or less on a resample.
    """
    rng = np.random.default_rng(seed)
    top = rng.choice(above, (draws, len(above))).mean(1)
    bottom = rng.choice(below, (draws, len(below))).mean(1)
    if not np.all(bottom > 0):
        raise ValueError("a ratio to nothing is not defined")
    return central(top / bottom)
