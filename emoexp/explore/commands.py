"""The command and the Python lines that reproduce what a page shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
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
    return _line([*options, *([] if as_turn else ["--text-alone"])], overrides)


def read_python(
    overrides: Sequence[str], text: str, as_turn: bool, layer: int, read_out: str
) -> str:
    """Returns the Python lines that print the same table."""
    return OPENING.format(overrides=list(overrides)) + (
        f"reading = reader.read({text!r}, as_turn={as_turn})\n"
        f"print(reading.token_table({layer}, {read_out!r}).to_csv(index=False))\n"
    )


def compare_python(
    overrides: Sequence[str],
    texts: tuple[tuple[str, bool], tuple[str, bool]],
    layers: tuple[int, int],
    parts: tuple[Part, Part],
    read_out: str,
) -> str:
    """Returns the Python lines that print a comparison; a text comes with whether it is a turn."""
    (a, a_turn), (b, b_turn) = texts
    return (
        "from emoexp.explore.reading import compare\n"
        + OPENING.format(overrides=list(overrides))
        + f"a = reader.read({a!r}, as_turn={a_turn})\n"
        f"b = reader.read({b!r}, as_turn={b_turn})\n"
        f"table = compare(a, b, {layers!r}, {parts!r}, {read_out!r})\n"
        "print(table.to_csv(index=False))\n"
    )


def steer_command(overrides: Sequence[str], settings: Settings) -> str:
    """Returns the command line that prints the replies, token by token, as CSV."""
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
    return _line(options, overrides)


def steer_python(overrides: Sequence[str], settings: Settings) -> str:
    """Returns the Python lines that print the same replies."""
    dials = ", ".join(f"Dial({dial.emotion!r}, {dial.strength!r})" for dial in settings.dials)
    return (
        "from emoexp.config import ReplySpan\n"
        "from emoexp.explore.steering import Dial, Replies, Settings\n"
        + OPENING.format(overrides=list(overrides))
        + f"settings = Settings(\n    {settings.question!r},\n    dials=({dials},),\n"
        f"    layers={settings.layers!r},\n    span=ReplySpan.{settings.span.value},\n"
        f"    random={settings.random},\n    max_new_tokens={settings.max_new_tokens},\n"
        f"    temperature={settings.temperature!r},\n    top_p={settings.top_p!r},\n"
        f"    seed={settings.seed},\n)\n"
        "for reply in Replies(reader, settings).all():\n"
        "    print(reply.name, reply.perplexity, reply.text)\n"
    )


def report_command(directory: Path) -> str:
    """Returns the command line that prints a run's report and draws its figures."""
    return f"{PROGRAM}.report {shlex.quote(str(directory))} --figures"


def explore_command(overrides: Sequence[str]) -> str:
    """Returns the command line that opens the page itself."""
    return _line([], overrides)


def _line(options: Sequence[str], overrides: Sequence[str]) -> str:
    return " ".join([PROGRAM, "explore", *map(shlex.quote, [*options, *overrides])])
