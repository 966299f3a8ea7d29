"""The command `emoexp`: its subcommands, Tab completion, and what a notebook's environment does."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from emoexp import __main__ as command
from tests.conftest import REPOSITORY


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", command.SUBCOMMANDS)
def test_each_subcommand_has_a_main(name: str) -> None:
    assert callable(import_module(command.SUBCOMMANDS[name]).main)


def test_a_subcommand_gets_its_own_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoexp", "report", "nowhere"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2 and "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["report", "--help"], "python -m emoexp.report"),
        (["status", "-h"], "python -m emoexp.cli.status"),
        (["stimuli", "check", "--help"], "python -m emoexp.stimuli check"),
        (["explore", "--help"], "python -m emoexp explore"),
        (["--help"], "Experiments (experiment=...)"),
    ],
)
def test_help_is_that_of_the_subcommand(
    arguments: list[str],
    usage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoexp", *arguments])
    with suppress(SystemExit):
        command.main()
    assert usage in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "near"), [("reprot", "report"), ("implicit", "experiment=implicit")]
)
def test_a_word_that_is_no_subcommand_is_one_line(
    word: str, near: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoexp", word, "multirun"])
    with pytest.raises(SystemExit) as end:
        command.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and f"did you mean {near}" in said


def test_tab_completes_options_of_a_group(tmp_path: Path) -> None:
    installed = run("-m", "emoexp", "-sc", "install=bash", cwd=tmp_path)
    assert installed.stdout.rstrip().endswith("hydra_bash_completion emoexp"), installed.stderr
    query = ("-m", "emoexp", "-sc", "query=bash")
    found = run(*query, cwd=tmp_path, COMP_LINE="emoexp experiment=steer")
    assert found.stdout.split() == ["experiment=steering", "experiment=steering_map"]


def test_a_notebooks_backend_stops_no_import(tmp_path: Path) -> None:
    backend = "module://a_package_of_the_notebook.backend"
    done = run("-c", "import emoexp.figures.style", cwd=tmp_path, MPLBACKEND=backend)
    assert done.returncode == 0, done.stderr
