"""One run in its directory: what it depends on, whether it is finished, running or killed, and the
runs that a sweep expects.

A run locks its directory while its process runs, and the kernel frees the lock when the process
ends: so a killed run is told from a running one without process ids or a scheduler.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from emoexp.config import Config, scientific
from emoexp.errors import EmoexpError, one_line
from emoexp.places import CONF, EXPERIMENTS, PACKAGE
from emoexp.store.artifacts import clear, key_of
from emoexp.store.locks import holder
from emoexp.store.record import RESULT, RunRecord, RunStatus

LOCK = ".run.lock"
SWEEP = "sweep.json"
MOST_BYTES = 255
"""Bytes of a file's name, at most, on the common file systems."""
NOT_HASHED = tuple(
    f"emoexp/{name}"
    for name in (
        "report/",
        "compare/",
        "views/",
        "figures/",
        "cli/sweep.py",
        "cli/status.py",
        "cli/wandb",
        "cli/usage.py",
        "cli/explore.py",
        "cli/log.py",
        "explore/",
        "organism/",
        "data/",
        "conf/",
        "experiments/",
        "api.py",
        "store/progress.py",
        "models/loading/memory.py",
    )
)
"""Files that no measured number depends on: what shows results, and `data`, which is hashed with
the pack or the model. (`conf` and `experiments` inside a wheel are hashed under their own
names.)"""


class RunState(Enum):
    """The state of a run. A `missing` one was expected by its sweep and never started; a `killed`
    one started and ended without saving a result or an error; an `unreadable` one has a result.json
    that is broken, or of another program or version."""

    success = "success"
    error = "error"
    running = "running"
    killed = "killed"
    missing = "missing"
    unreadable = "unreadable"


@dataclass(frozen=True)
class Run:
    """A run in its directory; `record` is None for a missing one and for an unreadable one, whose
    `why` says what is wrong."""

    directory: Path
    state: RunState
    record: RunRecord | None
    why: str = ""


def identity_of(experiment: str, config: Config) -> str:
    """Returns sixteen hex digits of what a run's numbers depend on: its resolved configuration
    without the settings of how it is run."""
    text = json.dumps(scientific(config), default=lambda value: value.value)
    return key_of({"experiment": experiment, "config": json.loads(text)})


def code_hash() -> str:
    """Returns the sha256 of the source, conf and experiments on disk, without `NOT_HASHED`."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, CONF, EXPERIMENTS):
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml")):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            if not name.startswith(NOT_HASHED):
                digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def state_of(directory: Path) -> Run:
    """Returns the run in `directory` with its state."""
    try:
        record = RunRecord.load(directory)
    except EmoexpError as error:
        return Run(directory, RunState.unreadable, None, str(error))
    if record is None:
        return Run(directory, RunState.missing, None)
    if record.status is not RunStatus.started:
        return Run(directory, RunState(record.status.value), record)
    return Run(directory, RunState.running if is_locked(directory) else RunState.killed, record)


def runs_below(directories: Sequence[Path]) -> list[Run]:
    """Returns the run of every result.json in or below the directories, each once."""
    files = (path for folder in directories for path in sorted(folder.glob(f"**/{RESULT}")))
    folders = {path.resolve(): path.parent for path in files}
    return [state_of(folder) for folder in folders.values()]


def left_out(why: str) -> None:
    """Says on standard error what is not read, where the others go on."""
    sys.stderr.write(f"emoexp: left out: {why}\n")


def _read_sweep(sweep: Path) -> dict[str, Any] | None:
    """Reads a sweep.json; None if there is none.

    Raises:
        EmoexpError: it is not whole.
    """
    path = sweep / SWEEP
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(name, str) and _is_place(name) for name in content["expected"]):
            return dict(content)
        raise TypeError("expected is not a list of folders")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise EmoexpError(
            f"{path} is not the list of a sweep's jobs ({one_line(error)}): delete it"
        ) from error


def _is_place(name: str) -> bool:
    """Tells whether a folder below another may have this name."""
    path = Path(name)
    short = all(len(os.fsencode(part)) <= MOST_BYTES for part in path.parts)
    return short and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def expected_places(sweep: Path) -> list[Path]:
    """Returns the folders in which a sweep's runs are expected; none if it is no sweep, or its list
    cannot be read, which is said."""
    try:
        content = _read_sweep(sweep) or {"expected": []}
    except EmoexpError as error:
        left_out(str(error))
        return []
    return [sweep / name for name in content["expected"]]


def layer_folder(layer: Any) -> str:
    """Returns the name of the folder of one layer of a run over several."""
    return f"layer-{layer}"


def is_locked(directory: Path) -> bool:
    """Checks whether a running process has locked the directory of a run."""
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
    """Locks `directory` while the context lasts, so that no other process runs there.

    Raises:
        EmoexpError: another process has locked it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        # wait a little: `is_locked` in another process takes the lock for a moment
        lock.acquire(timeout=2, poll_interval=0.05)
    except Timeout as error:
        raise EmoexpError(
            f"{holder(directory / LOCK)} is at work in {directory}: wait for it, or give another"
            " hydra.run.dir"
        ) from error
    try:
        clear(directory)
        yield
    finally:
        lock.release()


def host_info() -> dict[str, Any]:
    """Returns host, process and SLURM job, which identify the log of a run."""
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
    """Returns the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_code_unchanged(sweep: Path, allowed: bool) -> None:
    """Checks that the code on disk is that of the sweep's start.

    Raises:
        EmoexpError: it has been edited since, and the sweep's numbers would be of two versions.
    """
    content = None if allowed else _read_sweep(sweep)
    if content is not None and content.get("code") != code_hash():
        raise EmoexpError(
            f"the code has changed since the sweep in {sweep} was started: start it again (finished"
            " runs are kept apart), or allow_code_change=true"
        )
