"""Ratings recover a known order; statistics refuse what is not defined; verdicts at the edge of
their thresholds."""

from __future__ import annotations

import choix
import numpy as np
import pytest
from scipy.special import expit

from emoexp.stats import ratings
from emoexp.stats.criteria import CRITERIA, EFFECT_FLOOR, Effect, Measurement, judge
from emoexp.stats.intervals import (
    Interval,
    bootstrap,
    central,
    correlate_columns,
    pearson,
    rank_columns,
    ratio_interval,
    resample,
    resampled_correlations,
    spearman,
    widest,
)
from emoexp.stats.labels import ISOTROPIC, SHUFFLED
from emoexp.stats.ratings import ELO_MEAN, bradley_terry, elo, position_bias, win_probabilities


def margins_of(strengths: np.ndarray, bias: float = 0.0) -> np.ndarray:
    return strengths[:, None] - strengths[None, :] + bias


def test_bradley_terry_agrees_with_choix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the prior, both maximise the same likelihood."""
    monkeypatch.setattr(ratings, "PRIOR_SD", 1e6)
    wins = win_probabilities(margins_of(np.random.default_rng(0).normal(0, 0.5, 16)))
    noisy = np.clip(wins + np.triu(np.random.default_rng(1).normal(0, 0.1, wins.shape), 1), 0, 1)
    noisy = np.triu(noisy, 1) + np.tril(1 - noisy.T, -1)
    expected = choix.ilsr_pairwise_dense(noisy, alpha=0)
    np.fill_diagonal(noisy, 0.5)
    found = (bradley_terry(noisy) - ELO_MEAN) / ratings.ELO_SCALE
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-4)


def test_elo_and_bradley_terry_recover_the_planted_order() -> None:
    strengths = np.random.default_rng(0).standard_normal(20)
    wins = win_probabilities(margins_of(strengths))
    np.testing.assert_allclose(wins + wins.T, 1)
    bt, e = bradley_terry(wins), elo(wins, seed=0)
    scale = 400 / np.log(10)
    np.testing.assert_allclose(
        bt - ELO_MEAN, scale * (strengths - strengths.mean()), rtol=0.02, atol=1
    )  # the prior pulls by less than 2 %
    assert np.corrcoef(e, strengths)[0, 1] > 0.99
    assert e.mean() == pytest.approx(ELO_MEAN)


def test_a_position_bias_cancels_over_both_orders_and_is_reported() -> None:
    strengths = np.random.default_rng(1).standard_normal(12)
    biased, fair = margins_of(strengths, bias=1.5), margins_of(strengths)
    assert position_bias(fair) == pytest.approx(0, abs=1e-12)
    assert position_bias(biased) > 0.15
    order = np.argsort(bradley_terry(win_probabilities(biased)))
    assert np.array_equal(order, np.argsort(strengths))
    one_order_only = expit(np.triu(biased, 1) - np.triu(biased, 1).T)
    assert not np.allclose(one_order_only, win_probabilities(biased)), (
        "one order alone would not have cancelled it"
    )


def test_saturated_wins_stay_finite() -> None:
    wins = win_probabilities(1000.0 * margins_of(np.arange(5.0)))
    assert np.isfinite(bradley_terry(wins)).all()
    assert np.ptp(bradley_terry(wins)) < 6000


def test_elo_depends_on_the_seed_only_a_little_and_not_on_the_batch() -> None:
    wins = win_probabilities(margins_of(np.random.default_rng(2).standard_normal(16)))
    stacked = elo(np.stack([wins, wins.T]), seed=3)
    np.testing.assert_array_equal(stacked[0], elo(wins, seed=3))
    assert np.abs(elo(wins, seed=3) - elo(wins, seed=4)).max() < 40


def test_steering_everything_is_zero_sum() -> None:
    """Why a control half is needed: the mean rating cannot move, whatever is done to everyone."""
    rng = np.random.default_rng(5)
    before, after = (
        elo(win_probabilities(rng.standard_normal((10, 10))), seed=0) for _ in range(2)
    )
    assert (after - before).mean() == pytest.approx(0, abs=1e-9)
    assert np.abs(after - before).max() > 1


def test_a_missing_margin_raises() -> None:
    margins = margins_of(np.arange(4.0))
    margins[1, 2] = np.nan
    with pytest.raises(ValueError, match="a margin is missing"):
        win_probabilities(margins)


def test_correlations_refuse_constants_and_nan() -> None:
    x = np.arange(5.0)
    assert pearson(x, 2 * x) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    for bad in (np.ones(5), np.array([1, 2, 3, 4, np.nan])):
        with pytest.raises(ValueError):
            pearson(x, bad)
    with pytest.raises(ValueError, match="at least 3"):
        pearson(x[:2], x[:2])
    with pytest.raises(ValueError):
        correlate_columns(np.ones((5, 2)), x)


def test_correlate_columns_is_pearson() -> None:
    rng = np.random.default_rng(0)
    columns, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    np.testing.assert_allclose(
        correlate_columns(columns, y),
        [[pearson(columns[:, k], y[:, m]) for m in range(2)] for k in range(4)],
    )


def test_bootstrap_covers_and_follows_its_seed() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        sample = rng.standard_normal(40)
        low, high = bootstrap(40, lambda i, s=sample: float(s[i].mean()), 300, seed=trial)  # type: ignore[misc]
        hits += low <= 0 <= high
    assert 85 <= hits <= 100
    values = np.arange(10.0)
    assert bootstrap(10, lambda i: float(values[i].mean()), 200, 1) == bootstrap(
        10, lambda i: float(values[i].mean()), 200, 1
    )
    assert bootstrap(10, lambda i: float(values[i].mean()), 200, 1) != bootstrap(
        10, lambda i: float(values[i].mean()), 200, 2
    )
    with pytest.raises(ValueError, match="has no interval"):
        bootstrap(1, lambda i: 0.0, 100, 0)


def test_resampled_correlations_are_those_of_a_bootstrap_one_by_one() -> None:
    rng = np.random.default_rng(3)
    columns, y = (
        np.round(rng.standard_normal((4, 3)), 1),
        np.array([1.0, 1.0, 1.0, 2.0]),
    )  # many resamples of so few are constant
    again = resampled_correlations(columns, y, 200, 5)
    assert again.shape == (200, 3)
    for k in range(3):
        one = bootstrap(4, lambda i, k=k: float(correlate_columns(columns[i], y[i])[k]), 200, 5)  # type: ignore[misc]
        assert central(again[:, k]) == pytest.approx(one)
    means = bootstrap(30, lambda i: float(i.mean()), 200, 1)
    assert central(resample(30, 200, 1).mean(1)) == means
    with pytest.raises(ValueError, match="not defined on most"):
        resampled_correlations(columns, np.ones(4), 50, 0)


def test_rank_columns_is_spearman() -> None:
    rng = np.random.default_rng(1)
    columns, y = (
        rng.integers(0, 5, (9, 40)).astype(float),
        rng.integers(0, 4, 9).astype(float),
    )  # ties
    np.testing.assert_allclose(
        rank_columns(columns, y), [spearman(column, y) for column in columns.T], atol=1e-15
    )
    assert rank_columns(
        np.array([[2.0], [1.0], [3.0], [2.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    ).shape == (1,)
    assert rank_columns(np.array([[1.0], [2.0], [1.0]]), np.arange(3.0))[0] == 0
    for bad in (np.ones((5, 1)), np.full((5, 1), np.nan)):
        with pytest.raises(ValueError):
            rank_columns(bad, np.arange(5.0))


def test_ranges_of_nothing_are_not_invented() -> None:
    for bad in (np.array([]), np.array([1.0, np.nan])):
        with pytest.raises(ValueError):
            central(bad)
    assert widest(Interval(0, 2), Interval(1, 3)) == Interval(0, 3)
    with pytest.raises(ValueError, match="ratio to nothing"):
        ratio_interval(np.ones(4), np.zeros(4), 100, 0)


def measured(
    identifier: str,
    value: float,
    n: int,
    null: tuple[float, float] = (0, 0),
    effect: Effect | None = None,
) -> Measurement:
    return Measurement(
        identifier, value, n, Interval(value, value), {ISOTROPIC: Interval(*null)}, effect
    )


@pytest.mark.parametrize(
    ("identifier", "n", "fails", "passes"),
    [
        ("V1", 171, 19, 20),
        ("V1", 64, 7, 8),
        ("V2", 5, 3, 4),
        ("V3", 12, 7, 8),
        ("V4", 12, 3.01, 3.0),
        ("V5", 24, 16, 17),
        ("V6", 24, 11, 12),
        ("V7", 64, 200, 200.01),
        ("V8", 6, 1, 2),
        ("V9", 171, 4, 5),
        ("V9", 64, 1, 2),
        ("V10", 36, 0.4, 0.401),
        ("V11", 35, 23, 24),
        ("V11", 37, 25, 26),
    ],
)
def test_thresholds_at_their_edge(identifier: str, n: int, fails: float, passes: float) -> None:
    assert not judge(measured(identifier, fails, n)).passed
    assert judge(measured(identifier, passes, n)).passed


def test_a_negative_r_is_no_success() -> None:
    """Published, V10 takes |r|; a strong negative r is the both-sides bug."""
    assert not judge(measured("V10", -0.96, 36)).passed


def test_nan_is_nobodys_verdict() -> None:
    with pytest.raises(ValueError, match="not a number"):
        judge(measured("V3", float("nan"), 12))


def test_informative_means_beyond_the_null_on_the_passing_side() -> None:
    assert judge(measured("V3", 9, 12, (0, 3))).informative
    assert not judge(measured("V3", 3, 12, (0, 3))).informative
    assert judge(measured("V4", 1.5, 12, (5, 8))).informative
    assert not judge(measured("V4", 9, 12, (5, 8))).informative


@pytest.mark.parametrize(
    ("low", "size", "wanted"),
    [
        (1.01, EFFECT_FLOOR, True),
        (1.0, 50, False),
        (2.0, EFFECT_FLOOR - 0.01, False),
        (0.7, 0.2, False),
    ],
)
def test_for_steering_the_size_decides(low: float, size: float, wanted: bool) -> None:
    """r = .956 with a delta of 0.2 Elo passes and says nothing."""
    verdict = judge(
        measured("V10", 0.956, 36, (-1, 1), Effect(size, {ISOTROPIC: Interval(low, 3)}))
    )
    assert verdict.passed
    assert verdict.informative is wanted


def test_steering_must_be_larger_than_every_null() -> None:
    ratios = {ISOTROPIC: Interval(2, 5), SHUFFLED: Interval(0.9, 2)}
    assert not judge(measured("V10", 0.956, 36, (-1, 1), Effect(50, ratios))).informative
    ratios[SHUFFLED] = Interval(1.01, 2)
    assert judge(measured("V10", 0.956, 36, (-1, 1), Effect(50, ratios))).informative


def test_every_criterion_is_there() -> None:
    assert list(CRITERIA) == [f"V{i}" for i in range(1, 12)]
