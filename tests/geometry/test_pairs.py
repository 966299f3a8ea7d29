"""Pairs: planted near and opposed ones are found and hold, noise does not."""

from __future__ import annotations

import numpy as np
import pytest

from emoexp.geometry.pairs import extreme_rows, measured_pairs, sanity_rows
from tests.geometry.test_layer import NAMES, geometry_of, planted, random_directions


def near_and_opposed() -> np.ndarray:
    """happy and joyful nearly equal, calm and panicked opposed, happy and sad unrelated."""
    directions = random_directions()
    directions[1] = directions[0] + 0.2 * directions[1]
    directions[4] = -directions[3] + 0.2 * directions[4]
    return directions


def test_planted_pairs_hold_and_unrelated_ones_do_not() -> None:
    rows = sanity_rows(geometry_of(planted(near_and_opposed(), 0.8)))
    assert list(zip(rows["a"], rows["b"], rows["expected"], strict=True)) == [
        ("happy", "joyful", 1),
        ("happy", "sad", -1),
        ("calm", "panicked", -1),
    ]
    assert rows["holds"].tolist() == [True, False, True]
    assert (rows["low"] <= rows["cosine"]).all()
    assert (rows["cosine"] <= rows["high"]).all()
    assert rows["cosine"][0] > rows["shuffled_high"][0] > rows["shuffled_low"][0]
    assert rows["cosine"][2] < rows["shuffled_low"][2]


def test_noise_holds_about_as_often_as_its_null_allows() -> None:
    held = sum(
        sanity_rows(geometry_of(planted(np.zeros((8, 40)), 1.0, seed), (100, 60)))["holds"].sum()
        for seed in range(20)
    )
    assert held <= 8, "of 60, 2.5 % on the expected side, and a few more for 60 draws"


def test_the_expected_sign_is_needed_beyond_the_null() -> None:
    """Many opposed emotions: a pair below 0 that shuffled labels give too does not hold, and one
    above its null must be above 0."""
    directions = near_and_opposed()
    directions[[1, 4]] = directions[[4, 1]]
    rows = sanity_rows(geometry_of(planted(directions, 0.5)))
    assert not rows["holds"].any()


def test_the_nearest_and_the_most_opposed_come_first_with_a_null_of_their_rank() -> None:
    geometry = geometry_of(planted(near_and_opposed(), 0.5))
    rows = extreme_rows(geometry, 4)
    assert rows.columns.tolist()[:8] == [
        *("layer", "kind", "rank", "a", "b", "cosine", "low", "high")
    ]
    for kind, pair, sign in (
        ("nearest", ("happy", "joyful"), 1),
        ("opposed", ("calm", "panicked"), -1),
    ):
        part = rows[rows["kind"] == kind]
        assert part["rank"].tolist() == [1, 2, 3, 4]
        assert (part["a"].iloc[0], part["b"].iloc[0]) == pair
        assert (np.diff(sign * part["cosine"]) <= 0).all()
        for end in ("shuffled_low", "shuffled_high"):
            assert (np.diff(sign * part[end]) <= 0).all()
    off = geometry.cosines[~np.eye(8, dtype=bool)]
    assert rows["cosine"].max() == pytest.approx(off.max())
    assert rows["cosine"].min() == pytest.approx(off.min())
    highest = np.sort(geometry.shuffled[:, ~np.eye(8, dtype=bool)])[:, -1]
    assert rows["shuffled_high"].iloc[0] == pytest.approx(np.quantile(highest, 0.975))
    assert len(extreme_rows(geometry, 100)) == 2 * 28


def test_pairs_are_measured_where_both_are_there() -> None:
    assert [str(p) for p in measured_pairs(NAMES)] == ["happy/joyful", "happy/sad", "calm/panicked"]
    assert len(measured_pairs(("angry", "furious", "loving", "disgusted"))) == 2
    few = geometry_of(planted(random_directions()[:3], 0.5))
    assert sanity_rows(few)["a"].tolist() == ["happy", "happy"]
