"""Provenance of a number: commit, versions, machine."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emoexp.places import PACKAGE

PACKAGES = (
    "torch",
    "transformers",
    "nnsight",
    "numpy",
    "scipy",
    "scikit-learn",
    "hydra-core",
    "safetensors",
)


def hash_files(paths: Sequence[Path]) -> str:
    """Returns the sha256 over the names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def git(*arguments: str) -> str | None:
    """Returns the output of a git command in the checkout that has this package; None outside one
    (and wherever the command fails)."""
    try:
        process = subprocess.run(
            ("git", *arguments), cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def gpus() -> list[str]:
    """Returns the names of the GPUs that torch sees; none where torch is not imported already."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


@cache
def versions() -> dict[str, str]:
    """Returns the versions of the packages that the numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def provenance() -> dict[str, Any]:
    """Returns commit and dirty flag, versions, machine, GPUs, command line, time."""
    from emoexp import __version__

    status = git("status", "--porcelain")
    return {
        "emoexp": __version__,
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
        "python": platform.python_version(),
        "packages": versions(),
        "machine": platform.machine(),
        "gpus": gpus(),
        "command": sys.argv[1:],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
