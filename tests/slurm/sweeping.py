"""What tests of sweeps share."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from slurm_cluster import Cluster

REPOSITORY = Path(__file__).parents[2]
SMALL = ("experiment=implicit", "scale=smoke", "emotions=core12")
Run = Callable[..., subprocess.CompletedProcess[str]]
Background = Callable[..., subprocess.Popen[bytes]]
Version = tuple[int, int]


def records(directory: Path) -> dict[str, Any]:
    """What result.json says, by the name of the run's directory."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("*/result.json"))
    }


def only_job(sweep: Path) -> dict[str, Any]:
    """The record of a sweep's one job; before it has started, one that says so."""
    (found,) = records(sweep).values() or (
        {"status": "missing", "where": {"restarts": -1, "slurm": {}}},
    )
    return dict(found)


def versions(store: Path) -> dict[Path, Version]:
    """Inode and time of each row of a store: a row that is written again has others."""
    return {
        path: (stat.st_ino, stat.st_mtime_ns)
        for path in store.glob("*/*/*.safetensors")
        if (stat := path.stat())
    }


@contextmanager
def one_row_missing(store: Path) -> Iterator[Path]:
    """Within, jobs that need this row wait, as they would for another job that computes it;
    afterwards one of them computes it."""
    row = min(store.glob("stories/*/*.safetensors"))
    row.unlink()
    with FileLock(row.parent / ".lock"):
        yield row


def until(true: Callable[[], bool], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


def waits_for_its_row(sweep: Path) -> bool:
    """Whether the one job of a sweep has loaded its model, whose next step is to ask for the
    row."""
    return any("MB of weights" in log.read_text() for log in sweep.glob(".submitit/*/*_log.err"))


def pre_empt(cluster: Cluster, job: str) -> None:
    """Sends USR2, as SLURM does. scancel reaches the step at once, then finds the job requeued, and
    would go on until it runs again and gets it twice."""
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ("scancel", "--signal=USR2", job),
            env=os.environ | cluster.environment,
            capture_output=True,
            timeout=3,
        )


def ended(cluster: Cluster, jobs: str, n: int, seconds: float = 600) -> Counter[str]:
    """How many of `n` jobs ended how, by sacct, which follows a second or two behind."""
    end = time.monotonic() + seconds
    while True:
        states = Counter(
            line.split()[0]
            for line in cluster.ask(
                "sacct", "-X", "-n", "-P", "-o", "State", "-j", jobs
            ).splitlines()
        )
        if states.total() == n and not {"PENDING", "RUNNING", "REQUEUED"} & set(states):
            return states
        assert time.monotonic() < end, f"after {seconds} s: {states}"
        time.sleep(0.5)


def array_of(sweep: Path) -> str:
    """The id of the one SLURM array of a sweep, from the names of submitit's folders."""
    (array,) = {
        path.name.split("_")[0]
        for path in (sweep / ".submitit").iterdir()
        if path.name[0].isdigit()
    }
    return array
