"""A small battery on real weights, its numbers pinned: SmolLM2-135M-Instruct in 4 bits, chat,
core12, eight starter stories of each, a quarter of the neutral texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emoexp.config import SteeringSpan
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import load_stimuli
from emoexp.stories.corpus import starter_corpus
from emoexp.study.result import Result
from emoexp.study.study import Study
from tests.helpers.full_forwards import exact_margins
from tests.helpers.studies import composed

pytestmark = pytest.mark.slow
LAYER, STEERED = 26, 20
PINNED = {
    "V1": 0,
    "V2": 1,
    "V3": 1,
    "V4": 5.5,
    "V5": 14,
    "V6": 8,
    "V3_centred": 8,
    "V4_centred": 1.8333,
    "unit": 582.95,
}
"""Counts, V4's mean rank and the unit of strength, as this version of the code gives them."""


@pytest.fixture(scope="module")
def study(smollm2: SubjectModel, tmp_path_factory: pytest.TempPathFactory) -> Study:
    composed_study = composed(
        "verify",
        tmp_path_factory.mktemp("store"),
        "model=smollm2_135m",
        "emotions=core12",
        "scale.stories_per_emotion=8",
        f"layer={LAYER}",
    )
    corpus = starter_corpus()
    few = replace(corpus, neutral=corpus.neutral[::4])
    return Study.of(composed_study.config, model=smollm2, corpus=few)


def test_the_weights_are_the_ones_that_are_named(smollm2: SubjectModel) -> None:
    assert smollm2.identity["quantization"] == "gguf Q4_1"
    assert (smollm2.n_layers, smollm2.d_model, smollm2.bos) == (30, 576, "template")
    prompt = smollm2.ask(Prompt("What is the capital of France?"))
    answer = smollm2.generate(smollm2.encode([prompt]), max_new_tokens=12)
    assert "Paris" in answer.texts[0]


def test_its_numbers_are_pinned(study: Study) -> None:
    parts = study.config.experiment
    found = Result()
    for part in (parts.logit_lens, parts.implicit, parts.numeric):
        found.merge(part.run(study))
    values = {v.id: v.value for v in found.verdicts}
    values |= {name: found.metrics[name] for name in ("V3_centred", "V4_centred")}
    values["unit"] = float(study.means.residual_norm[LAYER])
    assert values == pytest.approx(PINNED, rel=1e-3)


def test_steered_pairs_are_those_of_full_forwards(study: Study, smollm2: SubjectModel) -> None:
    preferences = Preferences(smollm2, load_stimuli("bundled:emoexp").with_fewer_activities(2))
    assert preferences.replays((STEERED,))
    vectors = study.vectors_at(STEERED)
    added = torch.as_tensor(0.5 * vectors.residual_norm * vectors["happy"], dtype=torch.float32)
    i = int(np.flatnonzero(preferences.steered)[0])
    others = preferences._affected(i)
    span, band = SteeringSpan.steered_activity, (STEERED,)
    fast = preferences._steer_prefix(i, span, band, added[None, None])[0]
    slow = exact_margins(preferences, i, others[:2], span, band, added[None])
    np.testing.assert_allclose(fast[:2], slow, atol=1e-3)
    unsteered = preferences._unsteered(i, others[:2])
    assert np.abs(fast[:2] - unsteered).max() > 0.01, "else nothing was added"
