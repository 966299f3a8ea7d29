"""Drift: what is read is the text and not what was added, by token; and what a random direction
gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.experiments.drift import Drift
from emoexp.models.subject import SubjectModel
from emoexp.stats.drift import rows_by_strength
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, UNSTEERED
from emoexp.steering import trajectories
from emoexp.steering.drift import DriftTexts
from emoexp.steering.drift_texts import emotions_to_steer
from emoexp.steering.trajectories import (
    Texts,
    TextSampling,
    confidence_band,
    drifted,
    last_quarter,
    mean_tokens,
    opened,
    smoothed,
    write,
)
from emoexp.stimuli import Opening
from emoexp.study.study import Study
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import drawn, saved
from tests.helpers.studies import composed

NAN = np.nan
OPENINGS = [
    Opening("How do I get there?", ""),
    Opening(None, "A cart rolled by."),
    Opening("What is it?", "It is"),
]


def sampling(n: int = 10, steered: ReplySpan = ReplySpan.generated) -> TextSampling:
    return TextSampling(n, 1.0, 1.0, steered)


def test_texts_are_read_again_without_what_was_added(
    tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cosine against a plain forward over the prompt and the text, one row at a time; in a
    batch and one by one."""
    prompts = [opened(o, tiny) for o in OPENINGS]
    rng = np.random.default_rng(0)
    probes = rng.standard_normal((4, tiny.d_model))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    added = 4 * rng.standard_normal((2, tiny.d_model))
    texts = Texts.of(write(tiny, prompts, [1, 2, 3], 2, added, probes, sampling()))
    for s in range(2):
        for k, prompt in enumerate(prompts):
            ids = texts.tokens(s, k)
            assert ids
            before = tiny.tokenizer(prompt.text)["input_ids"]
            found = tiny.network(torch.tensor([before + ids]), output_hidden_states=True)
            hidden = found.hidden_states[3][0, len(before) :].double().numpy()
            np.testing.assert_allclose(
                texts.cosines[s, k, : len(ids)],
                hidden @ probes.T / np.linalg.norm(hidden, axis=1, keepdims=True),
                atol=1e-4,
            )
            log_probs = found.logits[0, len(before) - 1 : -1].log_softmax(-1)
            np.testing.assert_allclose(
                texts.surprise[s, k, : len(ids)],
                [-float(p[i]) for p, i in zip(log_probs, ids, strict=True)],
                rtol=1e-3,
                atol=1e-3,
            )
            assert np.isnan(texts.cosines[s, k, len(ids) :]).all()
    monkeypatch.setattr(tiny.config, "batch_tokens", 1)
    np.testing.assert_array_equal(
        Texts.of(write(tiny, prompts, [1, 2, 3], 2, added, probes, sampling())).ids, texts.ids
    )


def test_without_a_vector_the_same_trial_says_the_same(tiny: SubjectModel) -> None:
    """Steered by nothing is unsteered; and a first new token cannot change where only generated
    tokens are steered, but on the turn it can."""
    prompts, probes = [opened(o, tiny) for o in OPENINGS], np.eye(tiny.d_model)[:2]
    vector = 6 * np.random.default_rng(1).standard_normal((1, tiny.d_model))
    unsteered = Texts.of(
        write(tiny, prompts, [1, 2, 3], 2, np.zeros((1, tiny.d_model)), probes, sampling())
    )
    tiny_push = Texts.of(write(tiny, prompts, [1, 2, 3], 2, 1e-12 * vector, probes, sampling()))
    np.testing.assert_array_equal(tiny_push.ids, unsteered.ids)
    np.testing.assert_allclose(np.nan_to_num(drifted(tiny_push, unsteered)), 0, atol=1e-5)
    pushed = {
        span: Texts.of(write(tiny, prompts, [1, 2, 3], 2, vector, probes, sampling(steered=span)))
        for span in ReplySpan
    }
    np.testing.assert_array_equal(pushed[ReplySpan.generated].ids[..., 0], unsteered.ids[..., 0])
    assert (pushed[ReplySpan.generated].ids != unsteered.ids).any()
    assert (pushed[ReplySpan.turn].ids[..., 0] != unsteered.ids[..., 0]).any()


def test_means_over_tokens_by_hand() -> None:
    values = np.array([[1.0, 2, 3, 4, 5, NAN], [7, NAN, NAN, NAN, NAN, NAN], [NAN] * 6])[..., None]
    end = last_quarter(values)
    assert end.tolist() == [
        [False, False, False, True, True, False],
        [True] + [False] * 5,
        [False] * 6,
    ]
    np.testing.assert_allclose(mean_tokens(values, end), [[4.5], [7], [NAN]])
    np.testing.assert_allclose(
        smoothed(values[..., 0], 2), [[1, 1.5, 2.5, 3.5, 4.5, NAN], [7, *[NAN] * 5], [NAN] * 6]
    )
    np.testing.assert_allclose(smoothed(values[..., 0], 1), values[..., 0])


def test_a_band_covers_the_mean_and_ends_with_the_trials() -> None:
    rng = np.random.default_rng(0)
    values = 3 + rng.standard_normal((40, 5))
    values[1:, 4] = NAN
    mean, low, high = confidence_band(values, 500, 0)
    np.testing.assert_allclose(mean[:4], values[:, :4].mean(0))
    assert ((low[:4] < mean[:4]) & (mean[:4] < high[:4])).all()
    assert 0.3 < (high[:4] - low[:4]).mean() < 1.0, "of the mean, not of single trials"
    assert np.isnan([mean[4], low[4], high[4]]).all()


