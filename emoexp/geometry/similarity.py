"""Representational similarity (RSA): how alike the emotions lie at two layers, of two models, or in
people's ratings (paper, geometry of emotion vectors; Kriegeskorte et al. 2008).

The statistic is Spearman's rho over pairs of different emotions, each pair once, between two
matrices of similarities. It compares layers of any widths.

Its null is that the emotions' names in one matrix are permuted (Mantel test): the pairs of one
emotion depend on each other, so n emotions are n units and not n (n - 1) / 2. Its interval is a
bootstrap over emotions; two copies of one emotion in a resample are not a pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from emoexp.errors import EmoexpError
from emoexp.geometry.cosines import pair_values
from emoexp.stats.intervals import LEVEL, central, p_value, resample
from emoexp.stimuli.norms import Norms

FEWEST_COMMON = 6
"""Fewest emotions whose similarities are compared: of five, 120 orders give a coarse null."""


def unit_ranks(matrices: np.ndarray) -> np.ndarray:
    """Ranks the pairs of each matrix, centred and of norm 1, so that a dot product is Spearman's
    rho; (matrix, n, n) -> (matrix, n, n), zeros on the diagonal.

    Raises:
        EmoexpError: fewer than FEWEST_COMMON emotions, or a matrix whose pairs are all equal.
    """
    n = matrices.shape[-1]
    if n < FEWEST_COMMON:
        raise EmoexpError(
            f"similarities of {n} emotion(s) cannot be compared: at least {FEWEST_COMMON} emotions"
            " must be common to both"
        )
    ranks = rankdata(pair_values(np.asarray(matrices, np.float64)), axis=1)
    ranks = ranks - ranks.mean(1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=1, keepdims=True)
    if not np.all(norms > 0):
        raise EmoexpError("all pairs of emotions are equally similar: there is no order to compare")
    square = np.zeros((len(ranks), n, n))
    first, second = np.triu_indices(n, 1)
    square[:, first, second] = square[:, second, first] = ranks / norms
    return square


def correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Spearman's rho of every matrix of `first` with every matrix of `second`.

    Shapes: (a, n, n), (b, n, n) -> (a, b). Raises EmoexpError as `unit_ranks` does.
    """
    return _dot(unit_ranks(first), unit_ranks(second))


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sums over the pairs of emotions, each once; (a, n, n), (b, n, n) -> (a, b)."""
    return np.asarray(pair_values(first) @ pair_values(second).T)


def permuted(first: np.ndarray, second: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Draws the null: rho where the emotions of `second` are permuted, the same permutation for all
    of its matrices; (draw, a, b).

    Raises EmoexpError as `unit_ranks` does.
    """
    fixed, moved = unit_ranks(first), unit_ranks(second)
    rng = np.random.default_rng(seed)
    null = np.empty((draws, len(fixed), len(moved)))
    for draw in range(draws):
        order = rng.permutation(moved.shape[-1])
        null[draw] = _dot(fixed, moved[:, order][:, :, order])
    return null


