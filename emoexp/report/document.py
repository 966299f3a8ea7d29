"""The content of the report, as blocks that are independent of HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emoexp.report.blocks import (
    MARKS,
    Block,
    Cell,
    Heading,
    TableBlock,
    Text,
    in_order,
    marked,
    ranged,
)
from emoexp.report.by_layer import layer_blocks
from emoexp.report.expected import expected_blocks
from emoexp.report.groups import Part, Run, code_version, name_of, partial, without_layer
from emoexp.report.jobs import Jobs
from emoexp.report.provenance import run_blocks
from emoexp.stats.criteria import CRITERIA, EFFECT_FLOOR, GAP_FLOOR, MEASURES
from emoexp.views.terminal import show_value

RULE = (
    "Best layer: of those run, the one with most criteria both passed and informative; then with"
    " most passed; then the nearest to two thirds of the depth (if the depth is known); then the"
    " lowest."
)
CAVEAT = (
    "The best layer is chosen on the very numbers that are shown for it (multiple comparison): its"
    " counts are too high by what chance adds, and its intervals and nulls are those of a layer"
    " fixed beforehand. Quote the two-thirds layer, which is fixed beforehand; for the best one,"
    " measure it again on other stimuli."
)
INFORMATIVE = (
    "Informative: the value lies beyond the 95 % range of each of its nulls, on the passing side"
    f" (V7: and is at least {GAP_FLOOR:g} Elo). V10 and V11 pass on random directions too, so for"
    " them the effect's size decides, not the null that stands beside them: the 95 % interval of"
    " its ratio to that of isotropic directions and to that of shuffled labels lies above 1, and"
    f" mean |delta Elo| is at least {EFFECT_FLOOR:g}."
)
PARTIAL = (
    "What these runs had found when they failed. It is in no other table, no figure and no"
    " report.csv, and no best layer is chosen from it."
)
ORIGIN = ("stimuli", "stories", "written by", "span, seed", "code", "packages")
"""The columns of what the runs were measured with."""
MIXED = (
    "These runs differ in what makes numbers comparable (--mix): each group stands apart under its"
    " label."
)


def job_blocks(jobs: Jobs, failed: Sequence[Run]) -> list[Block]:
    """Returns which jobs failed, and what the runs that failed had found before."""
    blocks: list[Block] = [
        Heading("Jobs"),
        Text(jobs.summary() + ".", "bad" if jobs.troubles else "good"),
    ]
    if jobs.troubles:
        said = [(Cell(t.state, "bad"), *map(Cell, (t.job, t.why, t.path))) for t in jobs.troubles]
        blocks.append(TableBlock(("state", "job", "last line", "folder"), said, left=4))
    if failed:
        blocks += [Heading("Partial: found before the run failed", 3), Text(PARTIAL, "weak")]
        blocks += found_blocks(failed)
    return blocks


def found_blocks(runs: Sequence[Run]) -> list[Block]:
    """Returns the verdicts of runs that are in no table by layer, one row each, and what else is in
    their folders."""
    rows = []
    for run in runs:
        for v in sorted(run["verdicts"], key=lambda v: int(v["id"][1:])):
            names = (Cell(name_of(run)), Cell(f"{v['id']} {v['name']}"))
            threshold = Cell(f"{v['comparison']} {show_value(v, 'threshold')}")
            rows.append((*names, marked(v), ranged(v, "ci"), ranged(v, "null"), threshold))
    blocks: list[Block] = []
    if rows:
        columns = ("run", "criterion", "found", "95 %", "null 95 %", "threshold")
        blocks.append(TableBlock(columns, rows, left=2))
    for run in runs:
        also = []
        if run["metrics"]:
            also.append(f"{len(run['metrics'])} metrics in result.json")
        if tables := sorted(path.name for path in Path(run["path"]).glob("*.csv")):
            also.append(f"tables {', '.join(tables)}")
        if also:
            blocks.append(Text(f"{name_of(run)}: also {'; '.join(also)} ({run['path']})."))
    return blocks


def layer_words(part: Part) -> str:
    """Returns which layers were run, which is best, and which is at two thirds of the depth."""
    words = f"layers run: {', '.join(map(str, part.layers))}"
    if part.n_layers is not None:
        words += f" of 0..{part.n_layers - 1}"
    words += f"; best: {part.best} (of {len(part.layers)}); two thirds: "
    if part.two_thirds is None:
        return words + "not known, since no result.json says how many layers the model has"
    if part.two_thirds not in part.layers:
        return words + f"{part.two_thirds}, which was not run"
    return words + str(part.two_thirds)


def chosen_layers(part: Part) -> list[tuple[str, int]]:
    """Returns the best and the two-thirds layer with their headings; one where they are the same,
    or where the other was not run."""
    best, fixed = part.best, part.two_thirds
    if best == fixed:
        return [(f"layer {best} (best and two thirds)", best)]
    chosen = [(f"layer {best} (best)", best)]
    if fixed is not None and fixed in part.layers:
        chosen.append((f"layer {fixed} (two thirds)", fixed))
    return chosen


def verdict_blocks(part: Part) -> list[Block]:
    """Returns the verification table at the best layer and at two thirds, with the runs' notes."""
    verdicts = {title: part.at(layer) for title, layer in chosen_layers(part)}
    columns = ["criterion", "threshold"]
    for title in verdicts:
        columns += [title, "95 %", "null 95 %"]
    rows = []
    for identifier in in_order({v for at in verdicts.values() for v in at}):
        known = next(at[identifier] for at in verdicts.values() if identifier in at)
        threshold = f"{known['comparison']} {show_value(known, 'threshold')}"
        row = [Cell(f"{identifier} {known['name']}"), Cell(threshold)]
        for at in verdicts.values():
            v = at.get(identifier)
            row += [marked(v), ranged(v, "ci"), ranged(v, "null")]
        rows.append(tuple(row))
    rows += _size_rows(part, [layer for _, layer in chosen_layers(part)])
    counts = [
        f"{title}: {sum(v['passed'] for v in at.values())} of {len(at)} pass,"
        f" {sum(v['passed'] and v['informative'] for v in at.values())} of them informative"
        for title, at in verdicts.items()
    ]
    return [
        Heading(part.label, 3),
        Text(layer_words(part) + "."),
        TableBlock(tuple(columns), rows),
        Text("; ".join(counts) + "."),
        *_notes(part.runs),
    ]


