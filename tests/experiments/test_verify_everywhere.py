"""`experiment=verify` on every architecture: from folders on disk, through the same loading code as
any model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from emoexp.cli.run import run
from emoexp.config import (
    Config,
    EmotionsConfig,
    ModelConfig,
    ScaleConfig,
    StimuliConfig,
    StoriesConfig,
)
from emoexp.experiments.steering import SteeredPreference
from emoexp.experiments.verify import Verify
from emoexp.models.loading.load import BUNDLED
from tests.helpers.tiny_models import ARCHITECTURES, tiny_network

EMOTIONS = [
    "happy",
    "inspired",
    "loving",
    "proud",
    "calm",
    "desperate",
    "angry",
    "guilty",
    "sad",
    "afraid",
    "blissful",
    "hostile",
    "panicked",
    "ashamed",
]


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_verify_runs(architecture: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_network(architecture, window=512).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED / "organism").save_pretrained(folder)
    config = Config(
        experiment=Verify(steering=SteeredPreference(n_emotions=3)),
        model=ModelConfig(name=architecture, repo_id=str(folder), batch_tokens=65536),
        layer=1 if architecture == "gemma4_text" else 3,
        emotions=EmotionsConfig(names=EMOTIONS),
        stimuli=StimuliConfig(path="bundled:organism"),
        stories=StoriesConfig(name="pack"),
        scale=ScaleConfig(
            stories_per_emotion=2,
            bootstrap_draws=100,
            permutations=100,
            null_draws=100,
            random_directions=8,
            activities_per_category=2,
        ),
        artifacts=str(tmp_path / "artifacts"),
        run_dir=str(tmp_path),
    )
    config.scale.random_directions = (
        4  # fewer than a user may ask for: here it is about running, not about a null
    )
    run(config, "verify", tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    assert [v["id"] for v in record["verdicts"]] == [f"V{i}" for i in range(1, 12)]
    assert all(math.isfinite(v["value"]) for v in record["verdicts"])
    assert [
        v["id"]
        for v in record["verdicts"]
        if v["id"] in ("V7", "V10", "V11") and v["passed"] and v["informative"]
    ] == [], "random weights"
