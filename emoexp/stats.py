"""Intervals, nulls and correlations. Thin over scipy; numpy in, floats out; nothing is invented for empty or constant input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

LEVEL = 0.95


class Interval(NamedTuple):
    low: float
    high: float


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r. Raises ValueError if either is constant, too short or not finite: r is not defined then."""
    _check(x, y)
    return float(scipy_stats.pearsonr(x, y).statistic)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho, under the same conditions as `pearson`."""
    _check(x, y)
    return float(scipy_stats.spearmanr(x, y).statistic)


def _check(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"a correlation needs at least 3 pairs, not {len(x)} and {len(y)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation of values that are not numbers")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("a correlation with a constant is not defined")


def correlate_columns(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of every column with `y`; (n, k), (n,) or (n, m) -> (k,) or (k, m)."""

    def standardised(a: np.ndarray) -> np.ndarray:
        centred = a - a.mean(0)
        norms = np.linalg.norm(centred, axis=0)
        if not (np.isfinite(norms).all() and np.all(norms > 0)):
            raise ValueError("a correlation with a constant, or with values that are not numbers, is not defined")
        return np.asarray(centred / norms)

    return standardised(np.asarray(columns, np.float64)).T @ standardised(np.asarray(y, np.float64))


def bootstrap(n: int, statistic: Callable[[np.ndarray], float], draws: int, seed: int) -> Interval:
    """95 % percentile interval of `statistic(indices)` over resampled indices 0..n-1.

    A resample on which the statistic is not defined (ValueError) is drawn again; if most are, the interval is not defined.
    """
    if n < 2:
        raise ValueError(f"a bootstrap of {n} unit(s) has no interval")
    rng, values = np.random.default_rng(seed), []
    for _ in range(2 * draws):
        try:
            values.append(statistic(rng.integers(0, n, n)))
        except ValueError:
            continue
        if len(values) == draws:
            return central(np.array(values))
    raise ValueError("the statistic is not defined on most resamples")


def central(values: np.ndarray) -> Interval:
    """The central 95 % of `values`."""
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("the range of nothing, or of values that are not numbers, is not defined")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def widest(*intervals: Interval) -> Interval:
    """From the lowest low to the highest high."""
    return Interval(min(i.low for i in intervals), max(i.high for i in intervals))


def ratio_interval(above: np.ndarray, below: np.ndarray, draws: int, seed: int) -> Interval:
    """95 % bootstrap interval of mean(above) / mean(below), each resampled by itself."""
    rng = np.random.default_rng(seed)
    top = rng.choice(above, (draws, len(above))).mean(1)
    bottom = rng.choice(below, (draws, len(below))).mean(1)
    if not np.all(bottom > 0):
        raise ValueError("a ratio to nothing is not defined")
    return central(top / bottom)
