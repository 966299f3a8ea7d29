"""What the report says, as blocks that know nothing of HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from emoexp.figures import detection_and_steering, layer_curves
from emoexp.report.groups import Part, code_version
from emoexp.report.jobs import Jobs
from emoexp.result import show_value

RULE = (
    "Best layer: of those run, the one with most criteria both passed and informative; then with most passed; then the nearest to two thirds of "
    "the depth (if the depth is known); then the lowest."
)
CAVEAT = (
    "The best layer is chosen on the very numbers that are shown for it (multiple comparison): its counts are too high by what chance adds, and its "
    "intervals and nulls are those of a layer fixed beforehand. Quote the two-thirds layer, which is fixed beforehand; for the best one, measure it "
    "again on other stimuli."
)
MARKS = "* passes and is informative; ~ passes, but so does noise; plain: fails; -: not measured."


class Cell(NamedTuple):
    """Text of a table's cell; `kind` is good, weak, bad or nothing."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str
    kind: str = ""


@dataclass(frozen=True)
class TableBlock:
    """Columns named in `left` are text, the others numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    left: int = 1


@dataclass(frozen=True)
class FigureBlock:
    """`name` is the file that Markdown links to."""

    name: str
    figure: Figure
    caption: str


Block = Heading | Text | TableBlock | FigureBlock


def marked(verdict: dict[str, Any] | None) -> Cell:
    """The value and what it is worth."""
    if verdict is None:
        return Cell("-")
    if not verdict["passed"]:
        return Cell(show_value(verdict), "bad")
    return Cell(f"{show_value(verdict)} *", "good") if verdict["informative"] else Cell(f"{show_value(verdict)} ~", "weak")


def _order(identifiers: set[str]) -> list[str]:
    return sorted(identifiers, key=lambda v: int(v[1:]))


def _range(verdict: dict[str, Any] | None, name: str) -> Cell:
    return Cell("" if verdict is None else f"{show_value(verdict, f'{name}_low')} .. {show_value(verdict, f'{name}_high')}")


def job_blocks(jobs: Jobs) -> list[Block]:
    blocks: list[Block] = [Heading("Jobs"), Text(jobs.summary() + ".", "bad" if jobs.troubles else "good")]
    if jobs.troubles:
        rows = [(Cell(t.state, "bad"), Cell(t.job), Cell(t.why), Cell(t.path)) for t in jobs.troubles]
        blocks.append(TableBlock(("state", "job", "last line", "folder"), rows, left=4))
    return blocks


def layer_words(part: Part) -> str:
    """Which layers there are, which is best, which is at two thirds."""
    told = f"layers run: {', '.join(map(str, part.layers))}" + (f" of 0..{part.n_layers - 1}" if part.n_layers is not None else "")
    told += f"; best: {part.best} (of {len(part.layers)})"
    if part.two_thirds is None:
        return told + "; two thirds: not known, since no result.json says how many layers the model has"
    return told + f"; two thirds: {part.two_thirds}" + ("" if part.two_thirds in part.layers else ", which was not run")


def chosen_layers(part: Part) -> list[tuple[str, int]]:
    """Best and two-thirds layer with their headings; one where they are the same, or where the other was not run."""
    if part.best == part.two_thirds:
        return [(f"layer {part.best} (best and two thirds)", part.best)]
    fixed = [(f"layer {part.two_thirds} (two thirds)", part.two_thirds)] if part.two_thirds is not None and part.two_thirds in part.layers else []
    return [(f"layer {part.best} (best)", part.best), *fixed]


def verdict_blocks(part: Part) -> list[Block]:
    """The verification table at the best layer and at two thirds."""
    chosen = chosen_layers(part)
    found = [part.at(layer) for _, layer in chosen]
    rows = []
    for identifier in _order({v for at in found for v in at}):
        known = next(at[identifier] for at in found if identifier in at)
        row = [Cell(f"{identifier} {known['name']}"), Cell(f"{known['comparison']} {show_value(known, 'threshold')}")]
        for at in found:
            v = at.get(identifier)
            row += [marked(v), _range(v, "ci"), _range(v, "null")]
        rows.append(tuple(row))
    counts = [
        f"{title}: {sum(v['passed'] for v in at.values())} of {len(at)} pass, {sum(v['passed'] and v['informative'] for v in at.values())} of them informative"
        for (title, _), at in zip(chosen, found, strict=True)
    ]
    columns = ("criterion", "threshold", *(c for title, _ in chosen for c in (title, "95 %", "null 95 %")))
    blocks: list[Block] = [Heading(part.label, 3), Text(layer_words(part) + "."), TableBlock(columns, rows), Text("; ".join(counts) + ".")]
    said: dict[str, set[int]] = {}
    for run in part.runs:
        for note in run["notes"]:
            said.setdefault(note, set()).add(run["layer"])
    return blocks + [Text(f"Layer {', '.join(map(str, sorted(layers)))}: {note}", "weak") for note, layers in said.items()]


def slug(*words: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(w for w in words if w)).strip("_")[:80]


def figure_blocks(all_parts: Sequence[Part]) -> tuple[list[Block], list[Block]]:
    """Curves by layer, and detection against steering. One layer makes no curve."""
    curves: list[Block] = []
    against: list[Block] = []
    for k, part in enumerate(all_parts):
        tag = "" if len(all_parts) == 1 else slug(str(k + 1), part.model)
        if len(part.layers) < 2:
            curves.append(Text(f"{part.label}: one layer was run, so there is no curve."))
            continue
        caption = f"{part.label}. Filled marks are informative; bars are 95 % intervals, the grey band is the null, the dashed line the threshold."
        curves.append(FigureBlock(f"{slug('layers', tag)}.png", layer_curves(part.rows, part.model, part.two_thirds), caption))
        detection = part.rows[part.rows["id"] == "V3"]
        if detection.empty or part.sizes.empty:
            against.append(Text(f"{part.label}: needs V3 and steering, and {'V3' if detection.empty else 'steering'} was not measured."))
            continue
        name, figure = f"{slug('detection', tag)}.png", detection_and_steering(detection, part.sizes, part.model, part.two_thirds)
        against.append(FigureBlock(name, figure, f"{part.label}. The effect ratio is mean |delta Elo| of emotions over that of isotropic directions."))
        rows = []
        for layer in part.layers:
            v, size = part.at(layer).get("V3"), part.sizes[part.sizes["layer"] == layer].to_dict("records")
            steered = [Cell(f"{size[0][k]:.1f}") for k in part.sizes.columns[1:]] if size else [Cell("-")] * 4
            rows.append((Cell(str(layer)), marked(v), steered[0], Cell(f"{steered[1].text} .. {steered[2].text}" if size else "-"), steered[3]))
        against.append(TableBlock(("layer", "V3", "effect ratio", "95 %", "mean |delta Elo|"), rows))
    return curves, against


def comparison(all_parts: Sequence[Part]) -> TableBlock:
    """Criteria down; each model at its best and at its two-thirds layer across; then the paper and the Llama-8B reproduction."""
    columns = [(f"{part.label}, {title}", part.at(layer)) for part in all_parts for title, layer in chosen_layers(part)]
    rows = []
    for identifier in _order({v for _, at in columns for v in at}):
        known = next(at[identifier] for _, at in columns if identifier in at)
        published = [Cell(show_value(known, key) or "-") for key in ("paper", "llama8b")]
        rows.append((Cell(f"{identifier} {known['name']}"), *(marked(at.get(identifier)) for _, at in columns), *published))
    both = [sum(v["passed"] and v["informative"] for v in at.values()) for _, at in columns]
    passed = [sum(v["passed"] for v in at.values()) for _, at in columns]
    for name, sums in (("passed", passed), ("passed and informative", both)):
        totals = (Cell(f"{s}/{len(at)}") for s, (_, at) in zip(sums, columns, strict=True))
        rows.append((Cell(name), *totals, Cell(""), Cell("")))
    return TableBlock(("criterion", *(title for title, _ in columns), "paper (Claude)", "Llama-8B"), rows)


def origin_blocks(all_parts: Sequence[Part]) -> list[Block]:
    """Per group and model: stimuli, stories, who wrote them, code, versions."""
    rows = []
    for part in all_parts:
        lines: dict[str, list[str]] = {name: [] for name in ("stimuli", "stories", "written by", "span, seed", "code", "packages")}
        for run in part.runs:
            pack, corpus, packages = run["stimuli"], run["corpus"], run["provenance"].get("packages", {})
            lines["stimuli"].append("" if pack is None else f"{pack['name']} {pack['sha256'][:8]}, by {pack['author']}")
            lines["stories"].append("" if corpus is None else f"{corpus['name']} {corpus['sha256'][:8]}, {corpus['stories']}")
            lines["written by"].append("" if corpus is None else str(corpus["author"]))
            lines["span, seed"].append(f"{run['span']}, {run['seed']}")
            commit, dirty = run["provenance"].get("commit"), run["provenance"].get("dirty")
            lines["code"].append(
                code_version(run) + (f" (commit {commit[:8]}{', with uncommitted changes' * bool(dirty)})" if commit and run.get("code") else "")
            )
            lines["packages"].append(", ".join(f"{p} {packages[p]}" for p in ("torch", "transformers", "nnsight") if p in packages))
        rows.append((Cell(part.label), *(Cell("; ".join(dict.fromkeys(v for v in values if v)) or "-") for values in lines.values())))
    return [TableBlock(("model", "stimuli", "stories", "written by", "span, seed", "code", "packages"), rows, left=7)]


def document(jobs: Jobs, all_parts: Sequence[Part], older: Sequence[tuple[str, str]], mixed: bool) -> list[Block]:
    """All blocks, in the order in which they should be read."""
    blocks = job_blocks(jobs)
    if not all_parts:
        return [*blocks, Text("No finished run has verdicts: there is nothing to compare.", "bad")]
    if mixed:
        blocks.append(Text("These runs differ in what makes numbers comparable (--mix): each group stands apart under its label.", "bad"))
    blocks += [Heading("Verification"), Text(RULE), Text(CAVEAT), Text(MARKS)]
    for part in all_parts:
        blocks += verdict_blocks(part)
    curves, against = figure_blocks(all_parts)
    blocks += [Heading("By layer"), *curves]
    if against:
        blocks += [Heading("Detection against steering"), *against]
    blocks += [Heading("Models side by side"), comparison(all_parts), Text(MARKS)]
    blocks += [Heading("What it was measured with"), *origin_blocks(all_parts)]
    if older:
        blocks.append(Text(f"Measured more than once; the newest stands, of {len(older)} pairs of runs:", "weak"))
        blocks.append(TableBlock(("older", "newest"), [(Cell(Path(a).as_posix()), Cell(Path(b).as_posix())) for a, b in older], left=2))
    return blocks