def _size_rows(part: Part, layers: Sequence[int]) -> list[tuple[Cell, ...]]:
    """Returns the rows of the effect of steering, which decides whether V10 and V11 are
    informative."""
    sizes = {int(size["layer"]): size for size in part.sizes.to_dict("records")}
    if not sizes.keys() & set(layers):
        return []
    rows = []
    for name, key, rule in (
        ("effect ratio, emotions over isotropic", "effect_ratio", "95 % above 1"),
        ("effect ratio, emotions over shuffled labels", "over_shuffled", "95 % above 1"),
        ("mean |delta Elo|", "mean_abs_delta_elo", f">= {EFFECT_FLOOR:g}"),
    ):
        row = [Cell(name), Cell(rule)]
        for size in (sizes.get(layer, {}) for layer in layers):
            value, low, high = (size.get(key + end, np.nan) for end in ("", "_low", "_high"))
            interval = "" if np.isnan(low) else f"{low:.1f} .. {high:.1f}"
            row += [Cell("-" if np.isnan(value) else f"{value:.1f}"), Cell(interval), Cell("")]
        rows.append(tuple(row))
    return rows


def meaning_blocks(all_parts: Sequence[Part]) -> list[Block]:
    """Returns what each criterion measures, as a table."""
    shown = in_order(v for part in all_parts for v in part.rows["id"])
    rows = [(Cell(f"{v} {CRITERIA[v].name}"), Cell(MEASURES[v])) for v in shown]
    return [Heading("What each criterion measures", 3), TableBlock(("criterion", ""), rows, left=2)]


def _notes(runs: Sequence[Run]) -> list[Block]:
    """Returns the notes of the runs, each once with its layers."""
    layers_of: dict[str, set[int]] = {}
    for run in runs:
        for note in run["notes"]:
            layers_of.setdefault(note, set()).add(run["layer"])
    return [
        Text(f"Layer {', '.join(map(str, sorted(layers)))}: {note}", "weak")
        for note, layers in layers_of.items()
    ]