SHOWN = {"strength": 0.5, "smooth": 8, "steered": "generated", "max_new_tokens": 16}
SETTINGS = (
    "emotions.names=[sad,happy,calm,afraid]",
    "experiment.emotions=[sad,happy]",
    "experiment.samples=1",
    "experiment.max_new_tokens=16",
    "experiment.strengths=[0.5,1]",
)


def study(store: Path, *overrides: str) -> Study:
    return composed("drift", store, *SETTINGS, *overrides)


def test_the_organism_end_to_end_and_a_second_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = study(tmp_path)
    here.__dict__["stimuli"] = replace(here.stimuli, drift=here.stimuli.drift[:3])
    result = here.config.experiment.run(here)
    transcripts = result.tables["drift_transcripts"]
    assert transcripts.groupby("set").size().to_dict() == {
        UNSTEERED: 3,
        EMOTIONS: 2 * 2 * 3,
        ISOTROPIC: 8 * 2 * 3,
    }
    assert transcripts.groupby(["opening", "sample"])["seed"].nunique().eq(1).all(), (
        "the same random numbers with and without steering"
    )
    broken = transcripts["degenerates_at"] >= 0
    assert (transcripts["marked"].str.contains(" | ", regex=False) == broken).all()
    at = transcripts[transcripts["set"] == EMOTIONS].groupby("strength")["perplexity"].median()
    assert at[1.0] > 2 * at[0.5]
    run = saved(tmp_path / "run", result.tables, experiment="drift", settings=SHOWN)
    check_run_is_shown_whole(run)
    assert set(drawn(run)) == {"drift", "drift_map", "drift_degeneration"}
    curves = result.tables["drift_curves"]
    assert len(curves) == 2 * 2 * 16
    assert (curves.groupby(["emotion", "strength"])["token"].max() == 15).all()

    def refuse(*_: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr("emoexp.steering.drift_texts.write", refuse)
    again = study(tmp_path)
    again.__dict__.update(stimuli=here.stimuli, model=here.model)
    assert again.config.experiment.run(again).metrics == result.metrics


PROBES = ("sad", "happy", "calm", "afraid")


def made_up(rng: np.random.Generator, raised: int | None, strengths: int) -> Texts:
    """Texts of which one probe may read 0.2 more than nothing."""
    trials, tokens = 6, 16
    cosines = 0.02 * rng.standard_normal((strengths, trials, tokens, len(PROBES)))
    if raised is not None:
        cosines[..., raised] += 0.2
    ids = np.broadcast_to(np.arange(tokens), (strengths, trials, tokens))
    surprise, ended = np.ones((strengths, trials, tokens)), np.zeros((strengths, trials), bool)
    return Texts(ids, surprise, cosines, ended)


def test_own_drift_is_found_where_it_is_planted_and_not_where_it_is_not() -> None:
    """Sad's texts rise on sad's probe, happy's on happy's, the random directions' on none."""
    rng, names = np.random.default_rng(0), {EMOTIONS: ["sad", "happy"]}
    names[ISOTROPIC] = [f"{ISOTROPIC} {i}" for i in range(8)]
    for planted in (True, False):
        texts = {e: made_up(rng, k if planted else None, 2) for k, e in enumerate(names[EMOTIONS])}
        texts |= {name: made_up(rng, None, 2) for name in names[ISOTROPIC]}
        unsteered = made_up(rng, None, 1)
        found = DriftTexts(["p"] * 6, PROBES, names, [0.5, 1.0], unsteered, texts, 9.0)
        rows = rows_by_strength(found.maps(), found.maps(unbroken=True), 200, 0)
        row = rows.iloc[0]
        assert (row["own"] > 0.15) == planted
        assert (row["rank"] == 1) == planted
        assert (row["own"] > row["own_null_high"] + 0.1) == planted
        assert (row["unbroken"] > 0.15) == planted


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmoexpError, match="each must be other than 0"):
        Drift(strengths=[0.1, 0.0])
    with pytest.raises(EmoexpError, match="experiment.samples=1"):
        Drift(temperature=0)
    for strengths in ([], [0.5, 0.5]):
        with pytest.raises(EmoexpError, match="at least one number, each once"):
            Drift(strengths=strengths)
    with pytest.raises(EmoexpError, match=r"experiment\.emotions=\[\]"):
        Drift(emotions=[])
    joined = Drift(strengths=[1.0], strength=0.3)
    assert joined.strengths == [0.3, 1.0]
    assert joined.joined
    assert not Drift(strengths=[1.0], strength=1.0).joined
    here = study(tmp_path)
    with pytest.raises(EmoexpError, match="zest not among the 2 emotions"):
        emotions_to_steer(["sad", "zest"], ("sad", "happy"), here.stimuli)
    assert trajectories.opened(Opening(None, "A cart"), here.model).spans["turn"] == ((0, 6),)
    here.__dict__["stimuli"] = replace(here.stimuli, drift=())
    with pytest.raises(EmoexpError, match="has no drift: choose"):
        here.config.experiment.check(here)


def test_a_direction_whose_texts_are_all_empty_is_told() -> None:
    nothing = Texts(
        np.full((2, 3, 4), -1),
        np.full((2, 3, 4), NAN),
        np.full((2, 3, 4, 2), NAN),
        np.ones((2, 3), bool),
    )
    something = Texts(
        np.full((1, 3, 4), 1), np.ones((1, 3, 4)), np.ones((1, 3, 4, 2)), np.ones((1, 3), bool)
    )
    texts = {"sad": nothing}
    names = {EMOTIONS: ["sad"]}
    found = DriftTexts(["p"] * 3, ("sad", "calm"), names, [0.5, 1.0], something, texts, 9.0)
    with pytest.raises(EmoexpError, match=r"at strength 0\.5 of 'sad' no text has a token"):
        found.maps()
    assert np.isnan(found.maps(unbroken=True)[["sad", "calm"]]).all(axis=None)
