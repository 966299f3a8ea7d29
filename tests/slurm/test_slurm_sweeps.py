"""Sweeps on a real SLURM: what ends well, what fails, and what SLURM and the shell are told about it."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from pathlib import Path

from slurm_cluster import Cluster
from sweeping import REPOSITORY, SMALL, Run, records


def ended(cluster: Cluster, jobs: str, n: int, seconds: float = 150) -> Counter[str]:
    """How many of `n` jobs ended how, by sacct, which follows a second or two behind."""
    end = time.monotonic() + seconds
    while True:
        states = Counter(line.split()[0] for line in cluster.ask("sacct", "-X", "-n", "-P", "-o", "State", "-j", jobs).splitlines())
        if states.total() == n and not {"PENDING", "RUNNING", "REQUEUED"} & set(states):
            return states
        assert time.monotonic() < end, f"after {seconds} s: {states}"
        time.sleep(0.5)


def array_of(sweep: Path) -> str:
    """The id of the one SLURM array of a sweep, from the names of submitit's folders."""
    (array,) = {path.name.split("_")[0] for path in (sweep / ".submitit").iterdir() if path.name[0].isdigit()}
    return array


def test_a_sweep_of_layers_is_an_array_of_jobs(cluster: Cluster, sweep: Run, tmp_path: Path) -> None:
    done = sweep("launcher=slurm", "layer=3,4", env=cluster.environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = records(tmp_path / "sweep")
    assert {record["layer"]: record["status"] for record in found.values()} == {3: "success", 4: "success"}
    assert "V3 scenarios: own probe highest" in done.stdout
    array = array_of(tmp_path / "sweep")
    assert ended(cluster, array, 2) == {"COMPLETED": 2}
    asked = cluster.ask("sacct", "-X", "-n", "-P", "-o", "ReqTRES,Timelimit", "-j", array).split()
    assert all({"cpu=8", "mem=64G", "gres/gpu=1"} <= set(line.split("|")[0].split(",")) and line.endswith("|04:00:00") for line in asked), asked


def test_a_job_that_fails_is_failed_and_leaves_the_other_alone(cluster: Cluster, sweep: Run, tmp_path: Path) -> None:
    done = sweep("launcher=slurm_cpu", "layer=3,9", env=cluster.environment)
    assert done.returncode != 0
    assert "layer=9 is out of range" in done.stderr
    assert Counter(record["status"] for record in records(tmp_path / "sweep").values()) == {"success": 1, "error": 1}
    array = array_of(tmp_path / "sweep")
    assert ended(cluster, array, 2) == {"COMPLETED": 1, "FAILED": 1}


def pipeline(cluster: Cluster, environment: dict[str, str], cwd: Path, *arguments: str) -> list[str]:
    """Ids of warm, sweep and report."""
    done = subprocess.run(
        (str(REPOSITORY / "slurm" / "pipeline.sh"), *arguments),
        cwd=cwd, capture_output=True, text=True, env=environment | cluster.environment | {"EMOEXP_SWEEP": "night"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace(",", "").replace(":", "").split()
    return [words[words.index(stage) + 1] for stage in ("warm", "sweep", "report")]


def test_the_pipeline_warms_the_store_sweeps_and_reports(cluster: Cluster, environment: dict[str, str], tmp_path: Path) -> None:
    jobs = pipeline(cluster, environment, tmp_path, *SMALL, "launcher=slurm_cpu", "layer=3")
    assert ended(cluster, ",".join(jobs), 3) == {"COMPLETED": 3}, [log.read_text()[-2000:] for log in (tmp_path / "night").glob("*.log")]
    assert [r["experiment"] for r in records(tmp_path / "night" / "warm").values()] == ["correlation"]
    assert [r["layer"] for r in records(tmp_path / "night" / "sweep").values()] == [3]
    assert "V3 scenarios: own probe highest" in (tmp_path / "night" / "report.txt").read_text()


def test_what_depends_on_a_failed_driver_does_not_start(cluster: Cluster, environment: dict[str, str], tmp_path: Path) -> None:
    """An emotion that is not there: the warm-up fails when its job starts, so neither the sweep nor its report do."""
    jobs = pipeline(cluster, environment, tmp_path, *SMALL, "launcher=slurm_cpu", "layer=3", "emotions.names=[glad]")
    assert ended(cluster, ",".join(jobs), 3) == {"FAILED": 1, "CANCELLED": 2}
    assert not (tmp_path / "night" / "sweep").exists()


def test_a_pipeline_on_the_drivers_own_core_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run((str(REPOSITORY / "slurm" / "pipeline.sh"), "layer=3"), cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("pipeline.sh: no launcher=slurm")


def test_a_driver_that_was_killed_is_started_again_and_its_jobs_do_not_run_twice(cluster: Cluster, environment: dict[str, str], tmp_path: Path) -> None:
    """The second driver cancels what the first one left, then runs only what is not finished."""

    def driver() -> str:
        arguments = ("sbatch", "--parsable", str(REPOSITORY / "slurm" / "sweep.sbatch"), *SMALL, "launcher=slurm_cpu", "layer=3,4")
        home = {"EMOEXP_HOME": str(REPOSITORY), "EMOEXP_SWEEP": "sweep"}
        return subprocess.run(arguments, cwd=tmp_path, env=environment | cluster.environment | home, capture_output=True, text=True, check=True).stdout.strip()

    first, end = driver(), time.monotonic() + 60
    while not (tmp_path / "sweep" / ".submitit").exists() or "_" not in (left := cluster.ask("squeue", "-h", "-r", "-o", "%i")):
        assert time.monotonic() < end, "the first driver has submitted nothing"
        time.sleep(0.2)
    cluster.ask("scancel", "--signal=KILL", "--full", first)
    array = left[: left.index("_")].split()[-1]
    second = driver()
    assert ended(cluster, second, 1) == {"COMPLETED": 1}, (tmp_path / f"emoexp-sweep-{second}.log").read_text()[-2000:]
    assert "COMPLETED" not in ended(cluster, first, 1)
    assert ended(cluster, array, 2).total() == 2, "none of the first driver's jobs still runs"
    assert {record["layer"]: record["status"] for record in records(tmp_path / "sweep").values()} == {3: "success", 4: "success"}
