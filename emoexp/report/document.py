"""What the report says, as blocks that know nothing of HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from emoexp.report.groups import Part, Run, code_version
from emoexp.report.jobs import Jobs
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
PARTIAL = (
    "What these runs had found when they failed. It is in no other table, no figure and no"
    " report.csv, and no best layer is chosen from it."
)


def job_blocks(jobs: Jobs, partial: Sequence[Run]) -> list[Block]:
    """What went wrong, and what the runs that went wrong had found before."""
    blocks: list[Block] = [
        Heading("Jobs"),
        Text(jobs.summary() + ".", "bad" if jobs.troubles else "good"),
    ]
    if jobs.troubles:
        rows = [
            (Cell(t.state, "bad"), Cell(t.job), Cell(t.why), Cell(t.path)) for t in jobs.troubles
        ]
        blocks.append(TableBlock(("state", "job", "last line", "folder"), rows, left=4))
    return (
        [
            *blocks,
            Heading("Partial: found before the run failed", 3),
            Text(PARTIAL, "weak"),
            *found_blocks(partial),
        ]
        if partial
        else blocks
    )


def name_of(run: Run) -> str:
    return f"{run['experiment']}, {run['model']}" + (
        f", layer {run['layer']}" if run["layer"] is not None else ""
    )


def found_blocks(runs: Sequence[Run]) -> list[Block]:
    """Verdicts of runs that stand in no table by layer, one row each, and what else lies in their
    folders."""
    rows = []
    for run in runs:
        for v in sorted(run["verdicts"], key=lambda v: int(v["id"][1:])):
            threshold = Cell(f"{v['comparison']} {show_value(v, 'threshold')}")
            rows.append(
                (
                    Cell(name_of(run)),
                    Cell(f"{v['id']} {v['name']}"),
                    marked(v),
                    ranged(v, "ci"),
                    ranged(v, "null"),
                    threshold,
                )
            )
    blocks: list[Block] = (
        [TableBlock(("run", "criterion", "found", "95 %", "null 95 %", "threshold"), rows, left=2)]
        if rows
        else []
    )
    for run in runs:
        tables = sorted(path.name for path in Path(run["path"]).glob("*.csv"))
        also = [f"{len(run['metrics'])} metrics in result.json"] * bool(run["metrics"]) + [
            f"tables {', '.join(tables)}"
        ] * bool(tables)
        if also:
            blocks.append(Text(f"{name_of(run)}: also {'; '.join(also)} ({run['path']})."))
    return blocks


def layer_words(part: Part) -> str:
    """Which layers there are, which is best, which is at two thirds."""
    told = f"layers run: {', '.join(map(str, part.layers))}" + (
        f" of 0..{part.n_layers - 1}" if part.n_layers is not None else ""
    )
    told += f"; best: {part.best} (of {len(part.layers)})"
    if part.two_thirds is None:
        return (
            told
            + "; two thirds: not known, since no result.json says how many layers the model has"
        )
    return (
        told
        + f"; two thirds: {part.two_thirds}"
        + ("" if part.two_thirds in part.layers else ", which was not run")
    )


def chosen_layers(part: Part) -> list[tuple[str, int]]:
    """Best and two-thirds layer with their headings; one where they are the same, or where the
    other was not run."""
    if part.best == part.two_thirds:
        return [(f"layer {part.best} (best and two thirds)", part.best)]
    fixed = (
        [(f"layer {part.two_thirds} (two thirds)", part.two_thirds)]
        if part.two_thirds is not None and part.two_thirds in part.layers
        else []
    )
    return [(f"layer {part.best} (best)", part.best), *fixed]


def verdict_blocks(part: Part) -> list[Block]:
    """The verification table at the best layer and at two thirds."""
    chosen = chosen_layers(part)
    found = [part.at(layer) for _, layer in chosen]
    rows = []
    for identifier in in_order({v for at in found for v in at}):
        known = next(at[identifier] for at in found if identifier in at)
        row = [
            Cell(f"{identifier} {known['name']}"),
            Cell(f"{known['comparison']} {show_value(known, 'threshold')}"),
        ]
        for at in found:
            v = at.get(identifier)
            row += [marked(v), ranged(v, "ci"), ranged(v, "null")]
        rows.append(tuple(row))
    counts = [
        f"{title}: {sum(v['passed'] for v in at.values())} of {len(at)} pass,"
        f" {sum(v['passed'] and v['informative'] for v in at.values())} of them informative"
        for (title, _), at in zip(chosen, found, strict=True)
    ]
    columns = (
        "criterion",
        "threshold",
        *(c for title, _ in chosen for c in (title, "95 %", "null 95 %")),
    )
    blocks: list[Block] = [
        Heading(part.label, 3),
        Text(layer_words(part) + "."),
        TableBlock(columns, rows),
        Text("; ".join(counts) + "."),
    ]
    said: dict[str, set[int]] = {}
    for run in part.runs:
        for note in run["notes"]:
            said.setdefault(note, set()).add(run["layer"])
    return blocks + [
        Text(f"Layer {', '.join(map(str, sorted(layers)))}: {note}", "weak")
        for note, layers in said.items()
    ]


def comparison(all_parts: Sequence[Part]) -> TableBlock:
    """Criteria down; each model at its best and at its two-thirds layer across; then the paper and
    the Llama-8B reproduction."""
    columns = [
        (f"{part.label}, {title}", part.at(layer))
        for part in all_parts
        for title, layer in chosen_layers(part)
    ]
    rows = []
    for identifier in in_order({v for _, at in columns for v in at}):
        known = next(at[identifier] for _, at in columns if identifier in at)
        published = [Cell(show_value(known, key) or "-") for key in ("paper", "llama8b")]
        rows.append(
            (
                Cell(f"{identifier} {known['name']}"),
                *(marked(at.get(identifier)) for _, at in columns),
                *published,
            )
        )
    both = [sum(v["passed"] and v["informative"] for v in at.values()) for _, at in columns]
    passed = [sum(v["passed"] for v in at.values()) for _, at in columns]
    for name, sums in (("passed", passed), ("passed and informative", both)):
        totals = (Cell(f"{s}/{len(at)}") for s, (_, at) in zip(sums, columns, strict=True))
        rows.append((Cell(name), *totals, Cell(""), Cell("")))
    return TableBlock(
        ("criterion", *(title for title, _ in columns), "paper (Claude)", "Llama-8B"), rows
    )


def origin_blocks(all_parts: Sequence[Part]) -> list[Block]:
    """Per group and model: stimuli, stories, who wrote them, code, versions."""
    rows = []
    for part in all_parts:
        lines: dict[str, list[str]] = {
            name: []
            for name in ("stimuli", "stories", "written by", "span, seed", "code", "packages")
        }
        for run in part.runs:
            pack, corpus, packages = (
                run["stimuli"],
                run["corpus"],
                run["provenance"].get("packages", {}),
            )
            lines["stimuli"].append(
                "" if pack is None else f"{pack['name']} {pack['sha256'][:8]}, by {pack['author']}"
            )
            lines["stories"].append(
                ""
                if corpus is None
                else f"{corpus['name']} {corpus['sha256'][:8]}, {corpus['stories']}"
            )
            lines["written by"].append("" if corpus is None else str(corpus["author"]))
            lines["span, seed"].append(f"{run['span']}, {run['seed']}")
            commit, dirty = run["provenance"].get("commit"), run["provenance"].get("dirty")
            lines["code"].append(
                code_version(run)
                + (
                    f" (commit {commit[:8]}{', with uncommitted changes' * bool(dirty)})"
                    if commit and run.get("code")
                    else ""
                )
            )
            lines["packages"].append(
                ", ".join(
                    f"{p} {packages[p]}"
                    for p in ("torch", "transformers", "nnsight")
                    if p in packages
                )
            )
        rows.append(
            (
                Cell(part.label),
                *(
                    Cell("; ".join(dict.fromkeys(v for v in values if v)) or "-")
                    for values in lines.values()
                ),
            )
        )
    return [
        TableBlock(
            ("model", "stimuli", "stories", "written by", "span, seed", "code", "packages"),
            rows,
            left=7,
        )
    ]


def document(
    jobs: Jobs,
    all_parts: Sequence[Part],
    older: Sequence[tuple[str, str]],
    *,
    mixed: bool,
    partial: Sequence[Run] = (),
    without: Sequence[Run] = (),
) -> list[Block]:
    """All blocks, in the order in which they should be read.

    Args:
        partial: runs that failed with something found.
        without: finished runs that have no layer.
    """
    blocks = job_blocks(jobs, partial)
    if without:
        blocks += [
            Heading("At no layer"),
            Text("Finished runs of an experiment that reads no layer; not in the tables by layer."),
            *found_blocks(without),
        ]
    if not all_parts:
        return [
            *blocks,
            Text("No finished run has verdicts at a layer: there is nothing to compare.", "bad"),
        ]
    if mixed:
        blocks.append(
            Text(
                "These runs differ in what makes numbers comparable (--mix): each group stands"
                " apart under its label.",
                "bad",
            )
        )
    blocks += [Heading("Verification"), Text(RULE), Text(CAVEAT), Text(MARKS)]
    for part in all_parts:
        blocks += verdict_blocks(part)
    blocks += expected_blocks(all_parts)
    blocks += layer_blocks(all_parts)
    blocks += [Heading("Models side by side"), comparison(all_parts), Text(MARKS)]
    blocks += [Heading("What it was measured with"), *origin_blocks(all_parts)]
    if older:
        blocks.append(
            Text(
                f"Measured more than once; the newest stands, of {len(older)} pairs of runs:",
                "weak",
            )
        )
        blocks.append(
            TableBlock(
                ("older", "newest"),
                [(Cell(Path(a).as_posix()), Cell(Path(b).as_posix())) for a, b in older],
                left=2,
            )
        )
    return blocks
