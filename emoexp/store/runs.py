"""One run in its directory: what it depends on, whether it is finished, running or dead, and what a
sweep expects.

A run holds a lock on its directory for as long as it lives, and the kernel frees it when it dies:
    so a killed run is told from a
running one without asking for process ids or a scheduler.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from emoexp.errors import EmoexpError
from emoexp.places import CONF, EXPERIMENTS, PACKAGE
from emoexp.store.artifacts import key_of
from emoexp.store.record import RunStatus

RESULT, LOCK, SWEEP = "result.json", ".run.lock", "sweep.json"
NON_IDENTITY_FIELDS = (
    ("run_dir",),
    ("artifacts",),
    ("force",),
    ("allow_code_change",),
    ("model", "device"),
    ("model", "device_map"),
    ("model", "batch_tokens"),
    ("model", "check_memory"),
    ("logger",),
    ("launcher",),
    ("stories", "server"),
    ("stories", "concurrency"),
    ("stories", "api_key_variable"),
    ("stories", "requests_per_minute"),
    ("stories", "timeout_s"),
    ("stories", "retries"),
    ("stories", "batch"),
    *(
        ("experiment", "judge", name)
        for name in (
            "server",
            "concurrency",
            "api_key_variable",
            "requests_per_minute",
            "timeout_s",
            "retries",
        )
    ),
)
"""Settings that change where and how fast a number is computed, and not the number."""


NOT_HASHED = tuple(
    f"emoexp/{name}"
    for name in (
        "report/",
        "figures/",
        "cli/sweep.py",
        "cli/status.py",
        "cli/wandb",
        "cli/usage.py",
        "organism/",
        "data/",
        "conf/",
        "experiments/",
        "api.py",
        "store/progress.py",
        "models/loading/memory.py",
        "study/terminal.py",
        "blackmail/transcripts.py",
    )
)
"""Files that no measured number depends on: what shows results, and `data`, which is hashed with
the
pack or the model. (`conf` and `experiments` inside a wheel are hashed under their own names.)"""


class RunState(Enum):
    """`missing` was expected by its sweep and never started; `killed` started and died without a
    word."""

    success = "success"
    error = "error"
    running = "running"
    killed = "killed"
    missing = "missing"


@dataclass(frozen=True)
class Run:
    """A run as it lies in its directory; `record` is its result.json, empty for a missing one."""

    directory: Path
    state: RunState
    record: dict[str, Any]


def identity_of(experiment: str, config: Mapping[str, Any]) -> str:
    """Sixteen hex digits of what a run's numbers depend on: its resolved config without
    `NON_IDENTITY_FIELDS`."""
    kept = json.loads(json.dumps(config))
    for *parents, last in NON_IDENTITY_FIELDS:
        place = kept
        for name in parents:
            place = place.get(name, {})
        place.pop(last, None)
    return key_of({"experiment": experiment, "config": kept})


def code_hash() -> str:
    """sha256 over the package's own source, conf and experiments as they are on disk now, without
    what only shows numbers."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, CONF, EXPERIMENTS):
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml")):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            if not name.startswith(NOT_HASHED):
                digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_record(directory: Path) -> dict[str, Any]:
    """The result.json of a directory; empty if there is none.

    Raises:
        EmoexpError: it is not whole.
    """
    path = directory / RESULT
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise EmoexpError(
            f"{path} is not a whole result ({error}): delete it and run again"
        ) from error


def state_of(directory: Path) -> Run:
    """What has become of the run in `directory`."""
    record = read_record(directory)
    if not record:
        return Run(directory, RunState.missing, {})
    if record["status"] != RunStatus.started.value:
        return Run(directory, RunState(record["status"]), record)
    return Run(directory, RunState.running if is_locked(directory) else RunState.killed, record)


def is_locked(directory: Path) -> bool:
    """Whether a living process holds the run's lock."""
    if not (directory / LOCK).exists():
        return False
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Within, this process is the only one that runs in `directory`.

    Raises:
        EmoexpError: another one does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(
            timeout=2, poll_interval=0.05
        )  # whoever asks `is_locked` holds it for a moment
    except Timeout as error:
        raise EmoexpError(
            f"another process is at work in {directory}: wait for it, or give another hydra.run.dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def host_info() -> dict[str, Any]:
    """Host, process and SLURM job: for people who look for a log."""
    names = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    slurm = {
        name.removeprefix("SLURM_").lower(): os.environ[name]
        for name in names
        if name in os.environ
    }
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slurm": slurm,
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_code_unchanged(sweep: Path, allowed: bool) -> None:
    """Compares the code on disk with that of the sweep's start.

    Raises:
        EmoexpError: it has been edited since, and the sweep's numbers would be of two versions.
    """
    path = sweep / SWEEP
    if not path.exists() or allowed:
        return
    if json.loads(path.read_text(encoding="utf-8"))["code"] != code_hash():
        raise EmoexpError(
            f"the code has changed since the sweep in {sweep} was started: start it again (finished"
            " runs are kept apart), or allow_code_change=true"
        )
