"""A store that colleagues share, a disk that is full, and a file system without locks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.store import artifacts, locks
from emoexp.store.artifacts import Artifacts, read_tensors, write_tensors
from emoexp.store.locks import holder, locked
from emoexp.store.record import RESULT, RunRecord, RunStatus
from tests.helpers.records import record

IDENTITY = {"what": "a test"}
KILLED = """
import fcntl, os, sys, errno
def flock(*_): raise OSError(errno.ENOSYS, "no flock")
fcntl.flock = flock
from pathlib import Path
from emoexp.store.locks import locked
with locked(Path(sys.argv[1])):
    os._exit(9)
"""


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_have_the_mode_of_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        Artifacts(tmp_path).rows("kind", IDENTITY, ["a"], lambda _: {"x": np.zeros(2)}, None)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"identity.json", ".lock", "a.safetensors"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}


def test_a_file_that_may_not_be_read_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tensors(tmp_path / "a", {"x": np.zeros(2)}, {})

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(EmoexpError, match="b does not exist"):
        read_tensors(tmp_path / "b")
    monkeypatch.setattr(Path, "open", refused)  # root may read everything
    with pytest.raises(EmoexpError, match=r"a may not be read \(permission\): ask its owner"):
        read_tensors(tmp_path / "a")


def test_a_full_disk_is_the_systems_error_and_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise artifacts.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(artifacts, "save_file", full)
    with pytest.raises(OSError, match="No space left on device: .*a.safetensors"):
        write_tensors(tmp_path / "a.safetensors", {"x": np.zeros(2)}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_record_says_that_its_run_failed_also_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record()
    run.save(tmp_path)
    size = (tmp_path / RESULT).stat().st_size

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("emoexp.store.record.write_text", full)
    run.status, run.metrics, run.ended = RunStatus.success, {"x": 1.0}, run.started
    with pytest.raises(OSError, match="No space left"):
        run.save(tmp_path)
    kept = RunRecord.load(tmp_path)
    assert kept is not None
    assert (kept.status, kept.metrics) == (RunStatus.error, {})
    assert "free space and run the same command again" in (kept.error or "")
    assert (tmp_path / RESULT).stat().st_size == size
    assert json.loads((tmp_path / RESULT).read_text())["ended"] == run.started


def test_a_lock_without_flock_is_freed_when_its_process_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == 9
    assert f"if it is gone, delete {path}" in holder(path)

    def no_flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no flock")

    monkeypatch.setattr("fcntl.flock", no_flock)
    with locked(path):
        assert path.exists()
    assert not path.exists()


def test_a_lock_of_another_host_is_named_while_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    monkeypatch.setattr(locks, "SILENT_S", 0.05)
    with locked(path):
        path.write_text("4711\nnode7\n")
        command = "import sys; from pathlib import Path; from emoexp.store import locks as l;"
        command += "l.SILENT_S = .05;\nwith l.locked(Path(sys.argv[1])): print('got it')"
        waiting = subprocess.Popen(
            [sys.executable, "-c", command, str(path)], stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
    assert waiting.wait(60) == 0
    assert line == (
        f"emoexp: waiting for {path}, which process 4711 on node7 (if it is gone, delete {path})"
        " holds\n"
    )
