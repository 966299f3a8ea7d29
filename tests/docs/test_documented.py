"""Every command of README and docs/ can be given as it is written: settings compose, subcommands
and their options exist, and so do make targets, extras and files. The cheap ones are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from emoexp import __main__ as command
from emoexp.cli.main import compose_config
from emoexp.cli.overrides import CommandLine
from tests.conftest import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "slurm" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {
    "emoexp.report": "report",
    "emoexp.compare": "compare",
    "emoexp.cli.status": "status",
    "emoexp.stimuli": "stimuli",
    "emoexp.cli.wandb_dashboard": "dashboard",
}
DRIVERS = {"sbatch", "slurm/pipeline.sh"}
"""Of a sweep on a cluster: what has a = and is no option of theirs are settings."""


class Command(NamedTuple):
    """A command and the page that shows it."""

    page: str
    words: tuple[str, ...]


def indented(text: str) -> str:
    """Returns the indented blocks of a page, in which its commands are; fenced ones show output."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"(?<=\n)    .*(?=\n)", text)
    return "\n".join(lines).replace("\\\n", " ")


def commands() -> list[Command]:
    """Returns every command of the pages once."""
    found: dict[tuple[str, ...], Command] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inline = re.findall(r"`((?:python -m )?emoexp [^`]*=[^`]*|make [a-z-]+)`", text)
        for line in [*indented(text).splitlines(), *(" ".join(i.split()) for i in inline)]:
            words = tuple(shlex.split(line, comments=True))
            if words and re.match(r"\S+$", words[0]) and starts(words):
                found.setdefault(words, Command(str(page.relative_to(REPOSITORY)), words))
    return list(found.values())


def starts(words: tuple[str, ...]) -> bool:
    """Tells whether words are a command that this file knows, and no output or other program's."""
    programs = {"emoexp", "python", "torchrun", "make", "pip", "NDIF_API_KEY=...", *DRIVERS}
    return words[0] in programs


COMMANDS = commands()


def arguments(words: tuple[str, ...]) -> list[str] | None:
    """Returns the arguments of an `emoexp` command, by whichever name; None of another program."""
    words = tuple(w for w in words if not re.match(r"[A-Z_]+=", w))
    if words[0] == "emoexp":
        return list(words[1:])
    if words[0] in DRIVERS:
        return ["--multirun", *(w for w in words if "=" in w and not w.startswith("-"))]
    if "-m" not in words or words[0] not in ("python", "torchrun"):
        return None
    module, *rest = words[words.index("-m") + 1 :]
    if module == "emoexp":
        return rest
    return [MODULES[module], *rest] if module in MODULES else None


OURS = [c for c in COMMANDS if arguments(c.words) is not None]
SETTINGS = [c for c in OURS if not set(arguments(c.words)[:1]) & set(command.SUBCOMMANDS)]
SUBCOMMANDS = [c for c in OURS if c not in SETTINGS]
OTHERS = [c for c in COMMANDS if c not in OURS]


def named(found: Command) -> str:
    return f"{found.page}: {' '.join(found.words)}"[:90]


def test_the_commands_are_found() -> None:
    assert len(SETTINGS) > 40 and len(SUBCOMMANDS) > 8 and len(OTHERS) > 8
    assert {page.name for page in PAGES} > {Path(c.page).name for c in COMMANDS}


@pytest.mark.parametrize("found", SETTINGS, ids=named)
def test_settings_compose(found: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of every sweep are composed, so that a name that does not exist is an error."""
    monkeypatch.setattr("shutil.which", lambda name: name)  # there is an srun
    line = CommandLine.of(arguments(found.words))
    values = line.values()
    for end in (0, -1) if line.multirun else (0,):
        compose_config([each[end] for each in values])


@pytest.mark.parametrize("found", SUBCOMMANDS, ids=named)
def test_options_of_subcommands_exist(
    found: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = arguments(found.words)
    options = {a.split("=")[0] for a in rest if a.startswith("-")}
    if name == "explore":
        compose_config([a for a in rest if "=" in a and not a.startswith("-")])
    if not options:
        return
    level = [rest[0]] if name == "stimuli" else []
    monkeypatch.setattr(sys, "argv", [name, *level, "--help"])
    with pytest.raises(SystemExit):
        import_module(command.SUBCOMMANDS[name]).main()
    page = capsys.readouterr().out
    assert not [o for o in options if o not in page]


@pytest.mark.parametrize("found", OTHERS, ids=named)
def test_targets_extras_and_files_exist(found: Command) -> None:
    program, first = found.words[0], found.words[1]
    if program == "make":
        done = subprocess.run(["make", "-n", *found.words[1:]], cwd=REPOSITORY, capture_output=True)
        assert done.returncode == 0, done.stderr
    elif program == "pip":
        extras = re.search(r"emoexp\[([\w,]+)\]", found.words[-1])
        names = extras[1].split(",") if extras else []
        assert set(names) <= set(PROJECT["optional-dependencies"])
    else:
        assert (REPOSITORY / first).is_file()


@pytest.mark.parametrize(
    "words", [["--help"], ["stimuli", "check", "bundled:emoexp"], ["explore", "--help"]], ids=str
)
def test_cheap_ones_run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(list(arguments(c.words)) == words for c in OURS) or words[0] == "explore"
    monkeypatch.setattr(sys, "argv", ["emoexp", *words])
    try:
        command.main()
    except SystemExit as end:
        assert not end.code


def test_the_lines_of_python_run(tmp_path: Path) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "EMOEXP_ARTIFACTS": str(tmp_path), "HOME": "/"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["V3", "V4"]
