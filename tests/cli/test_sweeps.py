"""Runs and sweeps: what is finished is not done again, what died is told apart, layers of one job
give the numbers of single runs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emoexp.cli.main import compose_config
from emoexp.cli.overrides import group_layers
from emoexp.cli.sweep import expected_jobs, run_name
from emoexp.errors import EmoexpError
from emoexp.store import runs
from emoexp.store.record import RunStatus
from emoexp.store.runs import RunState
from tests.helpers.command import emoexp
from tests.helpers.records import record as started

SMOKE = ("experiment=implicit", "scale=smoke", "emotions=core12", "scale.stories_per_emotion=2")


def record(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return found


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("seed=1", True),
        ("model.dtype=bfloat16", True),
        ("stories.temperature=0.5", True),
        ("experiment.judge_model.temperature=0.5", True),
        ("model.device=cpu", False),
        ("model.batch_tokens=64", False),
        ("stories.retries=2", False),
        ("experiment.judge_model.timeout_s=9", False),
        ("artifacts=/elsewhere", False),
        ("force=true", False),
        ("runtime.gpu_gb=40", False),
        ("logger=wandb", False),
    ],
)
def test_the_identity_is_what_changes_a_number(override: str, changes: bool) -> None:
    one, other = (compose_config(["experiment=blackmail", *more]) for more in ([], [override]))
    same = runs.identity_of("blackmail", one) == runs.identity_of("blackmail", other)
    assert same is not changes
    assert runs.identity_of("implicit", one) != runs.identity_of("blackmail", one)


def test_running_killed_failed_and_missing_are_told_apart(tmp_path: Path) -> None:
    assert runs.state_of(tmp_path).state is RunState.missing
    started().save(tmp_path)
    holding = (
        "import sys, time; from pathlib import Path; from emoexp.store import runs\n"
        f"with runs.run_lock(Path({str(tmp_path)!r})):\n print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen((sys.executable, "-c", holding), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert runs.state_of(tmp_path).state is RunState.running
    with pytest.raises(EmoexpError, match="another process is at work in"), runs.run_lock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert runs.state_of(tmp_path).state is RunState.killed
    for status in (RunStatus.success, RunStatus.error):
        started(status=status).save(tmp_path)
        assert runs.state_of(tmp_path).state.value == status.value


def test_the_same_sweep_does_only_what_is_missing_or_failed(tmp_path: Path) -> None:
    def sweep(*more: str) -> subprocess.CompletedProcess[str]:
        return emoexp(
            "--multirun", *SMOKE, "layer=3,9,4", "hydra.sweep.dir=sweep", *more, cwd=tmp_path
        )

    first = sweep()
    assert first.returncode != 0, "a sweep with a failed job does not end well"
    states = {
        d.name.split("layer-")[1][0]: runs.state_of(d).state
        for d in (tmp_path / "sweep").iterdir()
        if d.is_dir()
    }
    assert states == {
        "3": RunState.success,
        "9": RunState.error,
        "4": RunState.success,
    }, "one failing job leaves the others alone"
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "sweep").glob("layer-[34]*/result.json")}
    told = emoexp("sweep", cwd=tmp_path, module="emoexp.cli.status", COLUMNS="200")
    assert told.returncode == 1
    assert "2 success, 1 error" in told.stdout
    assert "layer=9 is out of range" in told.stdout
    again = sweep()
    assert again.stderr.count("done already") == 2
    assert {p: p.stat().st_mtime_ns for p in before} == before
    forced = emoexp(
        "--multirun", *SMOKE, "layer=3", "hydra.sweep.dir=sweep", "force=true", cwd=tmp_path
    )
    assert "done already" not in forced.stderr


def test_a_twin_that_is_refused_leaves_the_settings_of_the_run(tmp_path: Path) -> None:
    """Two commands in one directory: the second must not overwrite what the first was given."""
    with runs.run_lock(tmp_path):
        (tmp_path / "config.yaml").write_text("seed: 0\n")
        twin = emoexp(*SMOKE, "seed=1", f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert twin.returncode == 2
    assert "is at work in" in twin.stderr
    assert (tmp_path / "config.yaml").read_text() == "seed: 0\n"


def test_layers_of_one_job_give_the_numbers_of_single_runs(tmp_path: Path) -> None:
    many = emoexp(*SMOKE, "layer=[4,9,3]", "hydra.run.dir=many", cwd=tmp_path)
    assert many.returncode == 2
    assert (
        "1 of 3 layers failed, the others are done: layer 9: layer=9 is out of range" in many.stderr
    )
    assert many.stderr.count("MB of weights") == 1, "the model is loaded once"
    again = emoexp(*SMOKE, "layer=[4,3]", "hydra.run.dir=many", cwd=tmp_path)
    assert again.stderr.count("done already") == 2
    assert "MB of weights" not in again.stderr, "and not at all where all is done"
    for layer in (3, 4):
        alone = emoexp(*SMOKE, f"layer={layer}", f"hydra.run.dir=alone{layer}", cwd=tmp_path)
        assert alone.returncode == 0, alone.stderr[-2000:]
        one, other = (
            record(tmp_path / f"alone{layer}"),
            record(tmp_path / "many" / f"layer-{layer}"),
        )
        assert (one["verdicts"], one["metrics"], one["identity"]) == (
            other["verdicts"],
            other["metrics"],
            other["identity"],
        )


def test_edited_code_does_not_mix_with_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / runs.SWEEP).write_text(json.dumps({"code": runs.code_hash(), "expected": []}))
    runs.check_code_unchanged(tmp_path, False)
    monkeypatch.setattr(runs, "code_hash", lambda: "edited")
    with pytest.raises(EmoexpError, match="the code has changed since the sweep"):
        runs.check_code_unchanged(tmp_path, False)
    runs.check_code_unchanged(tmp_path, True)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.repo_id='/a b/ü=x,y'", "layer=[1,2]", "stories.columns={text: body}"],
        ["layer=3"],
        [],
    ],
)
def test_the_name_of_a_sweep_run_needs_no_quotes(overrides: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,80}", run_name(overrides))


def test_the_name_of_a_sweep_run_is_of_its_settings_alone() -> None:
    name = run_name(["layer=3", "model=llama8b", "experiment=verify"])
    assert name.startswith("layer-3_model-llama8b_experiment-verify_")
    how = ["launcher=slurm", "force=true", "artifacts=/elsewhere", "logger.mode=offline"]
    how += ["model.device=cuda", "runtime.gpu_gb=40", "experiment.judge_model.retries=2"]
    assert run_name([*how, "model=llama8b", "layer=3", "experiment=verify"]) == name
    assert run_name(["layer=3", "model=llama8b", "experiment=verify", "seed=1"]) != name


def test_a_sweep_expects_a_folder_for_each_layer_of_a_job() -> None:
    jobs = expected_jobs(["layer=[2,3],[4]", "seed=0,1", "experiment.names=[a,b]"])
    assert [job.partition("/")[2] for job in jobs] == ["layer-2", "layer-3"] * 2 + ["layer-4"] * 2
    assert len(set(jobs)) == 6


def test_a_sweep_over_a_pattern_expects_each_option() -> None:
    jobs = expected_jobs(["model=glob(organism*)", "layer=3"])
    assert jobs == [
        run_name([f"model={name}", "layer=3"])
        for name in ("organism", "organism_indifferent", "organism_untrained")
    ]


def test_layers_are_grouped() -> None:
    grouped = group_layers(["layer=range(10,15)", "layers_per_job=2", "seed=1"], True)
    assert grouped == ["seed=1", "layer=[10,11],[12,13],[14]"]
    assert group_layers(["layer=3"], True) == ["layer=3"]
    for multirun, wrong in (
        (False, ["layers_per_job=2", "layer=3,4"]),
        (True, ["layer=3", "layers_per_job=2"]),
        (True, ["layer=3,4", "layers_per_job=0"]),
    ):
        with pytest.raises(EmoexpError, match="layers_per_job"):
            group_layers(wrong, multirun)


def test_a_run_is_mirrored_offline_and_says_how_to_upload_it(tmp_path: Path) -> None:
    done = emoexp(
        *SMOKE,
        "layer=3",
        "logger=wandb",
        "logger.mode=offline",
        "hydra.run.dir=run",
        cwd=tmp_path,
        WANDB_MODE="offline",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "wandb sync" in done.stdout + done.stderr
    assert list((tmp_path / "run").glob("wandb/offline-run-*/*.wandb"))
    plain = emoexp(*SMOKE, "layer=3", "hydra.run.dir=plain", cwd=tmp_path)
    assert plain.returncode == 0
    assert record(tmp_path / "plain")["identity"] == record(tmp_path / "run")["identity"], (
        "a mirror changes no number"
    )
