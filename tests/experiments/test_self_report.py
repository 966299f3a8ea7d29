"""Self-report: whole words, the steered turn, and a null that a random direction is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.experiments.self_report import SelfReport
from emoexp.models.prompts import Prompt, ask, token_mask
from emoexp.models.subject import Steering, SubjectModel
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES
from emoexp.stats.matched_pairs import cells, mean_of, random_pairs, reading_order
from emoexp.stats.self_report import lift
from emoexp.steering.continuations import NextWords
from emoexp.study.study import Study
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import drawn, saved
from tests.helpers.studies import composed

EMOTION_NAMES = "[happy,calm,desperate,angry,sad,afraid]"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


def study(store: Path, *overrides: str) -> Study:
    return composed("self_report", store, f"emotions.names={EMOTION_NAMES}", *overrides)


@pytest.mark.parametrize("span", [ReplySpan.turn, ReplySpan.all])
def test_a_words_log_probability_is_that_of_all_its_tokens_one_by_one(
    tiny: SubjectModel, span: ReplySpan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against rows that hold each word whole, steered on the turn and the word; words that share a
    beginning, and of one token."""
    prompt = ask(Prompt("How do you feel?"), tiny.config.format, tiny.tokenizer, "I feel")
    words = ["happy", "zebra", "zebras", "at ease", "sad", "unhappy"]
    vector = torch.randn(tiny.d_model, generator=torch.Generator().manual_seed(2)) * 3
    whole = [
        Prompt(
            f"{prompt.text} {w}",
            {**prompt.spans, "word": ((len(prompt.text), len(prompt.text) + 1 + len(w)),)},
        )
        for w in words
    ]
    encoding = tiny.encode(whole)
    wanted = token_mask(whole, ["word"], encoding)
    assert wanted.sum(1).max() > 2
    assert wanted.sum(1).min() == 1
    steered = wanted | (
        token_mask(whole, ["turn"], encoding) if span is ReplySpan.turn else encoding.is_text
    )
    for direction in (None, vector):
        steering = None if direction is None else Steering({2: direction[None]}, steered)
        expected = tiny.log_probs(encoding, wanted, steering).double().nansum(1).numpy()
        for batch_tokens in (2048, 1):
            monkeypatch.setattr(tiny.config, "batch_tokens", batch_tokens)
            np.testing.assert_allclose(
                NextWords(tiny, prompt, words, span).log_probs(2, direction), expected, rtol=1e-4
            )


def test_words_of_one_token_share_one_row(tiny: SubjectModel) -> None:
    prompt = ask(Prompt("How do you feel?"), tiny.config.format, tiny.tokenizer, "I feel")
    assert (
        NextWords(
            tiny, prompt, ["happy", "sad", "calm"], ReplySpan.turn
        ).continued.encoding.ids.shape[0]
        == 1
    )


def test_what_rises_under_any_steering_is_no_finding() -> None:
    """Columns that rise for every row: the diagonal lies within random pairs; a planted diagonal of
    one does not."""
    rng = np.random.default_rng(0)
    common = 5 * rng.standard_normal(30)
    emotions, noise = common + rng.standard_normal((30, 30)), common + rng.standard_normal((24, 30))
    own = np.arange(30)
    for name in ("value", "rank", "selectivity"):
        null = random_pairs(getattr(cells(noise), name), 30, 500, 0)
        assert (
            null.interval.low
            < mean_of(getattr(cells(emotions).at(own), name), 500, 0).value
            < null.interval.high
        )
        planted = mean_of(getattr(cells(emotions + 8 * np.eye(30)).at(own), name), 500, 0)
        assert (
            planted.interval.high < null.interval.low
            if name == "rank"
            else planted.interval.low > null.interval.high
        )


def test_cells_of_a_small_matrix_by_hand() -> None:
    found = cells(np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 4.0]]))
    np.testing.assert_allclose(found.rank, [[1, 3, 2], [2.5, 2.5, 1]])
    np.testing.assert_allclose(found.selectivity, [[1.5, -1.5, 0], [-1.5, -1.5, 3]])
    assert found.at([2, 0]).value.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="numbers"):
        cells(np.array([[1.0, np.nan]]))


def test_the_order_is_valence_where_all_is_known_else_clusters() -> None:
    directions = np.array([[1.0, 0, 0], [0, 1, 0], [0.9, 0.1, 0], [0, 0.9, 0.1]])
    names = ["a", "b", "c", "d"]
    order = reading_order(names, {"a": 0.5, "b": -1, "c": 0, "d": 1}, directions)
    assert order.tolist() == [1, 2, 0, 3]
    order = reading_order(names, {"a": 0.5}, directions)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert abs(list(order).index(0) - list(order).index(2)) == 1


def test_lift_leaves_the_own_word_out() -> None:
    change = np.array([[99.0, 2, 1, 3], [3, -50.0, 1, 1], [4, 6, -50.0, 2], [0, 0, 7, 99]])
    np.testing.assert_allclose(
        lift(change, np.array([1.0, 0.5, -1.0, -0.2])), [2 - 2, 3 - 1, 5 - 2, 0 - 7]
    )


def test_the_organism_says_what_is_planted_and_shuffled_vectors_do_not(
    store: Path, tmp_path: Path
) -> None:
    here = study(store)
    experiment: SelfReport = here.config.experiment
    result = experiment.run(here)
    rows = result.tables["self_report_rows"].set_index(["asked", "statistic"])
    assert rows.loc[("self", "rank"), "value"] < 2
    assert result.metrics["self_report_value_self"] > 0.5
    assert rows.loc[("self", "rank"), "isotropic"] == pytest.approx(3.5)
    settings = {"strength": 0.5, "steered": "turn"}
    run = saved(tmp_path, result.tables, experiment="self_report", settings=settings)
    check_run_is_shown_whole(run)
    assert set(drawn(run)) == {"self_report", "self_report_map_self", "self_report_map_other"}
    change = result.tables["self_report_self"]
    assert change.groupby("set").size().to_dict() == {EMOTIONS: 6, ISOTROPIC: 8, MIXTURES: 8}

    shuffled = study(store)
    shuffled.__dict__["vectors"] = replace(
        here.vectors, directions=np.roll(here.vectors.directions, 2, 0)
    )
    shuffled.__dict__["model"] = here.model
    assert shuffled.config.experiment.run(shuffled).metrics["self_report_rank_self"] > 2


def test_a_second_run_steers_nothing_again_and_another_strength_does(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = study(store)
    report = first.config.experiment.measure(first)

    def refuse(*_: object) -> np.ndarray:
        raise AssertionError("measured again")

    monkeypatch.setattr(NextWords, "log_probs", refuse)
    again = study(store)
    pd.testing.assert_frame_equal(
        again.config.experiment.measure(again)["self_report_log_probs"],
        report["self_report_log_probs"],
    )
    other = study(store, "experiment.strength=0.25")
    with pytest.raises(AssertionError, match="measured again"):
        other.config.experiment.measure(other)


def test_mistakes_are_one_line(store: Path) -> None:
    here = study(store)
    here.__dict__["stimuli"] = replace(here.stimuli, self_report=None)
    with pytest.raises(EmoexpError, match="has no self_report: choose"):
        here.config.experiment.check(here)
    with pytest.raises(EmoexpError, match=r"experiment.strength=0"):
        SelfReport(strength=0)
    with pytest.raises(EmoexpError, match="turn or all"):
        SelfReport(steered=ReplySpan.generated)
