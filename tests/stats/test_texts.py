"""Rankings of emotions in texts: planted tables give planted answers, noise gives none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from emoexp.stats.intervals import rank_columns
from emoexp.stats.labels import ISOTROPIC, SHUFFLED
from emoexp.stats.texts import NEUTRAL, Means, agreement, ranking

EMOTIONS = [f"e{i:02d}" for i in range(30)]


def tables(
    effects: dict[str, np.ndarray], shared: float, noise: float = 0.02
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Groups of 60 documents of each set, and nulls: directions that share the offset, too."""
    rng = np.random.default_rng(0)
    offset = shared * rng.standard_normal(len(EMOTIONS))
    groups, nulls = [], []
    drawn = shared * rng.standard_normal((100, len(EMOTIONS)))
    for name, effect in effects.items():
        values = offset + effect + noise * rng.standard_normal((60, len(EMOTIONS)))
        head = {"set": name, "group": range(60), "documents": 1, "passages": rng.integers(1, 5, 60)}
        groups.append(
            pd.concat([pd.DataFrame(head), pd.DataFrame(values, columns=EMOTIONS)], axis=1)
        )
        for label in (ISOTROPIC, SHUFFLED):
            own = drawn + 0.003 * rng.standard_normal(drawn.shape)
            frame = pd.DataFrame(own, columns=EMOTIONS).assign(
                set=name, null=label, draw=range(100)
            )
            nulls.append(frame)
    return pd.concat(groups, ignore_index=True), pd.concat(nulls, ignore_index=True)


def test_centring_and_contrast_find_what_the_shared_mean_hides() -> None:
    planted = np.zeros(30)
    planted[4] = 0.1
    groups, nulls = tables({"a": planted, "b": -planted, NEUTRAL: np.zeros(30)}, shared=1.0)
    table = ranking(groups, groups, nulls, 400, 0)
    assert list(table.groupby("set").size()) == [30, 30]
    row = table[(table["set"] == "a") & (table["emotion"] == "e04")].iloc[0]
    assert row["raw_rank"] > 1 and row["centred_rank"] == row["contrast_rank"] == 1
    assert row["centred_low"] < 0.1 < row["centred_high"]
    assert 0.005 < row["centred_high"] - row["centred_low"] < 0.05
    other = table[(table["set"] == "b") & (table["emotion"] == "e04")].iloc[0]
    assert other["centred_rank"] == other["contrast_rank"] == 30
    assert (table["raw_rank_low"] <= table["raw_rank"]).all()
    assert (table["raw_rank"] <= table["raw_rank_high"]).all()


def test_a_shared_mean_makes_raw_rankings_agree_and_random_directions_too() -> None:
    flat = np.zeros(30)
    groups, nulls = tables({"a": flat, "b": flat, NEUTRAL: flat}, shared=1.0)
    rows = agreement(groups, groups, nulls, 200, 200, 0).set_index("column")
    raw, centred = rows.loc["raw"], rows.loc["centred"]
    assert raw["rho"] > 0.98 and raw["permuted_p"] < 0.01 and raw["permuted_high"] < 0.5
    assert raw["isotropic_p"] > 0.05, "random directions agree as well"
    assert centred["rho"] < 0.9
    assert np.isnan(rows.loc["cosine", "isotropic_low"])


def test_sets_that_share_an_emotion_agree_beyond_every_null() -> None:
    planted = np.linspace(-1, 1, 30)
    groups, nulls = tables({"a": planted, "b": planted, NEUTRAL: np.zeros(30)}, shared=0.001)
    rows = agreement(groups, groups, nulls, 200, 200, 0).set_index("column")
    for name in ("raw", "centred"):
        assert rows.loc[name, "rho"] > 0.99
        assert (
            max(rows.loc[name, f"{null}_p"] for null in ("permuted", "isotropic", "shuffled"))
            < 0.01
        )
    assert (rows["low"] <= rows["rho"]).all()


def test_intervals_are_over_documents_and_weighted_by_passages() -> None:
    groups, _ = tables({"a": np.zeros(30), NEUTRAL: np.zeros(30)}, shared=0.0)
    part = groups[groups["set"] == "a"]
    drawn = Means(groups, 3000, 0).of("a", "raw")
    expected = np.average(part[EMOTIONS], axis=0, weights=part["passages"])
    np.testing.assert_allclose(drawn[0], expected)
    assert drawn[1:].std(0).mean() == pytest.approx(0.02 / np.sqrt(60), rel=0.3)
    assert (drawn == Means(groups, 3000, 0).of("a", "raw")).all()
    assert (drawn[1:] != Means(groups, 3000, 1).of("a", "raw")[1:]).any()
    single = groups[(groups["set"] == NEUTRAL) | (groups["group"] == 0)]
    with pytest.raises(ValueError, match="one document"):
        Means(single, 100, 0)


def test_correlations_of_two_sets_are_spearmans() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 5, 12))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_columns(a.T, b.T), expected)
    with pytest.raises(ValueError, match="not defined"):
        rank_columns(np.ones((5, 1)), np.ones((5, 1)))
