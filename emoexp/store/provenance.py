"""Where a number comes from: commit, versions, machine."""

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
    """sha256 over names and contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def git(*arguments: str) -> str | None:
    """What git says of the checkout that this package lies in; None outside one."""
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def gpus() -> list[str]:
    """The names of the GPUs that torch sees; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if torch is not None
        else []
    )


@cache
def versions() -> dict[str, str]:
    """Of the packages that the numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def provenance() -> dict[str, Any]:
    """Commit and dirty flag, versions, command line, time."""
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
