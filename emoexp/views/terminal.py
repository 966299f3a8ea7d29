"""A run in the terminal: its verdicts, the tables worth reading at once, and its notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoexp.console import open_console, print_line, print_table
from emoexp.stats.criteria import COUNTS, CRITERIA, EFFECT_FLOOR, Verdict
from emoexp.stats.digits import short
from emoexp.stats.labels import ISOTROPIC, SHUFFLED
from emoexp.store.record import RunRecord, SavedRun
from emoexp.stories.losses import WARNING
from emoexp.views import geometry
from emoexp.views.formats import FORMATS

HIDDEN = {("verify", "elo_by_category"), ("verify", "numeric_sizes")}
"""Tables that an experiment's terminal leaves out."""
COLUMNS = (
    *("", "criterion", "value", "95 %", "threshold", "passed"),
    *("null 95 %", "informative", "paper", "Llama-8B"),
)


def show_value(verdict: dict[str, Any], key: str = "value") -> str:
    """Formats a number of a verdict: a count as `k/n`, anything else with its digits.

    A published count is out of the n for which it was published.
    """
    value = verdict[key]
    if value is None:
        return ""
    if verdict["id"] in COUNTS and key in ("value", "threshold"):
        return f"{value:.0f}/{verdict['n']}"
    if key in ("paper", "llama8b") and (published := CRITERIA[verdict["id"]].published_n):
        return f"{value:.0f}/{published}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return short(value) if verdict["id"] in (*COUNTS, "V8") else f"{value:z.2f}"


def verdict_cells(verdict: Verdict) -> list[str]:
    """Returns a verdict as the texts of `COLUMNS`."""
    v = verdict.as_dict()
    not_above = "no: not above its null" if v["passed"] else "no"
    return [
        v["id"],
        v["name"],
        show_value(v),
        f"{show_value(v, 'ci_low')} .. {show_value(v, 'ci_high')}",
        f"{v['comparison']} {show_value(v, 'threshold')}",
        "yes" if v["passed"] else "no",
        f"{show_value(v, 'null_low')} .. {show_value(v, 'null_high')}",
        "yes" if v["informative"] else not_above,
        show_value(v, "paper"),
        show_value(v, "llama8b"),
    ]


def size_line(record: RunRecord) -> str:
    """Returns the effect ratio that decides whether V10 and V11 are informative; empty where it was
    not measured."""
    judged, metrics = {verdict.id for verdict in record.verdicts}, record.metrics
    if not judged & {"V10", "V11"} or not {"effect_ratio", "mean_abs_delta_elo"} <= set(metrics):
        return ""
    over = {ISOTROPIC: "effect_ratio", SHUFFLED: "effect_ratio_over_shuffled"}
    ratios = [
        f"{metrics[key]:.2f} over {label} ({metrics[f'{key}_low']:.2f} .."
        f" {metrics[f'{key}_high']:.2f})"
        for label, key in over.items()
        if f"{key}_low" in metrics
    ]
    return (
        "V10, V11: informative by the size of the effect, not by the null beside them: effect ratio"
        f" {', '.join(ratios)}, each interval must be above 1; mean |delta Elo|"
        f" {short(metrics['mean_abs_delta_elo'])} (at least {EFFECT_FLOOR:g})"
    )


def verdict_table(verdicts: Sequence[Verdict], title: str) -> Table:
    """Lays out the verification table: passed and informative are two columns."""
    table = Table(title=title, title_justify="left", caption_style="bold red")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    passed, informative = COLUMNS.index("passed"), COLUMNS.index("informative")
    for verdict in verdicts:
        cells = verdict_cells(verdict)
        cells[passed] = "[green]yes[/]" if verdict.passed else "[red]no[/]"
        colour = "green" if verdict.informative else "yellow" if verdict.passed else ""
        if colour:
            cells[informative] = f"[{colour}]{cells[informative]}[/]"
        table.add_row(*cells)
    return table


def frame_table(frame: pd.DataFrame, title: str) -> Table:
    """Lays out any data frame."""
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        number = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="right" if number else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*map(show_cell, row))
    return table


def show_cell(cell: Any) -> str:
    """Formats a cell of a data frame."""
    return short(cell) if isinstance(cell, float) else escape(str(cell))


def origin(record: RunRecord) -> str:
    """Returns one line about the pack, the stories and their author, and how answers were read."""
    pack, corpus, parts = record.stimuli, record.corpus, []
    if pack is not None:
        parts.append(f"stimuli: {pack['name']} {pack['sha256'][:8]}")
    if corpus is not None:
        counts = corpus["rejected"].values()
        rejected = sum(sum(n.values()) if isinstance(n, dict) else n for n in counts)
        less = f", {rejected} rejected" if rejected else ""
        parts.append(f"stories: {corpus['name']}, {corpus['stories']} by {corpus['author']}{less}")
    if (answers := record.answers) is not None:
        first, second = answers["options"]
        parts.append(
            f"answers: {answers['reading']}, {first!r} or {second!r} after {answers['after']!r}, "
            f"p(A) + p(B) {answers['mass']:.2f} ({answers['mass_below_half']:.0%} of prompts "
            "below .5)"
        )
    return "; ".join(parts)


def headline(record: RunRecord) -> str:
    """Returns the title of a run: experiment, model, layer and span."""
    where = f"{record.experiment}: {record.model}"
    if record.layer is not None:
        where += f", layer {record.layer} of 0..{(record.n_layers or 0) - 1}"
    return f"{where}, span {record.span}"


def tables_of(run: SavedRun) -> list[tuple[str, pd.DataFrame]]:
    """Returns the tables that the terminal shows, formatted, by their titles."""
    return [
        (title, layout(run))
        for title, (name, layout) in (FORMATS | geometry.FORMATS).items()
        if name in run.names and (run.record.experiment, name) not in HIDDEN
    ]


def print_run(run: SavedRun, console: Console | None = None) -> None:
    """Prints a saved run."""
    record = run.record
    console = console or open_console()
    if record.verdicts:
        verdicts = verdict_table(record.verdicts, headline(record))
        warnings = [escape(note) for note in record.notes if note.startswith(WARNING)]
        verdicts.caption = "\n".join(warnings) or None
        print_table(console, verdicts)
        passed, informative = (
            sum(getattr(v, k) for v in record.verdicts) for k in ("passed", "informative")
        )
        both = sum(v.passed and v.informative for v in record.verdicts)
        counts = f"{passed} of {len(record.verdicts)} pass, {informative} are informative"
        print_line(console, f"{counts}, {both} are both.")
        if line := size_line(record):
            print_line(console, line)
    for title, table in tables_of(run):
        print_table(console, frame_table(table, title))
    if numbers := record.metrics | record.comparison:
        line = ", ".join(f"{name} {short(value, 4)}" for name, value in numbers.items())
        print_line(console, f"[dim]{line}[/]")
    for note in (n for n in record.notes if not (record.verdicts and n.startswith(WARNING))):
        print_line(console, f"[yellow]note:[/] {escape(note)}")
    if text := origin(record):
        print_line(console, escape(text))
    console.print(f"results: {escape(str(run.directory))}", soft_wrap=True)
