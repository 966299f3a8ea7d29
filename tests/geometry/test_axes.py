"""Axes: a planted one is found with its component, noise stays within the searched null, and what
cannot be an axis is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.geometry.axes import (
    AROUSAL,
    SIGNS,
    VALENCE,
    Axis,
    axis_rows,
    rated_axes,
    searched_null,
    valence_of,
)
from emoexp.geometry.components import PrincipalComponents, principal_components
from emoexp.stimuli.norms import Norms, read_lexicon

N = 24
EMOTIONS = tuple(f"e{i}" for i in range(N))


def components(
    seed: int, valence: np.ndarray | None = None, size: float = 3
) -> PrincipalComponents:
    """Random unit vectors, with the first dimension pushed along valence."""
    vectors = np.random.default_rng(seed).standard_normal((N, 30))
    if valence is not None:
        vectors[:, 0] += size * np.sqrt(30) / 2 * valence
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return principal_components(
        vectors @ vectors.T, np.full(N, np.nan) if valence is None else valence
    )


def test_a_planted_axis_is_found_with_its_component_and_sign() -> None:
    rng = np.random.default_rng(0)
    valence = np.where(np.arange(N) % 2, 1.0, -1.0)
    arousal = rng.uniform(-1, 1, N)
    axes = [Axis(VALENCE, valence, SIGNS), Axis(AROUSAL, arousal, "norms")]
    best, every = axis_rows(4, components(1, valence), axes, 200, 199, 0)
    found = best.iloc[0]
    assert (found["axis"], found["component"], found["layer"], found["n"]) == (VALENCE, 1, 4, N)
    assert found["r"] > 0.95
    assert found["p"] == pytest.approx(1 / 200)
    assert found["low"] <= found["r"] <= found["high"] <= 1
    assert found["r"] > found["null_high"] > 0.3
    assert best["p"][1] > 0.05, "arousal is not planted"
    assert best["source"].tolist() == [SIGNS, "norms"]
    mine = every[every["axis"] == VALENCE]
    assert mine["component"].tolist() == [1, 2, 3, 4, 5]
    assert (mine["r"] >= 0).all(), "signs follow valence"
    assert mine["r"].abs().max() == found["r"]


def test_a_second_axis_is_found_on_the_second_component() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.permutation([1.0, -1.0] * 12), rng.permutation([1.0, -1.0] * 12)
    vectors = 0.3 * rng.standard_normal((N, 30))
    vectors[:, 0] += 4 * first
    vectors[:, 1] += 2 * second
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = principal_components(vectors @ vectors.T, first)
    axes = [Axis(VALENCE, first, "norms"), Axis(AROUSAL, second, "norms")]
    best, every = axis_rows(0, found, axes, 200, 199, 0)
    assert best["component"].tolist() == [1, 2]
    assert (best["r"] > 0.9).all()
    assert every["r"].abs().max() <= 1


def test_the_search_is_paid_for() -> None:
    """Random vectors: p < .05 in about 5 of 100, and not in 5 x 5 as without the search in the
    null."""
    rng, small, naive = np.random.default_rng(7), 0, 0
    for seed in range(100):
        ratings = rng.permutation([1.0, -1.0] * 12)
        found = components(seed)
        best, _ = axis_rows(0, found, [Axis(VALENCE, ratings, SIGNS)], 100, 199, seed)
        row = best.iloc[0]
        small += row["p"] < 0.05
        one = searched_null(found.scores[:, [row["component"] - 1]], ratings, 199, seed)
        naive += (1 + (one >= row["r"]).sum()) / 200 < 0.05
    assert small <= 12
    assert naive > 12


def test_pack_signs_are_taken_where_there_are_no_norms_and_nothing_is_made_up() -> None:
    pack = {"e0": 0.2, "e1": -0.9, "e2": 1.0, "other": 1.0}
    [axis] = rated_axes(None, EMOTIONS, pack)
    assert (axis.name, axis.source) == (VALENCE, SIGNS)
    assert axis.ratings[:3].tolist() == [1, -1, 1]
    assert np.isnan(axis.ratings[3:]).all()
    np.testing.assert_array_equal(valence_of([axis], N), axis.ratings)
    for few in ({}, {"e0": 1.0, "e1": -1.0}, {"e0": 0.3, "e1": 0.4, "e2": 1.0}):
        assert rated_axes(None, EMOTIONS, few) == []
    assert np.isnan(valence_of([], N)).all()


def test_norms_give_both_axes_and_their_layout(tmp_path: Path) -> None:
    rows = [f"{e},{1 + i % 9},{1 + i % 7}" for i, e in enumerate(EMOTIONS[:10])]
    path = tmp_path / "norms.csv"
    path.write_text("\n".join(["Word,V.Mean.Sum,A.Mean.Sum", *rows]))
    axes = rated_axes(read_lexicon(path).norms_of(EMOTIONS), EMOTIONS, {"e0": 1.0})
    assert [a.name for a in axes] == [VALENCE, AROUSAL]
    assert {a.source for a in axes} == {"Warriner et al. 2013"}
    assert [a.known.sum() for a in axes] == [10, 10]
    assert axes[1].ratings[1] == pytest.approx((2 - 5) / 4)
    path.write_text("\n".join(["Word,V.Mean.Sum,A.Mean.Sum", *rows[:2]]))
    with pytest.raises(EmoexpError, match="2 of the 24 emotions: at least 3"):
        read_lexicon(path).norms_of(EMOTIONS)
    path.write_text("\n".join(["Word,V.Mean.Sum,A.Mean.Sum", *(f"{e},5,5" for e in EMOTIONS[:4])]))
    with pytest.raises(EmoexpError, match="valence .* is 0 for all 4 emotions .* two different"):
        rated_axes(read_lexicon(path).norms_of(EMOTIONS), EMOTIONS, {})


def test_norms_without_arousal_give_the_axis_of_valence_alone() -> None:
    valence = {e: (-1.0) ** i for i, e in enumerate(EMOTIONS)}
    norms = Norms("VADER", "a package", tuple(EMOTIONS), valence, {}, {})
    assert [axis.name for axis in rated_axes(norms, EMOTIONS, {})] == [VALENCE]


def test_an_axis_needs_three_rated_emotions() -> None:
    with pytest.raises(EmoexpError, match="known of 2 of the 24 emotions: at least 3"):
        Axis(VALENCE, np.array([1, -1, *[np.nan] * 22]), SIGNS)
