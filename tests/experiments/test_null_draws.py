"""Control directions of every experiment are drawn by seed, layer and model."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoexp.config import ModelConfig
from emoexp.experiments import EXPERIMENTS
from emoexp.experiments.steering_map import SteeringMap
from emoexp.models.loading.load import BUNDLED
from emoexp.models.subject import SubjectModel
from emoexp.study.study import Study
from emoexp.vectors.controls import direction_rng
from tests.experiments.test_steering import study

DRAWING = {
    "logit_lens": "isotropic_directions",
    "implicit": "isotropic_directions",
    "numeric": "isotropic_directions",
    "correlation": "isotropic_directions",
    "steering": "isotropic_directions",
    "steering_map": "isotropic_directions",
    "self_report": "isotropic_directions",
    "drift": "isotropic_directions",
    "blackmail": "arms_of",
}
"""What each experiment hands the random numbers of its control directions to, as last argument."""


class Drawn(Exception):
    """Thrown where directions would be drawn, with the state of the random numbers."""


def draw(*arguments: Any) -> Any:
    raise Drawn(arguments[-1].bit_generator.state)


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


@pytest.mark.parametrize("name", list(DRAWING))
def test_directions_are_drawn_by_layer_and_model(
    name: str, contexts: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"emoexp.experiments.{name}")
    monkeypatch.setattr(module, DRAWING[name], draw)
    monkeypatch.setattr(SteeringMap, "unsteered_mass", lambda *_: 1.0)
    for here in contexts:
        made = {"layers": [here.layer]} if name == "steering_map" else {}
        with pytest.raises(Drawn) as drawn:
            EXPERIMENTS[name](**made).run(here)
        assert drawn.value.args[0] == state(5, here.layer, here.model.identity)
    assert state(5, 3, contexts[0].model.identity) != state(5, 4, contexts[0].model.identity)


def test_a_bundled_model_has_the_same_draws_from_any_path(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(BUNDLED / "organism", copy)
    ours, theirs, other = (
        SubjectModel.load(ModelConfig(name="m", repo_id=repo)).identity
        for repo in ("bundled:organism", str(copy), "bundled:organism_indifferent")
    )
    assert ours["repo_id"] != theirs["repo_id"]
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
