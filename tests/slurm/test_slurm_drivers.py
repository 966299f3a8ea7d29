"""Drivers that are jobs themselves: what ends well, what fails, what is started again, and what
SLURM and the shell are told about it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from slurm_cluster import Cluster
from sweeping import (
    REPOSITORY,
    SMALL,
    Background,
    ended,
    one_row_missing,
    only_job,
    records,
    until,
    versions,
)


def pipeline(
    cluster: Cluster, environment: dict[str, str], cwd: Path, *arguments: str
) -> list[str]:
    """Ids of warm, sweep and report."""
    done = subprocess.run(
        (str(REPOSITORY / "slurm" / "pipeline.sh"), *arguments),
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment | {"EMOEXP_SWEEP": "night"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace(",", "").replace(":", "").split()
    return [words[words.index(stage) + 1] for stage in ("warm", "sweep", "report")]


def test_the_pipeline_warms_the_store_sweeps_and_reports(
    cluster: Cluster, environment: dict[str, str], tmp_path: Path
) -> None:
    jobs = pipeline(cluster, environment, tmp_path, *SMALL, "launcher=slurm", "layer=3")
    assert ended(cluster, ",".join(jobs), 3) == {"COMPLETED": 3}, [
        log.read_text()[-2000:] for log in (tmp_path / "night").glob("*.log")
    ]
    assert [r["experiment"] for r in records(tmp_path / "night" / "warm").values()] == [
        "correlation"
    ]
    assert [r["layer"] for r in records(tmp_path / "night" / "sweep").values()] == [3]
    assert "V3 scenarios: own probe highest" in (tmp_path / "night" / "report.txt").read_text()


def test_what_depends_on_a_failed_driver_does_not_start(
    cluster: Cluster, environment: dict[str, str], tmp_path: Path
) -> None:
    """An emotion that is not there: the warm-up fails when its job starts, so neither the sweep nor
    its report do."""
    jobs = pipeline(
        cluster,
        environment,
        tmp_path,
        *SMALL,
        "launcher=slurm",
        "layer=3",
        "emotions.names=[glad]",
    )
    assert ended(cluster, ",".join(jobs), 3) == {"FAILED": 1, "CANCELLED": 2}
    assert not (tmp_path / "night" / "sweep").exists()


def test_a_pipeline_on_the_drivers_own_core_is_refused(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        (str(REPOSITORY / "slurm" / "pipeline.sh"), "layer=3"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("pipeline.sh: no launcher=slurm")


def test_a_driver_that_was_killed_is_started_again_and_its_jobs_do_not_run_twice(
    cluster: Cluster, environment: dict[str, str], tmp_path: Path
) -> None:
    """The second driver cancels what the first one left, then runs only what is not finished."""

    def driver() -> str:
        arguments = (
            "sbatch",
            "--parsable",
            str(REPOSITORY / "slurm" / "sweep.sbatch"),
            *SMALL,
            "launcher=slurm",
            "layer=3,4",
        )
        home = {"EMOEXP_HOME": str(REPOSITORY), "EMOEXP_SWEEP": "sweep"}
        return subprocess.run(
            arguments,
            cwd=tmp_path,
            env=environment | home,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    first, end = driver(), time.monotonic() + 200
    while not (tmp_path / "sweep" / ".submitit").exists() or "_" not in (
        left := cluster.ask("squeue", "-h", "-r", "-o", "%i")
    ):
        assert time.monotonic() < end, "the first driver has submitted nothing"
        time.sleep(0.2)
    cluster.ask("scancel", "--signal=KILL", "--full", first)
    array = left[: left.index("_")].split()[-1]
    second = driver()
    assert ended(cluster, second, 1) == {"COMPLETED": 1}, (
        tmp_path / f"emoexp-sweep-{second}.log"
    ).read_text()[-2000:]
    assert "COMPLETED" not in ended(cluster, first, 1)
    assert ended(cluster, array, 2).total() == 2, "none of the first driver's jobs still runs"
    assert {
        record["layer"]: record["status"] for record in records(tmp_path / "sweep").values()
    } == {3: "success", 4: "success"}


def test_a_job_that_runs_out_of_time_is_requeued_and_goes_on(
    cluster: Cluster, background: Background, quiet: Path, store: Path, tmp_path: Path
) -> None:
    """SLURM itself sends the signal, after 40 to 100 s: before submitit has started it would end
    the job.

    Until then the job waits for a row of the store that the test holds.
    """
    before = versions(store)
    with one_row_missing(store) as row:
        limits = (
            "hydra.launcher.timeout_min=2",
            "hydra.launcher.signal_delay_s=20",
            "hydra.launcher.max_num_timeout=9",
        )
        driver = background("launcher=slurm", "layer=3", *limits)
        until(lambda: only_job(tmp_path / "sweep")["where"]["restarts"] >= 1)
    assert driver.wait(400) == 0
    record = only_job(tmp_path / "sweep")
    assert record["status"] == "success"
    assert ended(cluster, record["where"]["slurm"]["job_id"], 1) == {"COMPLETED": 1}
    after = versions(store)
    assert [
        path for path in after if after[path] != before.get(path) and path.parent == row.parent
    ] == [row]
