"""The command and the Python lines that reproduce what a page shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoexp.explore.reading import Part
from emoexp.explore.steering import Settings

PROGRAM = "python -m emoexp"
OPENING = """\
from emoexp.cli.explore import open_reader

reader = open_reader({overrides!r})
"""


def read_command(
    overrides: Sequence[str], text: str, as_turn: bool, layer: int, read_out: str
) -> str:
    """Returns the command line that prints a text's table of tokens as CSV."""
    options = [f"--read={text}", f"--layer={layer}", f"--read-out={read_out}"]
    return explore_command(overrides, [*options, *([] if as_turn else ["--text-alone"])])


def read_python(
    overrides: Sequence[str], text: str, as_turn: bool, layer: int, read_out: str
) -> str:
    """Returns the Python lines that print the same table."""
    return _opened(overrides) + (
        f"reading = reader.read({text!r}, as_turn={as_turn})\n"
        f"print(reading.token_table({layer}, {read_out!r}).to_csv(index=False))\n"
    )


@dataclass(frozen=True)
class Side:
    """One side of a comparison: which model reads which text, where."""

    overrides: tuple[str, ...]
    text: str
    as_turn: bool
    layer: int
    part: Part


def compare_python(sides: tuple[Side, Side], read_out: str) -> str:
    """Returns the Python lines that print a comparison. Of two models, the first is freed before
    the second is loaded."""
    a, b = sides
    lines = "from emoexp.explore.reading import compare\n" + _opened(a.overrides)
    lines += f"a = reader.read({a.text!r}, as_turn={a.as_turn})\n"
    if b.overrides != a.overrides:
        lines += f"reader = open_reader({list(b.overrides)!r})\n"
    lines += f"b = reader.read({b.text!r}, as_turn={b.as_turn})\n"
    layers, parts = (a.layer, b.layer), (a.part, b.part)
    return lines + (
        f"table = compare(a, b, {layers!r}, {parts!r}, {read_out!r})\n"
        "print(table.to_csv(index=False))\n"
    )


def steer_command(overrides: Sequence[str], settings: Settings) -> str:
    """Returns the command line that prints the replies of a chat's first turn, token by token, as
    CSV. Later turns need `steer_python`."""
    dials = ",".join(f"{dial.emotion}={dial.strength!r}" for dial in settings.dials)
    options = [
        f"--steer={settings.question}",
        f"--dials={dials}",
        f"--layers={','.join(map(str, settings.layers))}",
        f"--span={settings.span.value}",
        f"--new-tokens={settings.max_new_tokens}",
        f"--temperature={settings.temperature!r}",
        f"--top-p={settings.top_p!r}",
        f"--seed={settings.seed}",
        *(["--random"] if settings.random else []),
    ]
    return explore_command(overrides, options)


def steer_python(overrides: Sequence[str], settings: Settings) -> str:
    """Returns the Python lines that print the same replies."""
    dials = ", ".join(f"Dial({dial.emotion!r}, {dial.strength!r})" for dial in settings.dials)
    return (
        "from emoexp.config import ReplySpan\n"
        "from emoexp.explore.steering import Dial, Exchange, Replies, Settings\n"
        + _opened(overrides)
        + f"settings = Settings(\n    {settings.question!r},\n    dials=({dials},),\n"
        f"    layers={settings.layers!r},\n    span=ReplySpan.{settings.span.value},\n"
        f"    random={settings.random},\n    max_new_tokens={settings.max_new_tokens},\n"
        f"    temperature={settings.temperature!r},\n    top_p={settings.top_p!r},\n"
        f"    seed={settings.seed},\n    earlier={settings.earlier!r},\n)\n"
        "for reply in Replies(reader, settings).all():\n"
        "    print(reply.name, reply.perplexity, reply.text)\n"
    )


def report_command(directory: Path) -> str:
    """Returns the command line that prints a run's report and draws its figures."""
    return f"{PROGRAM}.report {shlex.quote(str(directory))} --figures"


def explore_command(overrides: Sequence[str], options: Sequence[str] = ()) -> str:
    """Returns the command line that opens the page itself, or prints what `options` ask for."""
    return " ".join([PROGRAM, "explore", *map(shlex.quote, [*options, *overrides])])


def _opened(overrides: Sequence[str]) -> str:
    return OPENING.format(overrides=list(overrides))
