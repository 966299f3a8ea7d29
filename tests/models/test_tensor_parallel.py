"""model.tensor_parallel=true for real, through the command line: two gloo processes on the CPU give
the numbers of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from emoexp.models.loading.load import BUNDLED
from tests.helpers.tiny_models import tiny_network

ARGUMENTS = (
    "-m",
    "emoexp",
    "experiment=implicit",
    "model=custom",
    "stimuli=organism",
    "stories=pack",
    "emotions=core12",
    "scale=smoke",
    "layer=3",
    "scale.stories_per_emotion=2",
)


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_network("llama").save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED / "organism").save_pretrained(folder)
    records = []
    for name, launch, more in (
        ("one", (), ()),
        (
            "two",
            (
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                "2",
                "--master-port",
                "0",
                "--standalone",
            ),
            ("model.tensor_parallel=true",),
        ),
    ):
        command = (
            sys.executable,
            *launch,
            *ARGUMENTS,
            f"model.repo_id={folder}",
            f"hydra.run.dir={tmp_path / name}",
            *more,
        )
        environment = os.environ | {
            "EMOEXP_ARTIFACTS": str(tmp_path / f"artifacts-{name}"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("results: ") == 1, "one process prints"
        records.append(json.loads((tmp_path / name / "result.json").read_text()))
    one, two = records
    assert [v["value"] for v in two["verdicts"]] == [v["value"] for v in one["verdicts"]]
    assert two["metrics"]["implicit_diagonal_mean"] == pytest.approx(
        one["metrics"]["implicit_diagonal_mean"], abs=1e-5
    )
