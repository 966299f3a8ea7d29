"""Launchers compose with what a cluster needs, do not name a run's directory, and run jobs in
processes of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import submitit
from hydra import compose, initialize_config_dir

from emoexp.cli.main import CONF, register_schemas
from tests.cli.test_cli import emoexp
from tests.cli.test_sweeps import SMOKE, record

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
        assert (
            chosen.timeout_min > 60
        )  # submitit takes a pre-emption in the first ten minutes of a short job for a time-out
        assert chosen.max_num_timeout == 3
        assert any("EMOEXP_ENV" in line for line in chosen.setup)
        assert (chosen.account, chosen.partition) == (None, None)  # a site's own business


def test_the_default_is_this_process_and_the_user_has_the_last_word() -> None:
    assert composed().launcher._target_.endswith("BasicLauncher")
    assert composed("launcher=slurm_large", "hydra.launcher.mem_gb=500").launcher.mem_gb == 500


@pytest.mark.parametrize(
    ("memory", "asked"),
    [
        ([], ["#SBATCH --mem=64GB"]),
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


def test_how_a_run_is_run_does_not_name_its_directory() -> None:
    """Else a sweep that goes on with another launcher, or with force=true, would not find what is
    done."""
    assert set(composed("launcher=slurm").job.config.override_dirname.exclude_keys) >= {
        "launcher",
        "logger",
        "force",
    }


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
        path.parent.name.split("layer=")[1][0]: record(path.parent)
        for path in (tmp_path / "sweep").glob("*/result.json")
    }
    assert {layer: one["status"] for layer, one in found.items()} == {"3": "success", "9": "error"}
    assert "layer=9 is out of range" in found["9"]["error"]
    assert "layer=9 is out of range" in done.stderr
