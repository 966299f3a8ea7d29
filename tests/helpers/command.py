"""`python -m emoexp` as a user runs it, without the seconds that its imports take: each command is
a fork of one process that has imported them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SHARED = "EMOEXP_SHARED_ARTIFACTS"
"""The environment variable that names the store which all tests of a session may use."""
TIMEOUT_S = 900
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["emoexp.cli.main", "emoexp.cli.run", "emoexp.experiments", "emoexp.models.subject"]
)


def emoexp(
    *arguments: str, cwd: Path, module: str = "emoexp", **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder `cwd`; what it computes is shared by all such commands, unless
    `artifacts=` or EMOEXP_ARTIFACTS names another store.

    Args:
        module: what `python -m` runs.
        env: further variables of its environment. Those that are read at import have no effect.
    """
    environment = os.environ | {"EMOEXP_ARTIFACTS": os.environ[SHARED]} | env
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("stdout", "stderr")]
        command = (module, arguments, cwd, environment, said)
        process = _server.Process(target=_run, args=command)
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT_S, *(p.read_text() for p in said))
        return subprocess.CompletedProcess(
            arguments, process.exitcode, *(path.read_text() for path in said)
        )


def _run(
    module: str,
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    said: Sequence[Path],
) -> None:
    """Runs a module in this process, which ends with it."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out
