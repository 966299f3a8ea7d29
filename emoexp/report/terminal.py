"""The report in a terminal: what went wrong, then tables of criteria by layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoexp.console import print_line, print_table
from emoexp.figures.validation import SIZE_DECIDES
from emoexp.report.blocks import in_order, marked
from emoexp.report.document import layer_words
from emoexp.report.expected import summary
from emoexp.report.groups import Part, Run, name_of, partial, without_layer
from emoexp.report.jobs import Jobs

COLOURS = {"good": "green", "weak": "yellow"}


def _cell(verdict: dict[str, Any] | None) -> str:
    """Returns a verdict's value and mark, coloured by what it is worth."""
    cell = marked(verdict)
    return f"[{COLOURS[cell.kind]}]{cell.text}[/]" if cell.kind in COLOURS else cell.text


def layer_table(part: Part) -> Table:
    """Lays out V1 to V11 by layer, and the effect ratio below."""
    caption = "* passes and is informative   ~ passes, not above its null   plain: fails"
    if not part.sizes.empty:
        caption += f"\n{SIZE_DECIDES}, the effect ratio"
    run = part.runs[-1]
    title = f"{part.model}, span {run['span']}, seed {run['seed']}, by layer"
    if part.group:
        title += f" [{part.group}]"
    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    table = Table("layer", title=escape(title), caption=caption, **left)
    layers = part.layers
    for layer in layers:
        table.add_column(str(layer), justify="right")
    verdicts = [part.at(layer) for layer in layers]
    names = {v["id"]: v["name"] for at in verdicts for v in at.values()}
    for identifier in in_order(names):
        cells = (_cell(at.get(identifier)) for at in verdicts)
        table.add_row(f"{identifier} {names[identifier]}", *cells)
    if not part.sizes.empty:
        sizes = {int(size["layer"]): size for size in part.sizes.to_dict("records")}
        ratio = "effect ratio, emotions over isotropic"
        for name, key in ((ratio, "effect_ratio"), ("mean |delta Elo|", "mean_abs_delta_elo")):
            cells = (f"{sizes[layer][key]:.1f}" if layer in sizes else "-" for layer in layers)
            table.add_row(name, *cells)
    passed = (f"{sum(v['passed'] for v in at.values())}/{len(at)}" for at in verdicts)
    table.add_row("passed", *passed)
    return table


def found_line(run: Run) -> str:
    """Returns the values that a run found which is in no table by layer."""
    verdicts = sorted(run["verdicts"], key=lambda v: int(v["id"][1:]))
    values = [f"{v['id']} {marked(v).text}" for v in verdicts]
    if run["metrics"]:
        values.append(f"{len(run['metrics'])} metrics")
    return f"{name_of(run)}: {', '.join(values)}"


def show(
    console: Console, jobs: Jobs, all_parts: Sequence[Part], older: int, runs: Sequence[Run]
) -> None:
    """Prints failed, killed and missing jobs first, and what they found; then one table per model
    and group.

    Args:
        older: how many pairs of runs measured the same thing.
        runs: all runs, those that failed and those that have no layer included.
    """
    for trouble in jobs.troubles:
        said = escape(f"{trouble.job}: {trouble.why} ({trouble.path})")
        console.print(f"[red]{trouble.state}[/] {said}", soft_wrap=True)
    for run in partial(runs):
        print_line(console, f"[yellow]partial[/] {escape(found_line(run))}")
    print_line(console, escape(jobs.summary()))
    for run in without_layer(runs):
        print_line(console, f"at no layer: {escape(found_line(run))}")
    for part in all_parts:
        print_table(console, layer_table(part))
        print_line(console, escape(layer_words(part)))
        if line := summary(part):
            print_line(console, f"expected against found: {escape(line.text)}")
    if older:
        what = f"{older} pairs of runs measured the same thing: the newest stands"
        print_line(console, f"[yellow]note:[/] {what}")
