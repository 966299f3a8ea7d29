"""What `scale=laptop` and `experiment.steering=null` measure."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.studies import composed


def test_a_laptop_has_half_of_the_activities_and_every_null(tmp_path: Path) -> None:
    study = composed("verify", tmp_path, "scale=laptop", "model=smollm2_135m")
    scale, paper = study.config.scale, composed("verify", tmp_path, "scale=paper").config.scale
    assert len(study.stimuli.activities) == 32
    assert sum(a.steered for a in study.stimuli.activities) == 16
    assert scale.random_directions == 8 and scale.stories_per_emotion is None
    for name in ("bootstrap_draws", "permutations", "null_draws", "shuffled_draws"):
        assert getattr(scale, name) == getattr(paper, name), name


def test_verify_without_steering_has_the_other_criteria(tmp_path: Path) -> None:
    overrides = ("experiment.steering=null", "scale.activities_per_category=2")
    study = composed("verify", tmp_path, *overrides, "emotions=core12", "layer=5")
    result = study.config.experiment.run(study)
    assert [v.id for v in result.verdicts] == [f"V{i}" for i in (1, 3, 4, 5, 6, 7, 8, 9)]
    assert "steering_rows" not in result.tables
    assert len(result.tables["elo"]) == 16
