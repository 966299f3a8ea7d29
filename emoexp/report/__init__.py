"""One report over many runs: `python -m emoexp.report DIR...`. What failed first, then tables,
curves, comparison, provenance."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from emoexp.errors import EmoexpError
from emoexp.figures.draw import draw_run
from emoexp.report.document import document
from emoexp.report.groups import (
    grouped,
    load_runs,
    measured,
    partial,
    parts,
    replaced,
    verdict_rows,
    without_layer,
)
from emoexp.report.jobs import look
from emoexp.report.render import html, markdown
from emoexp.report.terminal import layer_table, show
from emoexp.store.record import RESULT

__all__ = ["layer_table", "load_runs", "main", "report", "report_sweep"]


def report(
    directories: Sequence[Path],
    *,
    html_file: Path | None = None,
    markdown_file: Path | None = None,
    csv_file: Path | None = None,
    mix: bool = False,
) -> None:
    """Prints the tables, and writes report.html, report.md with its figures, and report.csv into
    the first directory, or where told.

    Raises:
        EmoexpError: there are no runs, they may not be laid side by side (see `groups.facts`) and
            `mix` is not given, or a file cannot be written.
    """
    runs = load_runs(directories)
    jobs = look(directories, runs)
    groups = grouped(done, mix) if (done := measured(runs)) else {}
    table = verdict_rows(groups) if groups else None
    found, older = ([], []) if table is None else (parts(groups, table), replaced(table))
    console = Console(width=None if Console().is_terminal else 160)
    apart = {"partial": partial(runs), "without": without_layer(runs)}
    show(console, jobs, found, len(older), **apart)
    title = f"emoexp: {', '.join(dict.fromkeys(part.model for part in found)) or 'no finished run'}"
    blocks = document(jobs, found, older, mixed=len(groups) > 1, **apart)
    page, text, values = (
        given or directories[0] / name
        for given, name in (
            (html_file, "report.html"),
            (markdown_file, "report.md"),
            (csv_file, "report.csv"),
        )
    )
    try:
        page.write_text(html(title, blocks), encoding="utf-8")
        text.write_text(markdown(title, blocks, text.parent), encoding="utf-8")
        if table is not None:
            chosen = {(p.group, p.model): (p.best, p.two_thirds, p.n_layers) for p in found}
            of_run = [chosen[key] for key in zip(table["group"], table["model"], strict=True)]
            marks = {
                "n_layers": [n for _, _, n in of_run],
                "is_best_layer": [
                    layer == best
                    for layer, (best, _, _) in zip(table["layer"], of_run, strict=True)
                ],
                "is_two_thirds": [
                    layer == fixed
                    for layer, (_, fixed, _) in zip(table["layer"], of_run, strict=True)
                ],
            }
            table.assign(**marks).to_csv(values, index=False)
    except OSError as error:
        raise EmoexpError(
            f"the report cannot be written: {error}; give --html, --markdown and --csv files in a"
            " folder that can be written to"
        ) from error
    written = [page, text] + ([values] if table is not None else [])
    console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True, markup=False)


def report_sweep(directory: Path) -> None:
    """The report of a sweep that has just ended, however it ended. What keeps it from being made is
    one line, for it must not hide the sweep's own error."""
    try:
        report([directory], mix=True)
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: no report: {error}\n")


class Parser(argparse.ArgumentParser):
    """Argparse whose complaint is one line, as everywhere here."""

    def error(self, message: str) -> NoReturn:
        raise EmoexpError(f"python -m emoexp.report: {message} (python -m emoexp.report --help)")


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m emoexp.report`: a user's mistake is one line and exit status 2."""
    parser = Parser(
        prog="python -m emoexp.report",
        description="One report over any number of sweeps and single runs.",
    )
    parser.add_argument(
        "directories",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a run, a sweep, or a folder of them",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="default: report.html in the first DIR"
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="default: report.md in the first DIR; figures are saved beside it",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="default: report.csv in the first DIR; one row per run and criterion",
    )
    parser.add_argument(
        "--mix",
        action="store_true",
        help=(
            "show runs of different packs, corpora, spans, seeds, code or settings, as separate"
            " groups"
        ),
    )
    parser.add_argument(
        "--figures",
        action="store_true",
        help="draw the figures of every run again, and nothing else; no model is loaded",
    )
    try:
        chosen = parser.parse_args(arguments)
        if chosen.figures:
            draw_figures(chosen.directories)
            return
        report(
            chosen.directories,
            html_file=chosen.html,
            markdown_file=chosen.markdown,
            csv_file=chosen.csv,
            mix=chosen.mix,
        )
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: {error}\n")
        sys.exit(2)


def draw_figures(directories: Sequence[Path]) -> None:
    """Draws the figures of every run below the directories again.

    Raises:
        EmoexpError: there is no run, or a figure could not be drawn.
    """
    folders = {path.parent for d in directories for path in d.glob(f"**/{RESULT}")}
    if not folders:
        places = ", ".join(map(str, directories))
        raise EmoexpError(f"no {RESULT} below {places}: give the directory of a run or a sweep")
    failed = []
    for folder in sorted(folders):
        failed += [f"{folder}: {line}" for line in draw_run(folder)]
    sys.stdout.write(f"figures drawn: {len(folders)} run(s)\n")
    if failed:
        raise EmoexpError("; ".join(failed))
