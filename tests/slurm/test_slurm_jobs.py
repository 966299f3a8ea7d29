"""Jobs of a sweep on a real SLURM: what ends well, what fails, what is pre-empted and what is
killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from slurm_cluster import Cluster
from sweeping import (
    Background,
    Run,
    array_of,
    ended,
    one_row_missing,
    only_job,
    pre_empt,
    records,
    until,
    versions,
    waits_for_its_row,
)


def test_a_sweep_of_layers_is_an_array_of_jobs(cluster: Cluster, quiet: Path) -> None:
    assert {record["layer"]: record["status"] for record in records(quiet).values()} == {
        3: "success",
        4: "success",
    }
    array = array_of(quiet)
    assert ended(cluster, array, 2) == {"COMPLETED": 2}
    asked = cluster.ask("sacct", "-X", "-n", "-P", "-o", "ReqTRES,Timelimit", "-j", array).split()
    assert all(
        {"cpu=8", "mem=64G", "gres/gpu=1"} <= set(line.split("|")[0].split(","))
        and line.endswith("|04:00:00")
        for line in asked
    ), asked


def test_a_job_that_fails_is_failed_and_leaves_the_other_alone(
    cluster: Cluster, sweep: Run, tmp_path: Path
) -> None:
    done = sweep("launcher=slurm", "layer=3,9")
    assert done.returncode != 0
    assert "layer=9 is out of range" in done.stderr
    assert Counter(record["status"] for record in records(tmp_path / "sweep").values()) == {
        "success": 1,
        "error": 1,
    }
    assert ended(cluster, array_of(tmp_path / "sweep"), 2) == {"COMPLETED": 1, "FAILED": 1}


def test_a_pre_empted_job_goes_on_where_it_was(
    cluster: Cluster, background: Background, quiet: Path, store: Path, tmp_path: Path
) -> None:
    before, directory = versions(store), tmp_path / "sweep"
    with one_row_missing(store) as row:
        driver = background("launcher=slurm", "layer=3")
        until(lambda: waits_for_its_row(directory))
        pre_empt(cluster, only_job(directory)["where"]["slurm"]["job_id"])
        until(lambda: only_job(directory)["status"] == "error")
        assert only_job(directory)["error"] == "pre-empted or out of time: queued again"
        until(lambda: only_job(directory)["where"]["restarts"] == 1)
    assert driver.wait(400) == 0
    record = only_job(directory)
    assert (record["status"], record["where"]["restarts"]) == ("success", 1)
    assert "error" not in record
    assert ended(cluster, record["where"]["slurm"]["job_id"], 1) == {"COMPLETED": 1}
    after = versions(store)
    assert [path for path in after if after[path] != before.get(path)] == [row], (
        "only what was missing is computed, once"
    )


def test_a_job_that_was_killed_is_told_as_killed_and_the_same_command_goes_on(
    cluster: Cluster,
    background: Background,
    sweep: Run,
    quiet: Path,
    environment: dict[str, str],
    store: Path,
    tmp_path: Path,
) -> None:
    before, directory = versions(store), tmp_path / "sweep"
    with one_row_missing(store) as row:
        driver = background("launcher=slurm", "layer=3")
        until(lambda: waits_for_its_row(directory))
        where = only_job(directory)["where"]
        os.kill(where["pid"], signal.SIGKILL)
        assert driver.wait(400) != 0, "a sweep with a dead job does not end well"
    assert ended(cluster, where["slurm"]["job_id"], 1) == {"FAILED": 1}

    def told(module: str) -> str:
        return subprocess.run(
            (sys.executable, "-m", module, "sweep"),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout

    assert "1 job(s): 1 killed" in told("emoexp.cli.status")
    assert "killed" in told("emoexp.report")
    assert sweep("launcher=slurm", "layer=3").returncode == 0
    after = versions(store)
    assert [path for path in after if after[path] != before.get(path)] == [row]
    assert "1 job(s): 1 success" in told("emoexp.cli.status")
