"""The section of the runs: the command of each, when it ran, the settings in which runs differ, and
links to its folder and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emoexp.report.blocks import Block, Cell, Code, Heading, TableBlock, Text
from emoexp.report.groups import UNREADABLE, Run, apart, facts, name_of


def _row(run: Run, differing: Sequence[str]) -> tuple[Cell, ...]:
    """Returns the row of a run."""
    folder, own = Path(run["path"]), facts(run)
    figures = tuple((file.stem, file) for file in sorted(folder.glob("*.png")))
    settings = "; ".join(f"{name} {own[name]}" for name in differing if name in own)
    return (
        Cell(name_of(run)),
        Cell(run["state"]),
        Cell(str(run["started"])),
        Cell(settings or "none"),
        Cell("", links=((folder.name, folder),)),
        Cell("", links=figures),
    )


def run_blocks(runs: Sequence[Run]) -> list[Block]:
    """Returns the settings that all runs share, then each command with its runs."""
    known = [run for run in runs if run["state"] != UNREADABLE]
    if not known:
        return []
    differing, shared = list(apart(known)), facts(known[0])
    same = [f"{name} {value}" for name, value in shared.items() if name not in differing]
    blocks: list[Block] = [Heading("Runs")]
    if same:
        blocks.append(Text(f"Settings of all runs: {'; '.join(same)}."))
    by_command: dict[str, list[Run]] = {}
    for run in known:
        by_command.setdefault(run["command"], []).append(run)
    columns = ("run", "state", "started (UTC)", "settings that differ", "folder", "figures")
    for line, of in by_command.items():
        rows = [_row(run, differing) for run in of]
        blocks += [Code(line), TableBlock(columns, rows, left=len(columns))]
    return blocks
