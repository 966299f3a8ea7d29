"""Similarity of geometries: of a matrix with itself 1, of unrelated ones within a calibrated null,
and no emotion paired with itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from emoexp.errors import EmoexpError
from emoexp.geometry.cosines import pair_values
from emoexp.geometry.similarity import (
    bootstrapped,
    correlate,
    layer_similarity,
    norm_similarity,
    p_value,
    permuted,
    weighted_ranks,
)
from emoexp.stats.intervals import central
from emoexp.stimuli.norms import Norms


def cosines(n: int, k: int, rng: np.random.Generator, width: int = 12) -> np.ndarray:
    """Cosines of k sets of n random vectors, centred; (k, n, n)."""
    x = rng.standard_normal((k, n, width))
    x -= x.mean(1, keepdims=True)
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    return x @ x.transpose(0, 2, 1)


def test_rho_is_spearmans_over_pairs_once() -> None:
    rng = np.random.default_rng(0)
    a, b = cosines(9, 2, rng), cosines(9, 3, rng)
    rho = correlate(a, b)
    assert rho.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            expected = spearmanr(pair_values(a[i]), pair_values(b[j])).statistic
            assert rho[i, j] == pytest.approx(expected)


def test_a_matrix_is_like_itself_and_layers_are_compared_both_ways() -> None:
    a = cosines(10, 3, np.random.default_rng(1))
    table = layer_similarity(a, [2, 5, 7], [one[None] for one in a])
    square = table.pivot(index="layer_a", columns="layer_b", values="rho").to_numpy()
    np.testing.assert_allclose(np.diag(square), 1)
    np.testing.assert_allclose(square, square.T)
    assert list(table["layer_a"].unique()) == [2, 5, 7]
    assert p_value(1.0, permuted(a[:1], a[:1], 200, 0)[:, 0, 0]) == pytest.approx(1 / 201)
    np.testing.assert_allclose(bootstrapped(a, a, 50, 0), 1)


def test_the_permuted_null_is_calibrated() -> None:
    """Of unrelated geometries about 5 % are below p = .05. Pairs taken as independent units would
    be wrong far more often."""
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        a, b = cosines(12, 1, rng, 2), cosines(12, 1, rng, 2)
        p.append(p_value(correlate(a, b)[0, 0], permuted(a, b, 99, seed)[:, 0, 0]))
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_the_null_moves_rows_and_columns_of_every_layer_alike() -> None:
    rng = np.random.default_rng(4)
    a, b = cosines(9, 2, rng), cosines(9, 3, rng)
    order = np.random.default_rng(5).permutation(9)
    moved = correlate(a, b[:, order][:, :, order])
    np.testing.assert_allclose(permuted(a, b, 1, 5)[0], moved)


def test_the_bootstrap_pairs_no_emotion_with_itself() -> None:
    """Rho on a resample is Spearman's over the pairs of different emotions, each as often as it is
    drawn."""
    rng = np.random.default_rng(2)
    a, b = cosines(8, 1, rng), cosines(8, 1, rng)
    drawn = np.random.default_rng(0).integers(0, 8, (1, 8))
    first, second = np.triu_indices(8, 1)
    i, j = drawn[0][first], drawn[0][second]
    expected = spearmanr(a[0][i, j][i != j], b[0][i, j][i != j]).statistic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emoexp.geometry.similarity.resample", lambda *_: drawn)
        assert bootstrapped(a, b, 1, 0)[0, 0] == pytest.approx(expected)
    with_copies = spearmanr(a[0][i, j], b[0][i, j]).statistic
    assert with_copies > expected + 0.1, "cosine 1 with itself in both would raise rho"


def test_ranks_of_a_resample_are_those_of_its_pairs() -> None:
    values, times = np.array([0.3, 0.1, 0.3, 0.9]), np.array([2, 0, 1, 3])
    ranks = rankdata(np.repeat(values, times))
    place = np.unique(values, return_inverse=True)[1]
    np.testing.assert_allclose(np.repeat(weighted_ranks(place, times), times), ranks)


def test_unrelated_geometries_have_an_interval_around_nothing() -> None:
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = cosines(15, 1, rng), cosines(15, 1, rng)
        interval = central(bootstrapped(a, b, 100, seed)[:, 0])
        hits += interval.low <= 0 <= interval.high
    assert hits >= 33


def people(valence: dict[str, float], arousal: dict[str, float]) -> Norms:
    return Norms("people", "a file", tuple(valence), valence, arousal, {})


def test_norms_that_make_the_cosines_are_found_and_shuffled_ones_are_not() -> None:
    rng = np.random.default_rng(3)
    plane = rng.uniform(-1, 1, (14, 2))
    nearness = -np.linalg.norm(plane[:, None] - plane[None], axis=2)
    names = [f"e{i}" for i in range(15)]
    matrix = np.pad(nearness, (0, 1), constant_values=0.5)[None]
    valence, arousal = (dict(zip(names, column, strict=False)) for column in plane.T)
    true = norm_similarity(matrix, [4], names, people(valence, arousal), 200, 0).iloc[0]
    assert true["rho"] == pytest.approx(1)
    assert true["p"] == pytest.approx(1 / 201)
    assert true["rho"] > true["null_high"]
    assert (true["layer"], true["n"], true["source"]) == (4, 14, "people")
    other = dict(zip(names, rng.permutation(plane[:, 0]), strict=False))
    high = dict(zip(names, rng.permutation(plane[:, 1]), strict=False))
    line = -np.abs(plane[:, :1] - plane[:, 0])
    matrix_of_line = np.pad(line, (0, 1), constant_values=0.5)[None]
    alone = norm_similarity(matrix_of_line, [4], names, people(valence, {}), 200, 0).iloc[0]
    assert alone["rho"] == pytest.approx(1)
    assert alone["source"] == "people, valence alone"
    false = norm_similarity(matrix, [4], names, people(other, high), 200, 0).iloc[0]
    assert false["null_low"] <= false["rho"] <= false["null_high"]
    assert false["low"] <= false["rho"] <= false["high"]


def test_too_few_common_emotions_and_no_order_are_one_line() -> None:
    a = cosines(5, 1, np.random.default_rng(0))
    with pytest.raises(EmoexpError, match=r"of 5 emotion\(s\) cannot be compared: at least 6"):
        correlate(a, a)
    with pytest.raises(EmoexpError, match="equally similar"):
        correlate(np.ones((1, 7, 7)), np.ones((1, 7, 7)))
    with pytest.raises(EmoexpError, match="at least 6 emotions"):
        norm_similarity(a, [0], list("abcde"), people({}, {}), 100, 0)
