"""The lines of the tab Share run as they stand, and print what the page shows."""

from __future__ import annotations

import contextlib
import io
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoexp.cli.explore import main, open_reader
from emoexp.config import ReplySpan
from emoexp.explore import commands
from emoexp.explore.commands import Side
from emoexp.explore.reader import Reader
from emoexp.explore.reading import compare
from emoexp.explore.steering import Dial, Exchange, Replies, Settings
from tests.explore.conftest import overrides

TEXT = 'I said "it\'s $HOME"; then `left`.\n=1+1 \U0001f389'
SETTINGS = Settings(
    TEXT, (Dial("calm", -0.3), Dial("proud", 0.2)), (3, 4), ReplySpan.turn, True, 8, 0.7, 0.9, 5
)


def printed(command: str) -> pd.DataFrame:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "emoexp", "explore"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(words[4:])
    return pd.read_csv(io.StringIO(out.getvalue()), keep_default_na=False)


def executed(lines: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(lines, {})
    return out.getvalue()


def test_the_lines_of_read(reader: Reader, explore_store: Path) -> None:
    given = overrides(explore_store)
    table = printed(commands.read_command(given, TEXT, False, 3, "centred"))
    expected = reader.read(TEXT, False).token_table(3, "centred")
    np.testing.assert_allclose(table["calm"], expected["calm"], rtol=0, atol=1e-12)
    assert executed(commands.read_python(given, TEXT, False, 3, "centred")) == (
        expected.to_csv(index=False) + "\n"
    )


def test_the_lines_of_compare(reader: Reader, explore_store: Path) -> None:
    given = tuple(overrides(explore_store))
    sides = (Side(given, TEXT, True, 3, "text"), Side(given, "Bye.", True, 4, "turn"))
    lines = commands.compare_python(sides, "raw")
    assert lines.count("open_reader(") == 1
    table = compare(reader.read(TEXT), reader.read("Bye."), (3, 4), ("text", "turn"), "raw")
    assert executed(lines) == table.to_csv(index=False) + "\n"


def test_the_lines_of_two_models_open_both(reader: Reader, explore_store: Path) -> None:
    given = tuple(overrides(explore_store))
    other = (*given, "model=organism_untrained")
    sides = (Side(given, TEXT, True, 3, "turn"), Side(other, TEXT, True, 4, "turn"))
    second = open_reader(other).read(TEXT)
    table = compare(reader.read(TEXT), second, (3, 4), ("turn", "turn"), "centred")
    assert executed(commands.compare_python(sides, "centred")) == table.to_csv(index=False) + "\n"
    assert set(table["emotion"]) == set(reader.study.emotions)


def test_the_lines_of_a_chat(reader: Reader, explore_store: Path) -> None:
    said = {"unsteered": ' "a"', "steered": " b\n", "isotropic random": " c"}
    settings = replace(SETTINGS, earlier=(Exchange("It's me.", said),))
    replies = Replies(reader, settings).all()
    lines = executed(commands.steer_python(overrides(explore_store), settings))
    expected = "\n".join(f"{r.name} {r.perplexity} {r.text}" for r in replies)
    assert lines.rstrip("\n") == expected.rstrip("\n")


def test_the_lines_of_steer(reader: Reader, explore_store: Path) -> None:
    given = overrides(explore_store)
    replies = Replies(reader, SETTINGS).all()
    table = printed(commands.steer_command(given, SETTINGS))
    expected = pd.concat([reply.table(reader.study.emotions) for reply in replies])
    assert list(table["token"]) == list(expected["token"])
    np.testing.assert_allclose(table["calm"], expected["calm"], rtol=0, atol=1e-12)
    lines = executed(commands.steer_python(given, SETTINGS)).rstrip("\n")
    assert lines == "\n".join(f"{r.name} {r.perplexity} {r.text}" for r in replies)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--read=a", "model=nothing"], "unknown model 'nothing'"),
        (["--read=a", "layer=[1,2]"], "give one"),
        (["--read=a", "vectors=x.safetensors"], "leave it out"),
        (["--steer=a", "--dials=calm"], "'calm' is not emotion=strength"),
        (["--steer=a", "--dials=calm=1", "--layers=x"], "'x' is not a layer"),
        (["--read=a", "--layer=99"], "layer=99 is out of range"),
        (["model=nothing", "--read", "a", "scale=smoke"], "unknown model 'nothing'"),
        (["--wrong"], "unrecognized arguments: --wrong"),
        (["--port=80"], "--port=80: give one from 1024"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], line: str, explore_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, f"artifacts={explore_store}"])
    assert caught.value.code == 2
    written = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in written
