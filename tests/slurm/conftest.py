"""The cluster, once for all tests of a process; and emoexp as a user runs it, from a directory that
is not the repository's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, UnavailableError
from sweeping import REPOSITORY, SMALL, Background, Run


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A SLURM of one node; where there can be none, the tests are skipped with the reason."""
    made = Cluster(
        Path(tempfile.mkdtemp(prefix="emoexp-slurm-", dir="/tmp"))
    )  # short: a socket's path has 107 bytes
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


@pytest.fixture(scope="session")
def environment(cluster: Cluster, store: Path) -> dict[str, str]:
    """What a user of the cluster has after `source slurm/env.sh` with a site.sh that names the
    running Python's environment."""
    mine = {
        "EMOEXP_ARTIFACTS": str(store),
        "EMOEXP_VENV": sys.prefix if sys.prefix != sys.base_prefix else "",
        "HF_HUB_OFFLINE": "1",
    }
    here = {
        "EMOEXP_ENV": str(REPOSITORY / "slurm" / "env.sh"),
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }
    return os.environ | cluster.environment | mine | here


def command(*arguments: str) -> tuple[str, ...]:
    return (
        sys.executable,
        "-m",
        "emoexp",
        "--multirun",
        *SMALL,
        "hydra.sweep.dir=sweep",
        *arguments,
    )


@pytest.fixture
def sweep(tmp_path: Path, environment: dict[str, str]) -> Run:
    """`python -m emoexp --multirun` of the smallest experiment, in `tmp_path`, into
    `tmp_path/sweep`."""
    return lambda *arguments: subprocess.run(
        command(*arguments),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=400,
    )


@pytest.fixture
def background(tmp_path: Path, environment: dict[str, str]) -> Iterator[Background]:
    """The same, without waiting for it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "driver.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    command(*arguments), cwd=tmp_path, stdout=log, stderr=log, env=environment
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def silence_libraries(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A sweep over two layers that nothing disturbed; what it stored is there for the others."""
    folder = tmp_path_factory.mktemp("quiet")
    done = subprocess.run(
        command("launcher=slurm", "layer=3,4"),
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "V3 scenarios: own probe highest" in done.stdout
    return folder / "sweep"
