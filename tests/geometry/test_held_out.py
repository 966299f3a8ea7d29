"""Held-out accuracy: separated emotions are told, noise is at chance and within the null."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from emoexp.errors import EmoexpError
from emoexp.geometry.held_out import Products, Scores, held_out, measure
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.vectors import directions_of

WIDTH = 50
NOTHING = np.zeros((0, WIDTH))


def planted(
    signal: float, *, emotions: int = 12, groups: int = 10, topic: float = 0.0, seed: int = 0
) -> StoryGroups:
    """A direction for each emotion, one that each topic adds for all emotions, and noise; the last
    two groups are empty, as in a store of few stories."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((emotions, groups + 2, WIDTH))
    means += signal * rng.standard_normal((emotions, 1, WIDTH))
    means += topic * rng.standard_normal((1, groups + 2, WIDTH)) + 100
    counts = np.ones((emotions, groups + 2), dtype=np.int64)
    counts[:, groups:] = 0
    names = tuple(f"e{i}" for i in range(emotions))
    return StoryGroups(names, (means * (counts > 0)[:, :, None]).astype(np.float32), counts, 3)


def found(groups: StoryGroups, seed: int = 0) -> tuple[pd.DataFrame, dict[str, float]]:
    """The table of emotions, and the row of the layer."""
    tables = held_out(groups, NOTHING, 4, 40, 100, seed)
    assert list(tables) == ["held_out", "held_out_by_layer"]
    [row] = tables["held_out_by_layer"].to_dict("records")
    return tables["held_out"], row


def test_separated_emotions_are_told() -> None:
    by_emotion, layer = found(planted(3))
    assert layer["auc"] == pytest.approx(1)
    assert layer["top1"] == layer["top5"] == 1
    assert layer["shuffled_auc_high"] < 0.95
    assert layer["top1"] > layer["shuffled_top1_high"]
    assert list(by_emotion.columns) == ["layer", "emotion", "auc", "top1", "top5", "n"]
    assert (by_emotion["n"] == 10).all()
    assert (layer["chance_top1"], layer["chance_top5"]) == (1 / 12, 5 / 12)
    assert layer["layer"] == 3


def test_noise_is_at_chance_and_within_the_null() -> None:
    layers = [found(planted(0, seed=seed), seed)[1] for seed in range(12)]
    for name, chance in (("auc", 0.5), ("top1", 1 / 12), ("top5", 5 / 12)):
        assert np.mean([row[name] for row in layers]) == pytest.approx(chance, abs=0.03)
    for name in ("auc", "top1"):
        inside = [
            r[f"shuffled_{name}_low"] <= r[name] <= r[f"shuffled_{name}_high"] for r in layers
        ]
        assert np.mean(inside) >= 0.75


def test_signal_between_is_beyond_the_null_with_an_interval_around_it() -> None:
    _, layer = found(planted(0.5))
    assert 0.5 < layer["shuffled_auc_high"] < layer["auc"] < 1
    for name in ("auc", "top1"):
        assert layer[f"{name}_low"] < layer[name] < layer[f"{name}_high"]


def test_topics_that_all_emotions_share_tell_nothing() -> None:
    _, layer = found(planted(0, topic=5))
    assert layer["auc"] == pytest.approx(0.5, abs=0.06)
    assert layer["top1"] == pytest.approx(1 / 12, abs=0.05)


def test_products_give_the_cosines_and_the_auc_of_the_method_itself() -> None:
    groups, components = (
        planted(0.6),
        np.linalg.qr(np.random.default_rng(1).normal(size=(50, 3)))[0].T,
    )
    products = Products.of(groups, components)
    first, second = products.halves(np.random.default_rng(0))
    assert not set(first) & set(second)
    assert sorted([*first, *second]) == list(range(10)), "empty groups are left out"
    means = groups.means.astype(float)
    train = means[:, first].mean(1)
    items = means[:, second] - train.mean(0)
    items -= items @ components.T @ components
    items /= np.linalg.norm(items, axis=2, keepdims=True)
    directions = directions_of(train, components, groups.emotions)
    expected = np.einsum("ed,fgd->efg", directions, items)
    np.testing.assert_allclose(
        products.cosines(products.unshuffled(), first, second), expected, atol=1e-6
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Products, "halves", lambda *_: (first, second))
        scores = measure(products, 1, 0)
    back = products.cosines(products.unshuffled(), second, first)
    for e in range(12):
        is_e = np.repeat(np.arange(12) == e, 5)
        both = [roc_auc_score(is_e, c[e].ravel()) for c in (expected, back)]
        assert scores.auc()[e] == pytest.approx(np.mean(both))
    hits = [(c.argmax(0) == np.arange(12)[:, None]).mean(1) for c in (expected, back)]
    np.testing.assert_allclose(scores.top1(), np.mean(hits, 0))


def test_the_interval_draws_topics_and_compares_a_copy_with_itself_once() -> None:
    rng = np.random.default_rng(0)
    wins = rng.uniform(size=(2, 3, 3))
    scores = Scores(wins, np.ones((2, 3, 3)), *np.ones((3, 2, 3)))
    drawn = np.array([[0, 0, 2]])
    expected = []
    for e in range(2):
        pairs = [
            wins[e, g, h]
            for a, g in enumerate(drawn[0])
            for b, h in enumerate(drawn[0])
            if g != h or a == b
        ]
        expected.append(np.mean(pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emoexp.geometry.held_out.resample", lambda *_: drawn)
        auc, top1 = scores.interval(1, 0)
    assert auc.low == auc.high == pytest.approx(np.mean(expected))
    assert top1.low == 1


def test_an_emotion_with_fewer_stories_is_tested_on_its_own() -> None:
    groups = planted(3)
    counts = groups.counts.copy()
    counts[4, [1, 2, 3]] = 0
    table, _ = found(replace(groups, counts=counts))
    assert table["n"][4] == 7
    assert table["auc"][4] == pytest.approx(1)
    counts[4, 3:] = 0
    counts[4, 1] = 1
    with pytest.raises(EmoexpError, match="held-out accuracy needs at least 4"):
        found(replace(groups, counts=counts))


def test_seeds_are_used() -> None:
    groups = planted(0.3)
    (one, row), (same, same_row), (other, other_row) = (
        found(groups),
        found(groups),
        found(groups, 1),
    )
    assert one.equals(same)
    assert row == same_row
    assert row != other_row
    assert not one.equals(other)
