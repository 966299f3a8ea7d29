"""The tables of a reading and of replies, from numbers that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from emoexp.errors import EmoexpError
from emoexp.explore import pictures
from emoexp.explore.reading import Cosines, Reading, Tokens, compare
from emoexp.explore.steering import Reply, drift_table
from emoexp.stats.own_probe import CENTRED, RAW

DRAWS = np.linspace(-0.1, 0.1, 41)
"""Cosines of isotropic directions; the central 95 % of them is -0.095 to 0.095."""


def reading(shift: float = 0.0, emotions: tuple[str, ...] = ("calm", "proud")) -> Reading:
    """Two layers, three tokens (the first does not count) and two emotions."""
    tokens = np.array([[[0.9, 0.9], [0.1, 0.3], [0.2, 0.0]], [[0.9, 0.9], [0.4, 0.5], [0.6, 0.7]]])
    tokens = tokens + shift
    parts = {"text": tokens[:, 1:].mean(1), "turn": tokens[:, -1]}
    no = np.zeros(3, bool)
    marks = Tokens(("<s>", "a", "b"), ~no, np.array([True, False, False]), np.stack([no, no]))
    means = {"text": np.full((2, 2), 0.1), "turn": np.array([[0.0, 0.1], [0.3, 0.6]])}
    nothing = {part: np.zeros((2, 41)) for part in ("text", "turn")}
    drawn = {part: np.stack([DRAWS, 2 * DRAWS]) for part in ("text", "turn")}
    bands = {name: np.array([[-0.1, 0.1]] * 2) for name in (RAW, CENTRED)}
    cosines = Cosines(tokens, parts)  # type: ignore[arg-type]
    return Reading(
        "a b", True, emotions, marks, cosines, drawn, bands, means, nothing  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_top_emotions_are_the_highest() -> None:
    r = reading()
    assert r.top(0, 2, "text", RAW) == ["calm", "proud"]
    assert r.top(0, 1, "turn", RAW) == ["calm"]
    assert r.top(1, 2, "turn", RAW) == ["proud", "calm"]
    assert r.top(1, 2, "turn", CENTRED) == ["calm", "proud"]
    assert r.top_of_token(1, 1, 2, RAW) == [("proud", 0.5), ("calm", 0.4)]
    assert [e for e, _ in r.top_of_token(1, 2, 2, CENTRED)] == ["calm", "proud"]


def test_tables_have_the_numbers_of_each_token_and_layer() -> None:
    r = reading()
    table = r.token_table(0, CENTRED)
    assert table["token"].tolist() == ["<s>", "a", "b"]
    assert table["counted"].tolist() == [False, True, True]
    np.testing.assert_allclose(table["proud"], [0.8, 0.2, -0.1])
    layers = r.layer_table("text", RAW)
    assert layers["layer"].tolist() == [0, 1]
    np.testing.assert_allclose(layers["null_high"], [0.095, 0.19])
    np.testing.assert_allclose(layers["null_low"], [-0.095, -0.19])
    np.testing.assert_allclose(layers["calm"], [0.15, 0.5])


def test_a_difference_has_the_null_of_both_places() -> None:
    table = compare(reading(), reading(0.09), (0, 1), ("text", "turn"), RAW)
    assert table["emotion"].tolist() == ["proud", "calm"]
    np.testing.assert_allclose(table["a"], [0.15, 0.15])
    np.testing.assert_allclose(table["b"], [0.79, 0.69])
    np.testing.assert_allclose(table["difference"], [0.64, 0.54])
    np.testing.assert_allclose(table["null_high"], 0.095)  # of 2 DRAWS - DRAWS
    assert table["beyond"].all()
    inside = compare(reading(), reading(0.09), (0, 1), ("text", "text"), CENTRED)
    np.testing.assert_allclose(inside["difference"], [0.54, 0.44])
    same = compare(reading(), reading(0.09), (0, 0), ("text", "text"), RAW)
    np.testing.assert_allclose(same["null_high"], 0, atol=1e-12)


def test_two_models_are_compared_on_the_emotions_that_both_have() -> None:
    table = compare(reading(), reading(0.1, ("proud", "sad")), (0, 0), ("text", "text"))
    assert table["emotion"].tolist() == ["proud"]
    np.testing.assert_allclose(table[["a", "b"]].to_numpy(), [[0.15, 0.25]])
    with pytest.raises(EmoexpError, match="no emotion in common"):
        compare(reading(), reading(0, ("sad", "shy")), (0, 0), ("text", "text"))


def reply(name: str, cosines: list[list[float]], random: float) -> Reply:
    n, band = len(cosines), np.array([-0.1, 0.1])
    return Reply(
        name, "x", (1,) * n, ("x",) * n, True, np.full(n, np.log(2.0)),
        np.array(cosines).reshape(n, 2), band, random * DRAWS,
    )  # fmt: skip


def test_drift_is_the_difference_of_means_beside_its_null() -> None:
    replies = [
        reply("unsteered", [[0.1, 0.2], [0.3, 0.2]], 1.0),
        reply("steered", [[0.25, 0.5]], 2.0),
    ]
    table = drift_table(replies, ("calm", "proud"), first=())
    assert table["emotion"].tolist() == ["proud", "calm"]
    np.testing.assert_allclose(table["unsteered"], [0.2, 0.2])
    np.testing.assert_allclose(table["steered"], [0.5, 0.25])
    np.testing.assert_allclose(table["steered: drift"], [0.3, 0.05])
    assert set(table["steered: null"]) == {"-0.0950 .. +0.0950"}
    assert table["steered: beyond"].tolist() == [True, False]
    assert drift_table(replies, ("calm", "proud"), ["calm"])["emotion"][0] == "calm"
    assert replies[0].perplexity == pytest.approx(2.0)
    with pytest.raises(EmoexpError, match="'steered' is empty"):
        drift_table([replies[0], reply("steered", [], 1.0)], ("calm", "proud"), ())


def test_the_picture_has_the_numbers_of_the_counted_tokens() -> None:
    r, axes = reading(), Figure().subplots()
    pictures._draw_tokens(axes, r, "proud", 1, RAW)
    bars = [patch.get_height() for patch in axes.containers[0]]
    np.testing.assert_allclose(bars, [0.5, 0.7])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    below = Figure().subplots()
    pictures._draw_layers(below, r, 1, RAW)
    lines = {line.get_label(): line.get_ydata() for line in below.lines}
    np.testing.assert_allclose(lines["calm"], [0.2, 0.6])
    np.testing.assert_allclose(lines["proud"], [0.0, 0.7])
    assert pictures.reading_png(r, "calm", 0, CENTRED).startswith(b"\x89PNG")
    assert pictures.printable(" $x_1 \U0001f389") == r"$x_1 \U0001f389"


def test_a_massive_token_has_no_bar() -> None:
    r, axes = reading(), Figure().subplots()
    massive = np.array([[False] * 3, [False, True, False]])
    pictures._draw_tokens(
        axes, replace(r, tokens=replace(r.tokens, massive=massive)), "calm", 1, RAW
    )
    assert [patch.get_height() for patch in axes.containers[0]] == [0.6]
