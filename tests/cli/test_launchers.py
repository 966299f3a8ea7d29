"""Launchers compose with what a cluster needs, do not name a run's directory, and run jobs in
processes of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import submitit
from hydra import compose, initialize_config_dir

from emoexp.cli.main import CONF, compose_config, register_schemas
from emoexp.cli.slurm import add_request, advice, request_for
from emoexp.errors import EmoexpError
from emoexp.models.loading.memory import Memory
from tests.cli.test_sweeps import SMOKE, record
from tests.helpers.command import emoexp

TARGETS = {"local": "BasicLauncher", "subprocess": "LocalLauncher"}


def composed(*overrides: str) -> Any:
    register_schemas()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True).hydra


@pytest.mark.parametrize(
    "launcher",
    sorted(p.stem for p in (CONF / "launcher").glob("*.yaml") if not p.stem.startswith("site_")),
)
def test_every_launcher_composes_and_survives_pre_emption(launcher: str) -> None:
    chosen = composed(f"launcher={launcher}", "model=llama8b").launcher
    assert chosen._target_.endswith(TARGETS.get(launcher, "SlurmLauncher"))
    if launcher.startswith("slurm"):
        assert chosen.max_num_timeout == 3
        assert any("EMOEXP_ENV" in line for line in chosen.setup)
        assert (chosen.account, chosen.partition) == (None, None)  # a site's own business


def test_the_default_is_this_process_and_the_user_has_the_last_word() -> None:
    assert composed().launcher._target_.endswith("BasicLauncher")
    assert composed("launcher=slurm", "hydra.launcher.mem_gb=500").launcher.mem_gb == 500


def sized(billions: float) -> Memory:
    """The estimate for a bfloat16 model of that many billion parameters."""
    n = round(billions * 1e9)
    return Memory("m", n, "bfloat16", 2 * n, 3 * 10**9, 0, "cpu")


@pytest.mark.parametrize(
    ("billions", "gpu_gb", "gpus"), [(1, 80, 1), (8, 24, 1), (14, 24, 2), (70, 80, 4)]
)
def test_a_job_asks_for_the_gpus_that_hold_its_model(
    billions: float, gpu_gb: float, gpus: int
) -> None:
    request = request_for(sized(billions), gpu_gb)
    assert request.gpus_per_node == gpus
    assert gpus * gpu_gb * 1e9 > sized(billions).weights + sized(billions).activations
    assert request.mem_gb * 1e9 > sized(billions).weights
    # submitit takes a pre-emption in the first ten minutes of a short job for a time-out
    assert request.timeout_min > 60
    assert request.array_parallelism * gpus <= 8


def test_a_model_that_no_node_holds_is_refused() -> None:
    with pytest.raises(EmoexpError, match=r"needs 41 GPUs of runtime.gpu_gb=24 GB"):
        request_for(sized(405), 24)


def test_a_sweep_asks_for_its_largest_model_and_keeps_what_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = ["--multirun", "launcher=slurm", "layer=1,2", "model=organism,organism_untrained"]
    added = add_request([*sweep, "hydra.launcher.mem_gb=null"], compose_config)
    assert added[5:] == [
        "hydra.launcher.gpus_per_node=null",
        "hydra.launcher.cpus_per_task=2",
        "hydra.launcher.timeout_min=120",
        "hydra.launcher.array_parallelism=8",
    ]
    assert "each job asks for gpus_per_node=null" in capsys.readouterr().err
    assert add_request(["--multirun", "layer=1,2"], compose_config) == ["--multirun", "layer=1,2"]


def test_a_refusal_of_sbatch_says_what_to_set() -> None:
    refused = "sbatch: error: Memory specification can not be satisfied"
    assert "set hydra.launcher.mem_gb (null asks for none)" in advice(refused)
    assert advice("sbatch: error: invalid account") == ""


@pytest.mark.parametrize(
    ("memory", "asked"),
    [
        (["hydra.launcher.mem_gb=64"], ["#SBATCH --mem=64GB"]),
        (["hydra.launcher.mem_gb=null"], []),
        (
            ["hydra.launcher.mem_gb=null", "hydra.launcher.mem_per_cpu=4G"],
            ["#SBATCH --mem-per-cpu=4G"],
        ),
    ],
)
def test_a_site_that_refuses_mem_is_asked_for_none(
    memory: list[str], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the script that submitit would submit."""
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    chosen = composed("launcher=slurm", *memory).launcher
    executor = submitit.AutoExecutor(tmp_path, cluster="slurm")
    executor.update_parameters(mem_gb=chosen.mem_gb, slurm_mem_per_cpu=chosen.mem_per_cpu)
    script = executor._executor._make_submission_file_text("command", "uid")
    assert [line for line in script.splitlines() if "--mem" in line] == asked


def test_processes_of_one_sweep_leave_each_other_alone(tmp_path: Path) -> None:
    done = emoexp(
        "--multirun",
        *SMOKE,
        "launcher=subprocess",
        "layer=3,9",
        "hydra.sweep.dir=sweep",
        cwd=tmp_path,
    )
    assert done.returncode != 0
    found = {
        path.parent.name.split("layer-")[1][0]: record(path.parent)
        for path in (tmp_path / "sweep").glob("*/result.json")
    }
    assert {layer: one["status"] for layer, one in found.items()} == {"3": "success", "9": "error"}
    assert "layer=9 is out of range" in found["9"]["error"]
    assert "layer=9 is out of range" in done.stderr
