"""One table over many runs: `python -m emoexp.report DIR...`. Criteria down, layers across, failed runs first."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoexp.errors import EmoexpError
from emoexp.result import show_value


def load_runs(directories: Sequence[Path]) -> list[dict[str, Any]]:
    """Every result.json below the directories.

    Raises:
        EmoexpError: there is none.
    """
    found = [path for directory in directories for path in sorted(directory.glob("**/result.json"))]
    if not found:
        raise EmoexpError(f"no result.json below {', '.join(map(str, directories))}: give the directory of a run or a sweep")
    return [json.loads(path.read_text(encoding="utf-8")) | {"path": str(path.parent)} for path in found]


def cell(verdict: dict[str, Any]) -> str:
    """Value, coloured by what it is worth: green passes and tells, yellow passes as noise does, plain fails."""
    text = show_value(verdict)
    if verdict["passed"]:
        return f"[green]{text} *[/]" if verdict["informative"] else f"[yellow]{text} ~[/]"
    return text


def layer_table(runs: Sequence[dict[str, Any]], title: str) -> Table:
    """V1 to V11 by layer, and the effect ratio below."""
    by_layer: dict[int, dict[str, Any]] = {}
    for run in sorted(runs, key=lambda r: str(r["provenance"]["time"])):  # the newer of two measurements of one criterion stands
        known = by_layer.setdefault(run["layer"], {"verdicts": {}, "metrics": {}})
        known["verdicts"] |= {v["id"]: v for v in run["verdicts"]}
        known["metrics"] |= run["metrics"]
    keys = sorted(by_layer)
    table = Table(title=title, title_justify="left", caption="* passes and is informative   ~ passes, but so does noise   plain: fails", caption_justify="left")
    table.add_column("layer")
    for layer in keys:
        table.add_column(str(layer), justify="right")
    names = {v["id"]: v["name"] for run in runs for v in run["verdicts"]}
    for identifier in sorted(names, key=lambda v: int(v[1:])):
        found = [by_layer[key]["verdicts"].get(identifier) for key in keys]
        table.add_row(f"{identifier} {names[identifier]}", *("-" if v is None else cell(v) for v in found))
    ratios = [by_layer[key]["metrics"].get("effect_ratio") for key in keys]
    if any(r is not None for r in ratios):
        table.add_row("effect ratio, emotions over isotropic", *("-" if r is None else f"{r:.1f}" for r in ratios))
        sizes = [by_layer[key]["metrics"].get("mean_abs_delta_elo") for key in keys]
        table.add_row("mean |delta Elo|", *("-" if s is None else f"{s:.1f}" for s in sizes))
    passed = [sum(v["passed"] for v in by_layer[key]["verdicts"].values()) for key in keys]
    table.add_row("passed", *(f"{p}/{len(by_layer[key]['verdicts'])}" for p, key in zip(passed, keys, strict=True)))
    return table


def report(directories: Sequence[Path]) -> None:
    """Prints one table per model, span, seed and pack; writes layers.csv and layers.png into the first directory."""
    from emoexp.figures import layer_curves

    runs, console = load_runs(directories), Console(width=None if Console().is_terminal else 160)
    for run in runs:
        if run["status"] != "success":
            console.print(f"[red]{run['status']}[/] {escape(run['path'])}: {escape(run.get('error', 'never finished'))}", soft_wrap=True)
    done = [run for run in runs if run["status"] == "success" and run["verdicts"] and run["layer"] is not None]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in done:
        key = (run["model"], run["span"], str(run["seed"]), run["stimuli"]["sha256"])
        groups.setdefault(key, []).append(run)
    rows = []
    for (model, span, seed, pack), part in groups.items():
        title = f"{model}, span {span}, seed {seed}, pack {part[0]['stimuli']['name']} {pack[:8]}"
        console.print(layer_table(part, title))
        found = [{"model": model, "span": span, "seed": seed, "layer": run["layer"], **v} for run in part for v in run["verdicts"]]
        rows += found
        if len({run["layer"] for run in part}) > 1:
            name = "layers.png" if len(groups) == 1 else f"layers_{model}_{span}_{seed}.png"
            layer_curves(pd.DataFrame(found), title).savefig(directories[0] / name, dpi=130)
    if rows:
        pd.DataFrame(rows).to_csv(directories[0] / "layers.csv", index=False)
        console.print(f"table and figure: {escape(str(directories[0]))}", soft_wrap=True)


def main() -> None:
    try:
        if len(sys.argv) < 2:
            raise EmoexpError("python -m emoexp.report needs the directory of a run or a sweep")
        report([Path(a) for a in sys.argv[1:]])
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
