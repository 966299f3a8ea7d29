"""Intervals, nulls and correlations. Thin over scipy; numpy in, floats out; nothing is invented for
empty or constant input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats as scipy_stats

LEVEL = 0.95
UNDEFINED = "the statistic is not defined on most resamples"
CELLS_AT_ONCE = 2**18
"""Numbers of a resampled table that are held at once: more than a cache holds is slower."""


class Interval(NamedTuple):
    low: float
    high: float


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r. Raises ValueError if either is constant, too short or not finite: r is not
    defined then."""
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
    return _standardised(np.asarray(columns, np.float64)).T @ _standardised(
        np.asarray(y, np.float64)
    )


def rank_columns(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho of every column with `y`; (n, k), (n,) -> (k,). Raises ValueError as
    `spearman` does."""
    if not (np.isfinite(columns).all() and np.isfinite(y).all()):
        raise ValueError("a correlation of values that are not numbers")
    ranks, of_y = (scipy_stats.rankdata(a, axis=0) for a in (columns, y))
    ranks, of_y = (
        ranks - ranks.mean(0),
        of_y - of_y.mean(),
    )  # halves, so a rho of zero is exactly zero
    sizes = (ranks**2).sum(0) * (of_y**2).sum()
    if len(y) < 3 or not np.all(sizes > 0):
        raise ValueError("a correlation with a constant, or of fewer than 3 pairs, is not defined")
    return np.asarray(of_y @ ranks / np.sqrt(sizes))


def _standardised(a: np.ndarray, axis: int = 0) -> np.ndarray:
    centred = a - a.mean(axis, keepdims=True)
    norms = np.linalg.norm(centred, axis=axis, keepdims=True)
    if not (np.isfinite(norms).all() and np.all(norms > 0)):
        raise ValueError(
            "a correlation with a constant, or with values that are not numbers, is not defined"
        )
    return np.asarray(centred / norms)


def resample(n: int, draws: int, seed: int) -> np.ndarray:
    """Indices 0..n-1 drawn with replacement, `draws` times n of them:
    `central(values[resample(...)].mean(1))` is the 95 % percentile interval of a mean; (draw, n).
    """
    if n < 2:
        raise ValueError(f"a bootstrap of {n} unit(s) has no interval")
    return np.random.default_rng(seed).integers(0, n, (draws, n))


def bootstrap(n: int, statistic: Callable[[np.ndarray], float], draws: int, seed: int) -> Interval:
    """95 % percentile interval of `statistic(indices)` over the resamples of `resample`.

    A resample on which the statistic is not defined (ValueError) is drawn again; if most are, the
    interval is not defined.
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
    """`correlate_columns` on each resample that `bootstrap` would take; (n, k), (n,) -> (draw,
    k)."""
    indices, found, n_found = resample(len(y), 2 * draws, seed), list[np.ndarray](), 0
    for part in np.array_split(indices, 1 + columns[0].size * indices.size // CELLS_AT_ONCE):
        x, z = columns[part], y[part]
        defined = (np.ptp(x, axis=1) > 0).all(1) & (np.ptp(z, axis=1) > 0)
        found.append(
            np.einsum("dnk,dn->dk", _standardised(x[defined], 1), _standardised(z[defined], 1))
        )
        n_found += int(defined.sum())
        if n_found >= draws:
            return np.concatenate(found)[:draws]
    raise ValueError(UNDEFINED)


def central(values: np.ndarray) -> Interval:
    """The central 95 % of `values`."""
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("the range of nothing, or of values that are not numbers, is not defined")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def wilson_share(hits: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share, `hits` out of `n`; not of zero width at 0 or n."""
    found = scipy_stats.binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


def wilson(hits: int, n: int) -> Interval:
    """Wilson's 95 % interval of a count out of `n`, in counts."""
    share = wilson_share(hits, n)
    return Interval(share.low * n, share.high * n)


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
