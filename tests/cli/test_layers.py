"""What the layers of one run share is computed once; what is read at all layers at once is what a
forward of its own reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emoexp.cli.run import keep
from emoexp.config import Config, EmotionsConfig, ScaleConfig
from emoexp.models.prompts import Prompt, ask, fill, token_mask
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.lens import rank_of, within_top
from emoexp.vectors.probes import activity_residuals, assistant_residuals
from tests.helpers.records import record


def test_residuals_of_prompts_are_those_of_a_forward_for_each_and_are_kept(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, texts = (
        Artifacts(tmp_path),
        {
            "short": ["A cart rolled by."],
            "more": ["The long road was dry and it led to the sea.", "Rain."],
        },
    )
    found = {layer: assistant_residuals(tiny, store, texts, layer) for layer in (1, 3)}
    activities = {layer: activity_residuals(tiny, store, pack, layer) for layer in (1, 3)}
    for layer in (1, 3):
        for rows, some in zip(found[layer], texts.values(), strict=True):
            for row, text in zip(rows, some, strict=True):
                prompt = ask(Prompt(text), tiny.config.format, tiny.tokenizer)
                alone = tiny.residuals(tiny.encode([prompt]), [layer])[0, 0, -1]
                np.testing.assert_allclose(row, alone.double().numpy(), atol=1e-4)
        prompt = ask(
            fill(pack.templates["feeling"], activity=pack.activities[5].text),
            tiny.config.format,
            tiny.tokenizer,
        )
        encoding = tiny.encode([prompt])
        own = (
            tiny.residuals(encoding, [layer])[0][token_mask([prompt], ["activity"], encoding)]
            .double()
            .mean(0)
        )
        np.testing.assert_allclose(activities[layer][5], own.numpy(), atol=1e-4)

    monkeypatch.setattr(tiny, "each_residual", None)
    np.testing.assert_array_equal(assistant_residuals(tiny, store, texts, 3)[1], found[3][1])
    np.testing.assert_array_equal(activity_residuals(tiny, store, pack, 1), activities[1])
    with pytest.raises(TypeError):
        assistant_residuals(tiny, store, {"short": ["A cart rolled by!"]}, 3)


def test_a_residual_is_used_layer_by_layer_and_in_the_order_asked_for(tiny: SubjectModel) -> None:
    encoding, seen = tiny.encode([Prompt("A cart rolled by."), Prompt("Rain.")]), list[float]()

    def use(residual: torch.Tensor) -> float:
        seen.append(float(residual.sum()))
        return seen[-1]

    together = tiny.residuals(encoding, [3, 0])
    assert tiny.each_residual(encoding, [3, 0], use) == pytest.approx(
        [float(h.sum()) for h in together], rel=1e-5
    )
    assert seen == pytest.approx(
        [float(h.sum()) for h in together.flip(0)], rel=1e-5
    )  # the network's order


def test_layers_of_a_run_share_what_does_not_depend_on_the_layer(
    tiny: SubjectModel, corpus: Corpus, pack: Stimuli, tmp_path: Path
) -> None:
    emotions, scale = (
        EmotionsConfig(names=["happy", "calm", "sad"]),
        ScaleConfig(stories_per_emotion=2),
    )
    settings = {
        "experiment": None,
        "artifacts": str(tmp_path),
        "emotions": emotions,
        "scale": scale,
    }
    first = Study(Config(layer=1, run_dir=str(tmp_path), **settings))  # type: ignore[arg-type]
    vars(first).update(model=tiny, corpus=corpus, stimuli=pack)
    second = Study(Config(layer=3, run_dir=str(tmp_path), **settings), first)  # type: ignore[arg-type]
    assert "means" not in vars(first)
    assert second.vectors.layer == 3 and first.vectors.layer == 1
    assert (
        second.means is first.means
        and second.model is tiny
        and second.emotions == ("happy", "calm", "sad")
    )
    assert "means" in vars(second) and "baseline" not in vars(
        second
    )  # what a run has used can be told
    assert second.used("stimuli") and second.used("means") and not second.used("baseline")
    kept = record()
    keep(kept, Result(), second, tmp_path)  # an experiment that never looked at the pack itself
    assert kept.stimuli is not None and kept.stimuli["sha256"] == pack.sha256
    assert kept.corpus is not None and kept.corpus["used"] == first.means.summary()
    assert kept.layer == 3
    assert not np.allclose(second.vectors.directions, first.vectors.directions)


def test_who_is_among_the_top_is_who_ranks_there() -> None:
    lens = np.random.default_rng(0).integers(0, 30, (8, 40)).astype(float)  # many ties
    words = [[3], [7, 8], [39], [0]]
    for top in (1, 5, 39, 40):
        np.testing.assert_array_equal(
            within_top(lens, words, top),
            [[rank_of(row, word) < top for word in words] for row in lens],
        )
