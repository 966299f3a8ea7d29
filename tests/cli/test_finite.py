"""What is not a number, or decides nothing: it is named, costs no other finding and wins
nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from emoexp.cli.run import run
from emoexp.config import Config
from emoexp.errors import EmoexpError
from emoexp.stats.own_probe import own_ranks
from emoexp.stats.reliability import own_half_ranks
from emoexp.store.artifacts import write_tensors
from emoexp.store.record import RunRecord
from emoexp.study.experiment import Experiment
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.lens import rank_of, within_top
from emoexp.vectors.vectors import EmotionVectors

META = {
    "names": '["happy", "sad"]',
    "layer": "1",
    "residual_norm": "2.0",
    "n_neutral_components": "0",
    "identity": '{"emotions": ["happy", "sad"]}',
}


@dataclass(kw_only=True)
class Finds(Experiment):
    """Reports given metrics, written as text, and may fail after it has found them."""

    reads: ClassVar[tuple[str, ...]] = ()
    metrics: dict[str, str] = field(default_factory=dict)
    fails: bool = False

    def run(self, study: Study) -> Result:
        result = Result(metrics={name: float(text) for name, text in self.metrics.items()})
        if self.fails:
            error = RuntimeError("out of luck")
            error.partial = result  # type: ignore[attr-defined]
            raise error
        return result


def record_of(experiment: Finds, folder: Path, raises: type[Exception]) -> dict[str, Any]:
    config = Config(experiment=experiment, artifacts=str(folder), run_dir=str(folder))
    with pytest.raises(raises):
        run(config, "finds", folder)
    record: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return record


@pytest.mark.parametrize("wrong", ["nan", "inf"])
def test_a_metric_that_is_no_number_is_an_error_that_names_it(wrong: str, tmp_path: Path) -> None:
    record = record_of(Finds(metrics={"good": "1.5", "bad": wrong}), tmp_path, EmoexpError)
    assert record["status"] == "error"
    assert "not a number: bad" in record["error"]
    assert record["metrics"] == {"good": 1.5}


def test_a_failed_run_keeps_its_error_beside_a_nan(tmp_path: Path) -> None:
    finds = Finds(metrics={"good": "1.5", "bad": "nan"}, fails=True)
    record = record_of(finds, tmp_path, RuntimeError)
    assert record["status"] == "error"
    assert "out of luck" in record["error"]
    assert "not a number: bad" in record["error"]
    assert record["metrics"] == {"good": 1.5}


def test_a_nan_beside_the_metrics_is_an_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(record: RunRecord, *_: object) -> None:
        record.answers = {"mass": float("nan"), "reading": "forced"}
        record.metrics = {"good": 1.5}

    monkeypatch.setattr("emoexp.cli.run.keep", keep)
    record = record_of(Finds(), tmp_path, EmoexpError)
    assert record["status"] == "error"
    assert "not a number: answers.mass" in record["error"]
    assert record["metrics"] == {"good": 1.5}


def test_what_cannot_be_kept_leaves_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("emoexp.cli.run.keep", keep)
    record = record_of(Finds(fails=True), tmp_path, OSError)
    assert record["status"] == "error"
    assert "out of luck" in record["error"]


@pytest.mark.parametrize(
    "change", [{"identity": "[1]"}, {"names": "5"}, {"names": "["}, {"residual_norm": "x"}]
)
def test_a_file_with_nonsense_beside_the_vectors_is_one_line(
    change: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "vectors.safetensors"
    write_tensors(path, {"directions": np.eye(2, 4)}, META | change)
    with pytest.raises(EmoexpError, match="is not a file of emotion vectors") as caught:
        EmotionVectors.read(path).check(path, {}, 1, 4)
    assert "\n" not in str(caught.value)


def test_as_many_vectors_of_other_emotions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "vectors.safetensors"
    write_tensors(path, {"directions": np.eye(2, 4)}, META)
    with pytest.raises(EmoexpError, match="and not of afraid; the file has sad"):
        EmotionVectors.read(path).check(path, {"emotions": ["happy", "afraid"]}, 1, 4)
    with pytest.raises(EmoexpError, match="in another order"):
        EmotionVectors.read(path).check(path, {"emotions": ["sad", "happy"]}, 1, 4)


def test_what_is_no_number_ranks_last() -> None:
    nothing = np.full((3, 3), np.nan)
    assert own_ranks(nothing).tolist() == [3, 3, 3]
    assert rank_of(np.full(9, np.nan), [4]) == 8
    assert not within_top(np.full((2, 9), np.nan), [[4]], 3).any()


def test_among_more_than_there_are_is_everybody() -> None:
    lens, words = np.random.default_rng(0).standard_normal((4, 9)), [[3], [1, 2]]
    for top in (8, 9, 10):
        by_rank = [[rank_of(row, ids) < top for ids in words] for row in lens]
        assert within_top(lens, words, top).tolist() == by_rank


def test_halves_that_cannot_be_told_apart_are_not_identified() -> None:
    assert own_half_ranks(np.ones((2, 3, 3))).tolist() == [[3, 3, 3]] * 4
    assert own_half_ranks(np.eye(3)[None]).tolist() == [[1, 1, 1]] * 2
