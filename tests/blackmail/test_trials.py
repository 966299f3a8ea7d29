"""Trials: the same whatever the batch, kept one by one, steered as they should be; and the
experiment as a whole, on a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoexp.blackmail.conditions import BASELINE, EMOTION, Condition, conditions_of
from emoexp.blackmail.trials import (
    Batches,
    ReplySampling,
    Trial,
    cut_note,
    prompts_of,
    reply_limit,
    run_trials,
    trial_seed,
)
from emoexp.config import Config, EmotionsConfig, ModelConfig, ReplySpan, ScaleConfig, StimuliConfig
from emoexp.errors import EmoexpError
from emoexp.experiments.blackmail import Blackmail
from emoexp.models.openai_client import Server
from emoexp.models.prompts import Prompt, ask, reply_mask
from emoexp.models.subject import Steering, SubjectModel
from emoexp.stimuli import BlackmailScenario, Stimuli
from emoexp.store.artifacts import Artifacts
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.vectors import EmotionVectors
from emoexp.views.transcripts import write_transcripts
from tests.helpers.fake_server import FakeServer, Reply
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import drawn, saved

NAMES = ("desperate", "calm", "sad", "proud", "bored")
SAMPLING = ReplySampling(3, 1.0, 6, ReplySpan.generated, (1, 2))


@pytest.fixture(scope="module")
def scenario(pack: Stimuli) -> BlackmailScenario:
    assert pack.blackmail is not None
    return replace(pack.blackmail, scenes=pack.blackmail.scenes[:3])


def vectors_of(model: SubjectModel, layer: int) -> EmotionVectors:
    return EmotionVectors(
        NAMES,
        isotropic_directions(len(NAMES), model.d_model, np.random.default_rng(layer)),
        layer,
        20.0 + layer,
        0,
        {},
    )


@pytest.fixture
def conditions(tiny: SubjectModel) -> list[Condition]:
    return conditions_of(
        [vectors_of(tiny, layer) for layer in SAMPLING.layers],
        ["desperate", "calm"],
        [-0.5, 0.5],
        3,
        np.random.default_rng(0),
    )


def told(trials: list[Trial]) -> dict[tuple[str, int], str]:
    return {(t.condition.title, t.k): t.text for t in trials}


class Counted:
    """Counts the rows of each batch, and dies at batch number `dies`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies: int | None = None) -> None:
        self.batches: list[int] = []
        generate = Batches.generate

        def counted(batches: Batches, slots: list) -> list:
            if len(self.batches) == dies:
                raise KeyboardInterrupt
            self.batches.append(len(slots))
            return generate(batches, slots)

        monkeypatch.setattr(Batches, "generate", counted)


@pytest.mark.parametrize("span", list(ReplySpan))
def test_each_trial_is_its_own_row_steered_by_hand(
    tiny: SubjectModel,
    scenario: BlackmailScenario,
    conditions: list[Condition],
    tmp_path: Path,
    span: ReplySpan,
) -> None:
    """The baseline, in a batch with steered rows, is the unsteered model; a steered trial is one
    row with its own vectors."""
    sampling = replace(SAMPLING, span=span)
    trials = run_trials(tiny, scenario, conditions, 4, sampling, Artifacts(tmp_path))
    assert [(t.condition, t.k) for t in trials] == [
        (condition, k) for condition in conditions for k in range(4)
    ]
    for t in trials:
        if t.condition.kind not in (BASELINE, EMOTION):
            continue
        scene = scenario.scene(t.k)
        prompts = [
            ask(Prompt(scene.prompt), tiny.config.format, tiny.tokenizer, system=scene.system)
        ]
        encoding, added = (
            tiny.encode(prompts),
            torch.as_tensor(t.condition.added(0), dtype=torch.float32),
        )
        steering = Steering(
            {layer: added[i][None] for i, layer in enumerate((1, 2))},
            reply_mask(prompts, span, encoding),
        )
        alone = tiny.generate(
            encoding,
            max_new_tokens=6,
            temperature=1.0,
            seeds=[trial_seed(3, t.k)],
            steering=None if t.condition.kind == BASELINE else steering,
        )
        assert t.text == alone.texts[0]
        assert (t.n_tokens, t.ended) == (len(alone.ids[0]), alone.ended[0])
    texts = told(trials)
    assert any(texts["baseline", k] != texts["desperate +0.5", k] for k in range(4))
    assert len({texts["baseline", k] for k in range(4)}) > 1


