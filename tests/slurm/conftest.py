"""The cluster, once for all tests of a process; and emoexp as a user runs it, from a directory that is not the repository's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, UnavailableError
from sweeping import REPOSITORY, SMALL, Run


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A SLURM of one node; where there can be none, the tests are skipped with the reason."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="emoexp-slurm-", dir="/tmp")))  # short: a socket's path has 107 bytes
    try:
        made.up()
        yield made
    except UnavailableError as reason:
        pytest.skip(f"no SLURM here: {reason}")
    finally:
        made.down()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all sweeps: what it holds is tested elsewhere."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def environment(store: Path) -> dict[str, str]:
    """What a user has after `source slurm/env.sh` with a site.sh that names the running Python's environment."""
    mine = {"EMOEXP_ARTIFACTS": str(store), "EMOEXP_VENV": sys.prefix if sys.prefix != sys.base_prefix else "", "HF_HUB_OFFLINE": "1"}
    return os.environ | mine | {"EMOEXP_ENV": str(REPOSITORY / "slurm" / "env.sh"), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def sweep(tmp_path: Path, environment: dict[str, str]) -> Run:
    """`python -m emoexp --multirun` of the smallest experiment, in `tmp_path`, into `tmp_path/sweep`."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "emoexp", "--multirun", *SMALL, "hydra.sweep.dir=sweep", *arguments)
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment | (env or {}), timeout=170)

    return run
