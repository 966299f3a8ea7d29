"""Control directions of every experiment are drawn by seed, layer and model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoexp.config import ModelConfig
from emoexp.experiments import EXPERIMENTS
from emoexp.models.loading.load import BUNDLED
from emoexp.models.subject import SubjectModel
from emoexp.study.study import Study
from emoexp.vectors.controls import direction_rng
from tests.experiments.test_steering import study

DRAWING = (
    "logit_lens",
    "implicit",
    "numeric",
    "correlation",
    "steering",
    "steering_map",
    "self_report",
    "drift",
    "blackmail",
)
"""Experiments with control directions."""


class Drawn(Exception):
    """Thrown where directions would be drawn, with what they are drawn by."""


def draw(*arguments: Any) -> Any:
    raise Drawn(*arguments)


def state(seed: int, layer: int, identity: Mapping[str, Any]) -> Any:
    return direction_rng(seed, layer, identity).bit_generator.state


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    """The organism at two layers, with preferences that nobody asked for."""
    folder, rng = tmp_path_factory.mktemp("draws"), np.random.default_rng(0)
    first = study(folder, "layer=3", "seed=5")
    n = len(first.stimuli.activities)
    vars(first).update(baseline_elo=rng.normal(1500, 100, n), baseline=rng.normal(0, 1, (n, n)))
    return [first, Study(study(folder, "layer=4", "seed=5").config, first=first)]


@pytest.mark.parametrize("name", DRAWING)
def test_directions_are_drawn_by_layer_and_model(
    name: str, contexts: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoexp.vectors.controls.direction_rng", draw)
    for here in contexts:
        made = {"layers": [here.layer]} if name == "steering_map" else {}
        with pytest.raises(Drawn) as drawn:
            EXPERIMENTS[name](**made).run(here)
        assert drawn.value.args == (5, here.layer, here.model.identity)


def test_each_layer_has_draws_of_its_own(contexts: list[Study]) -> None:
    identity = contexts[0].model.identity
    assert state(5, 3, identity) != state(5, 4, identity) != state(6, 4, identity)


def test_a_bundled_model_has_the_same_draws_from_any_path(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(BUNDLED / "organism", copy)
    ours, theirs, other = (
        SubjectModel.load(ModelConfig(name="m", repo_id=repo)).identity
        for repo in ("bundled:organism", str(copy), "bundled:organism_indifferent")
    )
    assert ours == theirs, "a path changes no number"
    assert state(0, 3, ours) == state(0, 3, theirs)
    assert state(0, 3, ours) == state(0, 3, {**ours, "dtype": "bfloat16", "quantization": "nf4"})
    assert state(0, 3, ours) != state(0, 3, other)
    assert ours["files"], "a path would be no name"


def test_a_model_of_the_hub_counts_by_its_revision() -> None:
    here = {"repo_id": "a/b", "revision": "1", "files": None, "dtype": "float32"}
    assert state(0, 3, here) == state(0, 3, {**here, "dtype": "bfloat16"})
    assert state(0, 3, here) != state(0, 3, {**here, "revision": "2"})
    assert state(0, 3, here) != state(0, 3, {**here, "repo_id": "a/c"})
    assert state(0, 3, here) != state(1, 3, here)