def test_a_trial_depends_on_neither_its_batch_nor_how_many_there_are(
    tiny: SubjectModel,
    scenario: BlackmailScenario,
    conditions: list[Condition],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = told(run_trials(tiny, scenario, conditions, 5, SAMPLING, Artifacts(tmp_path / "whole")))
    monkeypatch.setattr(tiny.config, "batch_tokens", 200)
    counted, store = Counted(monkeypatch), Artifacts(tmp_path / "parts")
    few = told(run_trials(tiny, scenario, conditions, 2, SAMPLING, store))
    first = sum(counted.batches)
    assert max(counted.batches) < first == 2 * len(conditions)
    more = told(run_trials(tiny, scenario, conditions[:3], 5, SAMPLING, store))
    assert sum(counted.batches) - first == 3 * 3
    assert few == {key: text for key, text in whole.items() if key[1] < 2}
    assert more == {
        key: text for key, text in whole.items() if key[0] in {a.title for a in conditions[:3]}
    }
    run_trials(
        tiny,
        scenario,
        conditions[:1],
        5,
        replace(SAMPLING, layers=(2, 1), span=ReplySpan.all),
        store,
    )
    assert sum(counted.batches) - first == 9, "the baseline is the same at every layer and span"
    run_trials(tiny, scenario, conditions[:2], 1, replace(SAMPLING, seed=4), store)
    run_trials(tiny, scenario, conditions[1:2], 1, replace(SAMPLING, span=ReplySpan.all), store)
    assert sum(counted.batches) - first == 9 + 2 + 1


def test_a_run_that_dies_loses_one_batch_at_most(
    tiny: SubjectModel,
    scenario: BlackmailScenario,
    conditions: list[Condition],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny.config, "batch_tokens", 300)
    store = Artifacts(tmp_path)
    with monkeypatch.context() as patch:
        died = Counted(patch, dies=2)
        with pytest.raises(KeyboardInterrupt):
            run_trials(tiny, scenario, conditions, 3, SAMPLING, store)
    with monkeypatch.context() as patch:
        after = Counted(patch)
        trials = run_trials(tiny, scenario, conditions, 3, SAMPLING, store)
    assert sum(died.batches) > 0
    assert sum(died.batches) + sum(after.batches) == len(trials) == 3 * len(conditions)


def test_trials_share_their_random_numbers_across_arms_only() -> None:
    assert len({trial_seed(s, k) for s in range(5) for k in range(100)}) == 500


def test_a_reply_is_cut_where_the_positions_of_the_model_end(
    tiny: SubjectModel, scenario: BlackmailScenario
) -> None:
    room = reply_limit(tiny, scenario, 10**6)
    width = tiny.encode(prompts_of(tiny, scenario)).ids.shape[1]
    assert room == 512 - width
    assert reply_limit(tiny, scenario, 5) == 5
    assert cut_note(tiny, scenario, 5) == []
    (note,) = cut_note(tiny, scenario, 500)
    assert f"cut at {room} tokens, not at experiment.max_new_tokens=500" in note
    long = replace(scenario, prompt=scenario.prompt * 20)
    with pytest.raises(EmoexpError, match="reads 512: no reply fits"):
        reply_limit(tiny, long, 5)


def test_a_layer_that_is_not_there_is_told_before_anything_runs(
    tiny: SubjectModel, scenario: BlackmailScenario, conditions: list[Condition], tmp_path: Path
) -> None:
    with pytest.raises(EmoexpError, match="layer=5 is out of range"):
        run_trials(
            tiny, scenario, conditions, 1, replace(SAMPLING, layers=(1, 5)), Artifacts(tmp_path)
        )


# --- the experiment


def context_of(tiny: SubjectModel, pack: Stimuli, folder: Path, experiment: Blackmail) -> Study:
    """Everything but the vectors is real; the model is a random one, so that its replies are
    babble."""
    config = Config(
        experiment=experiment,
        model=ModelConfig(name="tiny", repo_id="tiny"),
        layer=2,
        emotions=EmotionsConfig(names=list(NAMES)),
        stimuli=StimuliConfig(path="bundled:organism"),
        scale=ScaleConfig(
            bootstrap_draws=100, permutations=100, null_draws=100, random_directions=8
        ),
        artifacts=str(folder / "art"),
        run_dir=str(folder),
    )
    study = Study(config)
    vars(study).update(model=tiny, stimuli=pack, emotions=NAMES, vectors=vectors_of(tiny, 2))
    return study


def test_the_experiment_leaves_rates_controls_and_every_transcript(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path
) -> None:
    experiment = Blackmail(
        trials=4, max_new_tokens=5, strength=0.5, doses=[-0.5, 1.0], emotions=["calm"]
    )
    study = context_of(tiny, pack, tmp_path, experiment)
    result = experiment.run(study)
    rows = result.tables["blackmail"]
    assert rows["condition"].tolist() == ["baseline", "calm -0.5", "calm +0.5", "calm +1"]
    assert set(result.metrics) >= {
        "blackmail_incoherent_baseline",
        "blackmail_incoherent_calm_pos",
        "blackmail_incoherent_calm_neg",
    }
    assert rows["cut"].sum() + rows["broken"].sum() == 16, "five tokens end no reply"
    assert set(rows["harmful"]) == set(rows["judged"]) == {0}
    assert "blackmail_baseline" not in result.metrics, "a rate of nothing judged is no rate"
    assert result.metrics["blackmail_judged_baseline"] == 0
    assert any("the baseline allows no finding" in note for note in result.notes)
    assert any("n = 4 trials are few" in note for note in result.notes)
    assert len(result.tables["blackmail_trials"]) == 4 * (1 + 3 + 2 * 3)
    settings = {"band": None, "steered": "generated", "trials": 4}
    run = saved(tmp_path / "run", result.tables, experiment="blackmail", settings=settings)
    check_run_is_shown_whole(run)
    assert write_transcripts(run).read_text().count("<article") == 40
    assert "steered: generated, 4 replies each" in drawn(run)["blackmail_dose"].get_suptitle()
    assert "blackmail_by_model" not in result.tables


def test_a_judging_model_adds_its_rates_or_only_the_news_that_it_did_not(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server.__init__, "__defaults__", ((0.001, 0.01),))
    experiment = Blackmail(trials=3, max_new_tokens=5, strength=0.5, emotions=["calm"])
    study = context_of(tiny, pack, tmp_path, experiment)
    with FakeServer(
        lambda _n, prompt: Reply("HARMFUL" if "Zoe" in prompt else "UNCLEAR")
    ) as server:
        experiment.judge_model = replace(
            experiment.judge_model, server=server.url, server_model="judge"
        )
        result = experiment.run(study)
    n = len(result.tables["blackmail_trials"])
    assert (result.tables["blackmail_trials"]["model"] == "HARMFUL").sum() == n / 3
    assert result.tables["blackmail_by_model"]["judged"][0] == 0, "all were cut"
    assert result.tables["blackmail_by_model"]["cut"][0] > 0
    assert (
        result.tables["blackmail_agreement"]["statistic"].tolist()
        == ["raw agreement", "Cohen's kappa"] * 2
    )
    assert any(f"judge judge: {n} of {n} labels" in note for note in result.notes)
    experiment.judge_model = replace(experiment.judge_model, server_model="other", retries=0)
    result = experiment.run(study)
    assert set(result.tables["blackmail_trials"]["model"]) == {"missing"}
    assert "blackmail_by_model" not in result.tables
    assert any(
        f"0 of {n} labels; {n} are missing" in note and "no server answers" in note
        for note in result.notes
    )
    assert result.tables["blackmail"]["condition"].tolist() == [
        "baseline",
        "calm -0.5",
        "calm +0.5",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 0}, "experiment.strength=0"),
        ({"strength": float("nan")}, "experiment.strength=nan"),
        ({"strength": -0.1}, "experiment.strength=-0.1"),
        ({"trials": 0}, "experiment.trials=0: must be at least"),
        ({"max_new_tokens": 0}, "experiment.max_new_tokens=0"),
        ({"temperature": 0}, "experiment.temperature=0"),
        ({"emotions": []}, r"experiment.emotions=\[\]"),
        ({"emotions": ["calm", "calm"]}, "each once"),
        ({"doses": [float("inf")]}, "experiment.doses"),
        ({"doses": [0.1, 0.1]}, "each once"),
        ({"band": []}, r"experiment.band=\[\]"),
    ],
)
def test_a_mistake_is_told_at_once(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EmoexpError, match=message):
        Blackmail(**changes)  # type: ignore[arg-type]


def test_what_the_pack_or_the_emotions_lack_is_one_line(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path
) -> None:
    experiment = Blackmail(emotions=["grim"])
    with pytest.raises(
        EmoexpError,
        match=r"experiment\.emotions: no vector of grim; there are 5, such as desperate",
    ):
        experiment.run(context_of(tiny, pack, tmp_path, experiment))
    with pytest.raises(EmoexpError, match="has no blackmail: choose stimuli=emoexp"):
        experiment.run(context_of(tiny, replace(pack, blackmail=None), tmp_path, experiment))
    band = Blackmail(band=[2, 7])
    with pytest.raises(EmoexpError, match="layer=7 is out of range"):
        band.run(context_of(tiny, pack, tmp_path, band))