def bootstrapped(first: np.ndarray, second: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Computes rho of each matrix of `first` with that of `second` at its place, on resampled
    emotions; (k, n, n), (k, n, n) -> (draw, k). A single matrix in `second` is for all of `first`.

    An emotion that is drawn c times counts c times with each other emotion and never with itself.
    Ranks are taken anew on each resample.
    """
    n = first.shape[-1]
    pairs = pair_values(np.array([*first, *second], np.float64))
    places = [np.unique(values, return_inverse=True)[1] for values in pairs]
    values = []
    for drawn in resample(n, 2 * draws, seed):
        counts = np.bincount(drawn, minlength=n).astype(np.float64)
        weights = pair_values(np.outer(counts, counts))
        ranks = np.array([weighted_ranks(place, weights) for place in places])
        values.append(_weighted_pearson(ranks[: len(first)], ranks[len(first) :], weights))
        if np.isnan(values[-1]).any():  # fewer than three different emotions
            values.pop()
        if len(values) == draws:
            return np.array(values)
    raise EmoexpError(f"{n} emotions are too few for an interval: rho is not defined on resamples")


def weighted_ranks(place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the ranks where pair i stands `weights[i]` times, a tie as its mean; (pair,).

    Args:
        place: of each pair's value among the different values, ascending from 0; (pair,).
    """
    times = np.bincount(place, weights)
    return np.asarray((np.cumsum(times) - (times - 1) / 2)[place])


def _weighted_pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns r of each row of `x` with that of `y`; NaN where one is constant."""
    share = weights / weights.sum() if weights.any() else weights
    x, y = (a - (a @ share)[:, None] for a in (x, y))
    size = np.sqrt((x**2 @ share) * (y**2 @ share))
    return np.where(size > 0, (x * y) @ share / np.where(size > 0, size, 1), np.nan)


def layer_similarity(
    matrices: np.ndarray, layers: Sequence[int], shuffled: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Compares every layer of a run with every other.

    Layers read the same stories, so vectors of labels that carry nothing are alike at near layers
    too: that is the null here, and permuted names are not.

    Args:
        matrices: cosines; (layer, emotion, emotion).
        shuffled: those of vectors from shuffled labels, for each layer (draw, emotion, emotion),
            the same shuffles at each.

    Returns:
        one row per ordered pair of layers: layer_a, layer_b, rho, and the range of rho of shuffled
        labels (shuffled_low, shuffled_high).
    """
    rho = np.clip(correlate(matrices, matrices), -1, 1)
    first, second = np.meshgrid(layers, layers, indexing="ij")
    table = pd.DataFrame({"layer_a": first.ravel(), "layer_b": second.ravel(), "rho": rho.ravel()})
    drawn = np.array([correlate(draw, draw) for draw in np.stack(shuffled, 1)])
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).reshape(2, -1)
    return table.assign(shuffled_low=ends[0], shuffled_high=ends[1])


def norm_similarity(
    matrices: np.ndarray,
    layers: Sequence[int],
    names: Sequence[str],
    norms: Norms,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Compares each layer with people's ratings of valence and arousal: how near emotions are.

    Args:
        matrices: cosines; (layer, emotion, emotion).
        norms: of those of `names` that were rated; the others are left out.

    Returns:
        one row per layer: rho (positive where near emotions have high cosines), its bootstrap
        interval (low, high), p and the range of the permuted null, n emotions, and the source.

    Raises:
        EmoexpError: fewer than FEWEST_COMMON of the emotions are rated.
    """
    rated, nearness = nearness_of(names, norms)
    table = similarity_with(matrices[:, rated][:, :, rated], layers, nearness, draws, seed)
    source = norms.layout if norms.arousal else f"{norms.layout}, valence alone"
    return table.assign(n=len(rated), source=source)


def similarity_with(
    matrices: np.ndarray, layers: Sequence[int], other: np.ndarray, draws: int, seed: int
) -> pd.DataFrame:
    """Compares each layer's cosines with one other matrix.

    Args:
        matrices: (layer, emotion, emotion).
        other: (1, emotion, emotion).
        draws: of the bootstrap over emotions, and of the permuted null.

    Returns:
        layer, rho, its bootstrap interval (low, high), p and the range (null_low, null_high) of
        the permuted null.
    """
    rho = correlate(matrices, other)[:, 0]
    null = permuted(matrices, other, draws, seed)[:, :, 0]
    drawn = bootstrapped(matrices, other, draws, seed)
    rows = []
    for layer, x, again, chance in zip(layers, rho, drawn.T, null.T, strict=True):
        ends = central(again).columns() | {"p": p_value(float(x), chance)}
        rows.append({"layer": layer, "rho": x} | ends | central(chance).columns("null"))
    return pd.DataFrame(rows)


def nearness_of(names: Sequence[str], norms: Norms) -> tuple[list[int], np.ndarray]:
    """Returns which of the emotions were rated, and minus their distances in the plane of valence
    and arousal, or on the line of valence where the norms have no arousal; (1, rated, rated)."""
    rated = [i for i, name in enumerate(names) if name in norms.valence]
    scales = [scale for scale in (norms.valence, norms.arousal) if scale]
    ratings = [[scale[names[i]] for scale in scales] for i in rated]
    plane = np.array(ratings, np.float64).reshape(len(rated), len(scales) or 1)
    return rated, -np.linalg.norm(plane[:, None] - plane[None], axis=2)[None]