def comparison(all_parts: Sequence[Part]) -> TableBlock:
    """Returns a table with a row per criterion, a column for each model at its best and at its
    two-thirds layer, and columns for the paper and the Llama-8B reproduction."""
    columns = [
        (f"{part.label}, {title}", part.at(layer))
        for part in all_parts
        for title, layer in chosen_layers(part)
    ]
    rows = []
    for identifier in in_order({v for _, at in columns for v in at}):
        known = next(at[identifier] for _, at in columns if identifier in at)
        name = Cell(f"{identifier} {known['name']}")
        own = (marked(at.get(identifier)) for _, at in columns)
        published = (Cell(show_value(known, key) or "-") for key in ("paper", "llama8b"))
        rows.append((name, *own, *published))
    both = [sum(v["passed"] and v["informative"] for v in at.values()) for _, at in columns]
    passed = [sum(v["passed"] for v in at.values()) for _, at in columns]
    for text, sums in (("passed", passed), ("passed and informative", both)):
        totals = (Cell(f"{s}/{len(at)}") for s, (_, at) in zip(sums, columns, strict=True))
        rows.append((Cell(text), *totals, Cell(""), Cell("")))
    titles = [title for title, _ in columns]
    return TableBlock(("criterion", *titles, "paper (Claude)", "Llama-8B"), rows)


def _origin(run: Run) -> dict[str, str]:
    """Returns what a run was measured with, by the columns of a table; what it did not use is
    empty."""
    pack, corpus, provenance = run["stimuli"], run["corpus"], run["provenance"]
    code = code_version(run)
    if (commit := provenance.get("commit")) and run.get("code"):
        changes = ", with uncommitted changes" if provenance.get("dirty") else ""
        code += f" (commit {commit[:8]}{changes})"
    packages = provenance.get("packages", {})
    shown = [name for name in ("torch", "transformers", "nnsight") if name in packages]
    stimuli = stories = author = ""
    if pack is not None:
        stimuli = f"{pack['name']} {pack['sha256'][:8]}, by {pack.get('author', '?')}"
    if corpus is not None:
        stories = f"{corpus['name']} {corpus['sha256'][:8]}, {corpus.get('stories', '?')}"
        author = str(corpus.get("author", "?"))
    versions = ", ".join(f"{name} {packages[name]}" for name in shown)
    cells = (stimuli, stories, author, f"{run['span']}, {run['seed']}", code, versions)
    return dict(zip(ORIGIN, cells, strict=True))


def origin_blocks(all_parts: Sequence[Part]) -> list[Block]:
    """Returns a table of stimuli, stories, who wrote them, code and versions, per group and
    model."""
    rows = []
    for part in all_parts:
        origins = [_origin(run) for run in part.runs]
        found = (dict.fromkeys(o[column] for o in origins if o[column]) for column in ORIGIN)
        rows.append((Cell(part.label), *(Cell("; ".join(values) or "-") for values in found)))
    return [TableBlock(("model", *ORIGIN), rows, left=7)]


def replaced_blocks(older: Sequence[tuple[str, str]]) -> list[Block]:
    """Returns which runs measured the same thing as newer ones; nothing without any."""
    if not older:
        return []
    text = f"Measured more than once; the newest stands, of {len(older)} pairs of runs:"
    rows = [(Cell(Path(a).as_posix()), Cell(Path(b).as_posix())) for a, b in older]
    return [Text(text, "weak"), TableBlock(("older", "newest"), rows, left=2)]


def document(
    jobs: Jobs, all_parts: Sequence[Part], older: Sequence[tuple[str, str]], runs: Sequence[Run]
) -> list[Block]:
    """Returns all blocks, in the order in which they should be read.

    Args:
        older: the (older, newer) folders of runs that measured the same thing.
        runs: all runs, those that failed and those that have no layer included.
    """
    blocks = job_blocks(jobs, partial(runs))
    if without := without_layer(runs):
        text = "Finished runs of an experiment that reads no layer; not in the tables by layer."
        blocks += [Heading("At no layer"), Text(text), *found_blocks(without)]
    if not all_parts:
        text = "No finished run has verdicts at a layer: there is nothing to compare."
        return [*blocks, Text(text, "bad"), *run_blocks(runs)]
    if any(part.group for part in all_parts):
        blocks.append(Text(MIXED, "bad"))
    blocks += [Heading("Verification"), Text(RULE), Text(CAVEAT), Text(MARKS), Text(INFORMATIVE)]
    for part in all_parts:
        blocks += verdict_blocks(part)
    blocks += meaning_blocks(all_parts)
    blocks += expected_blocks(all_parts)
    blocks += layer_blocks(all_parts)
    blocks += [Heading("Models side by side"), comparison(all_parts), Text(MARKS)]
    blocks += [Heading("What it was measured with"), *origin_blocks(all_parts)]
    return [*blocks, *replaced_blocks(older), *run_blocks(runs)]
