"""A command that is interrupted, at any moment, is one line; nothing is lost and nobody is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from emoexp.errors import EmoexpError, one_line, one_line_errors
from emoexp.interrupts import Interrupted, interruption

RUN = ("-m", "emoexp", "experiment=implicit", "emotions=core12", "scale=smoke")
CHILD = """
import subprocess, sys, time
from emoexp.errors import one_line_errors
with one_line_errors():
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    subprocess.Popen(sleep, stderr=subprocess.DEVNULL)
    print("ready", flush=True)
    time.sleep(60)
"""

DRAWING = """
import sys
from pathlib import Path
from emoexp.errors import one_line_errors
from emoexp.figures.process import FigureProcess
sys.executable = "SLOW"
with one_line_errors(), FigureProcess() as figures:
    figures.draw(Path("run"))
    print("ready", flush=True)
"""
"""Waits for the figures of a run, which are never drawn."""
AT_WORK = (
    DRAWING
    + """\
    import time
    time.sleep(60)
"""
)
"""Computes while the figures of a run are drawn."""


def by_default() -> None:
    """Gives a process the handlers of a terminal, also where the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, *arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"EMOEXP_ARTIFACTS": str(cwd / "store"), "HF_HUB_OFFLINE": "1"},
        preexec_fn=by_default,
    )


@pytest.mark.parametrize(
    ("code", "number", "status", "says"),
    [
        (CHILD, signal.SIGINT, 130, "interrupted"),
        (CHILD, signal.SIGTERM, 143, "interrupted by SIGTERM"),
        (CHILD, signal.SIGHUP, 129, "interrupted by SIGHUP"),
        (DRAWING, signal.SIGINT, 130, "interrupted"),
        (AT_WORK, signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_signal_is_one_line_and_leaves_no_child(
    code: str, number: signal.Signals, status: int, says: str, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    process = started("-c", code.replace("SLOW", str(slow)), cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, f"emoexp: {says}; the same command goes on\n")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_an_interrupted_run_says_so_and_is_the_same_when_it_is_run_again(tmp_path: Path) -> None:
    process = started(*RUN, "hydra.run.dir=run", cwd=tmp_path)
    result = tmp_path / "run" / "result.json"
    while not (result.exists() and list(tmp_path.glob("store/stories/*/*.json"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert said.endswith("emoexp: interrupted by SIGTERM; the same command goes on\n")
    assert "Traceback" not in said
    record = json.loads(result.read_text())
    assert (record["status"], record["error"]) == (
        "error",
        "interrupted by SIGTERM; the same command goes on",
    )
    assert "interrupted by SIGTERM" in (tmp_path / "run" / "run.log").read_text()
    assert not list(tmp_path.rglob("*.tmp"))
    again = started(*RUN, "hydra.run.dir=run", cwd=tmp_path)
    assert again.communicate(timeout=300) and again.returncode == 0
    whole = started(*RUN, "hydra.run.dir=whole", "artifacts=other", cwd=tmp_path)
    assert whole.communicate(timeout=300) and whole.returncode == 0
    for name in ("implicit.csv", "nulls.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_errors_of_the_system_are_one_line_and_others_are_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop, one_line_errors():
        (tmp_path / "file" / "x").mkdir()
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        f"emoexp: {tmp_path}/file/x: Not a directory: a file is where a folder has to be, or the"
        " other way round: give another path\n"
    )
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
    full = OSError(28, "No space left on device")
    assert one_line(full).endswith(
        "free space and run the same command again; what was computed is kept"
    )
    assert one_line(Exception("I/O error (os error 28)")).endswith("what was computed is kept")


def test_an_interruption_is_found_behind_what_it_became() -> None:
    try:
        try:
            raise Interrupted(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise ImportError("numpy did not load") from error
    except ImportError as error:
        assert interruption(error) == "interrupted by SIGTERM; the same command goes on"
    assert interruption(EmoexpError("x")) == ""
    assert interruption(KeyboardInterrupt()) == "interrupted; the same command goes on"
