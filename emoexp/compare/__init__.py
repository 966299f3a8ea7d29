"""How similar are the geometries of two models? `python -m emoexp.compare RUN RUN [RUN ...]`.

It compares saved runs of experiment=geometry, of different models, corpora, formats or packs, and
loads no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape

from emoexp.compare.layout import depth_table, summary_table
from emoexp.compare.runs import labels, load_spaces, remarks
from emoexp.console import open_console, print_line, print_table
from emoexp.errors import EmoexpError, OneLineParser, one_line_errors, require
from emoexp.figures.files import save
from emoexp.figures.geometry.between_runs import between_runs
from emoexp.figures.style import styled
from emoexp.geometry.between import Similarity, common_names, compare
from emoexp.store.artifacts import write_text
from emoexp.store.progress import track
from emoexp.views.terminal import frame_table

__all__ = ["compare_runs", "main"]

DRAWS, FEWEST_DRAWS = 1000, 100


def compare_runs(directories: Sequence[Path], out: Path, *, draws: int, seed: int) -> None:
    """Compares all pairs of the runs below the directories: prints tables, and writes
    similarity.csv, similarity_summary.csv and a map for each pair to `out`.

    Raises:
        EmoexpError: fewer than two runs, a pair with too few common emotions, or a file that cannot
            be read or written.
    """
    require(draws >= FEWEST_DRAWS, f"--draws {draws} is too few: at least {FEWEST_DRAWS}")
    spaces = load_spaces(directories)
    names = labels(spaces)
    pairs = list(combinations(range(len(spaces)), 2))
    for i, j in pairs:
        common_names(spaces[i].cosines, spaces[j].cosines)
    console = open_console()
    maps: list[pd.DataFrame] = []
    summaries: list[pd.DataFrame] = []
    for i, j in track(pairs, "pairs of runs"):
        found = compare(spaces[i].cosines, spaces[j].cosines, draws=draws, seed=seed)
        _show(console, found, (names[i], names[j]), remarks(spaces[i], spaces[j]))
        for table, tables in ((found.layers, maps), (found.summary, summaries)):
            table.insert(0, "run_b", names[j])
            table.insert(0, "run_a", names[i])
            tables.append(table)
    written = _write(out, maps, summaries)
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True, markup=False)


def _show(
    console: Console, found: Similarity, names: tuple[str, str], notes: Sequence[str]
) -> None:
    """Prints the comparison of two runs."""
    n = int(found.summary["n"].iloc[0])
    title = f"a: {names[0]}\nb: {names[1]}\n{n} common emotions, Spearman's rho of their cosines"
    print_table(console, frame_table(summary_table(found.summary), escape(title)))
    title = "rho by relative depth: a in rows, b in columns"
    print_table(console, frame_table(depth_table(found.layers), title))
    for note in notes:
        print_line(console, f"[yellow]note:[/] {escape(note)}")


def _write(
    out: Path, maps: Sequence[pd.DataFrame], summaries: Sequence[pd.DataFrame]
) -> list[Path]:
    """Writes the tables and a map for each pair, and returns the files."""
    files = [out / "similarity.csv", out / "similarity_summary.csv"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, tables in zip(files, (maps, summaries), strict=True):
            write_text(file, pd.concat(tables).to_csv(index=False))
        for number, table in enumerate(maps, 1):
            a, b = (str(table[name].iloc[0]) for name in ("run_a", "run_b"))
            name = "similarity" if len(maps) == 1 else f"similarity_{number}_{_slug(a)}_{_slug(b)}"
            with styled():
                figure = between_runs(table, f"a: {a}, b: {b}")
            files += save(figure, out, name)
    except OSError as error:
        raise EmoexpError(
            f"the comparison cannot be written: {error}; give --out a folder that can be written to"
        ) from error
    return files


def _slug(label: str) -> str:
    """Returns a label as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-")[:40]


def _parser() -> OneLineParser:
    """Returns the parser of the command line."""
    parser = OneLineParser(
        prog="python -m emoexp.compare",
        description="How similar are the emotion spaces of two models, corpora or packs?",
    )
    text = "a run of experiment=geometry, or a sweep of such runs"
    parser.add_argument("directories", nargs="+", type=Path, metavar="RUN", help=text)
    text = "where the tables and maps are written (default: the first RUN)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    text = f"permutations, and resamples of the emotions (default: {DRAWS})"
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of both (default: 0)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `python -m emoexp.compare`; a user's mistake is one line and exit status 2."""
    with one_line_errors():
        chosen = _parser().parse_args(arguments)
        out = chosen.out or chosen.directories[0]
        compare_runs(chosen.directories, out, draws=chosen.draws, seed=chosen.seed)
