"""One report over many runs, `python -m emoexp.report DIR...`: what failed first, then tables,
curves, comparison, provenance."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emoexp.console import open_console
from emoexp.errors import EmoexpError, OneLineParser, one_line_errors
from emoexp.figures.draw import draw_run
from emoexp.report import groups as grouping
from emoexp.report.document import document
from emoexp.report.groups import UNREADABLE, Part, load_runs
from emoexp.report.jobs import look
from emoexp.report.render import html, markdown
from emoexp.report.terminal import layer_table, show

__all__ = ["layer_table", "load_runs", "main", "report", "report_sweep"]


def report(
    directories: Sequence[Path],
    *,
    html_file: Path | None = None,
    markdown_file: Path | None = None,
    csv_file: Path | None = None,
    mix: bool = False,
) -> int:
    """Writes report.html, report.md with its figures, and report.csv into the first directory, or
    into the files that are given, and prints the tables.

    Returns:
        how many runs have finished.

    Raises:
        EmoexpError: there are no runs, they may not be laid side by side (see `groups.facts`) and
            `mix` is not given, or a file cannot be written.
    """
    runs = load_runs(directories)
    jobs = look(directories, runs)
    finished = grouping.measured(runs)
    groups = grouping.grouped(finished, mix) if finished else {}
    table = grouping.verdict_rows(groups) if groups else None
    all_parts = [] if table is None else grouping.parts(groups, table)
    older = [] if table is None else grouping.replaced(table)
    models = ", ".join(dict.fromkeys(part.model for part in all_parts))
    title = f"emoexp: {models or 'no finished run'}"
    blocks = document(jobs, all_parts, older, runs)
    page = html_file or directories[0] / "report.html"
    text = markdown_file or directories[0] / "report.md"
    values = csv_file or directories[0] / "report.csv"
    try:
        page.write_text(html(title, blocks, page.parent), encoding="utf-8")
        text.write_text(markdown(title, blocks, text.parent), encoding="utf-8")
        if table is not None:
            with_choice(table, all_parts).to_csv(values, index=False)
    except OSError as error:
        raise EmoexpError(
            f"the report cannot be written: {error}; give --html, --markdown and --csv files in a"
            " folder that can be written to"
        ) from error
    written = [page, text] if table is None else [page, text, values]
    console = open_console()  # may be closed: files first
    show(console, jobs, all_parts, len(older), runs)
    console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True, markup=False)
    return jobs.finished


def with_choice(table: pd.DataFrame, all_parts: Sequence[Part]) -> pd.DataFrame:
    """Adds n_layers, is_best_layer and is_two_thirds to the table of verdicts."""
    rows = [(p.group, p.model, p.n_layers, p.best, p.two_thirds) for p in all_parts]
    chosen = pd.DataFrame(rows, columns=["group", "model", "n_layers", "best", "two_thirds"])
    table = table.merge(chosen, on=["group", "model"], how="left", validate="many_to_one")
    best, fixed = table.pop("best"), table.pop("two_thirds")
    return table.assign(is_best_layer=table["layer"] == best, is_two_thirds=table["layer"] == fixed)


def report_sweep(directory: Path) -> None:
    """Makes the report of a sweep that has just ended, however it ended. An error is one line on
    standard error, since it must not hide the sweep's own error."""
    try:
        report([directory], mix=True)
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: no report: {error}\n")


def _parser() -> OneLineParser:
    """Returns the parser of the command line."""
    parser = OneLineParser(
        prog="python -m emoexp.report",
        description="One report over any number of sweeps and single runs.",
    )

    def file(name: str, text: str) -> None:
        parser.add_argument(name, type=Path, metavar="FILE", help=f"default: {text}")

    text = "a run, a sweep, or a folder of them"
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help=text)
    file("--html", "report.html in the first DIR")
    file("--markdown", "report.md in the first DIR; figures are saved beside it")
    file("--csv", "report.csv in the first DIR; one row per run and criterion")
    text = (
        "show runs of different packs, corpora, spans, seeds, code or settings, as separate groups"
    )
    parser.add_argument("--mix", action="store_true", help=text)
    text = "draw the figures of every run again, and nothing else; no model is loaded"
    parser.add_argument("--figures", action="store_true", help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `python -m emoexp.report`; a user's mistake is one line and exit status 2, and no run
    that has finished is exit status 1."""
    with one_line_errors():
        chosen = _parser().parse_args(arguments)
        if chosen.figures:
            draw_figures(chosen.directories)
            return
        files = {f"{name}_file": getattr(chosen, name) for name in ("html", "markdown", "csv")}
        if not report(chosen.directories, mix=chosen.mix, **files):
            sys.exit(1)


def draw_figures(directories: Sequence[Path]) -> None:
    """Draws the figures of every run below the directories again.

    Raises:
        EmoexpError: there is no run, or a figure could not be drawn.
    """
    folders = [Path(r["path"]) for r in load_runs(directories) if r["state"] != UNREADABLE]
    failed = [f"{folder}: {line}" for folder in sorted(folders) for line in draw_run(folder)]
    for line in failed:
        sys.stderr.write(f"emoexp: {line}\n")
    sys.stdout.write(f"figures drawn: {len(folders)} run(s)\n")
    if failed:
        raise EmoexpError(f"{len(failed)} figure(s) could not be drawn")
