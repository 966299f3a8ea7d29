"""Locks: one job at a time computes an artifact, and another waits for it.

The kernel frees a lock when its process ends. Where a file system has no such locks, filelock takes
the existence of the file for one: a process of the same host that is gone loses it, and one of
another host has to be deleted by hand, so messages name the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SILENT_S = 10.0
"""Seconds of waiting before a job says what it waits for."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock `path` while the context lasts; waits for it, and says so on standard error
    if that takes long."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENT_S)
    except Timeout:
        sys.stderr.write(f"emoexp: waiting for {path}, which {holder(path)} holds\n")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Returns who holds a lock, as far as its file says: it does where the file is the lock."""
    with suppress(OSError, ValueError):
        pid, host = path.read_text(encoding="utf-8").split()[:2]
        gone = f"if it is gone, delete {path}"
        return f"process {int(pid)} on {host} ({gone})"
    return "another process"
