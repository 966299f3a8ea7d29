"""The table of what was measured, for the terminal and as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HEAD = (
    "work",
    "goal",
    "measured (smallest .. largest; n)",
    "met",
    "above the bound",
    "faster than",
)


def record(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Puts rows into results.json, in place of what it had of the same rows, and writes the
    Markdown table beside it."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    held |= {row["key"]: row for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(held), encoding="utf-8")
    return held


def measured(row: dict[str, Any]) -> str:
    """A ratio or a percentage with its spread."""
    ratio, unit = row["ratio"], row["unit"]
    return f"{ratio['median']:.2f}{unit} ({ratio['low']:.2f} .. {ratio['high']:.2f}; {ratio['n']})"


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table."""
    met = {True: "yes", False: "no", None: "-"}[row["met"]]
    bound = row["bound"]
    distance = f"{bound['distance']:.1f}x" if "distance" in bound else bound.get("how", "-")
    if "ratio_by_flops" in bound:
        distance += f" (by FLOPs {bound['ratio_by_flops']:.1f}x is possible)"
    faster = [f"{name} {found['median']:.2f}x" for name, found in row["faster_than"].items()]
    refused = [f"{name}: not timed" for name in row["refused"]]
    return (
        row["work"],
        row["goal"],
        measured(row),
        met,
        distance,
        ", ".join([*faster, *refused]) or "-",
    )


def markdown(rows: dict[str, Any]) -> str:
    lines = [
        f"| {' | '.join(HEAD)} |",
        "|" + "---|" * len(HEAD),
        *(f"| {' | '.join(cells(row))} |" for row in rows.values()),
    ]
    machines: dict[str, list[str]] = {}
    for key, row in rows.items():
        machines.setdefault(json.dumps(row["machine"], sort_keys=True), []).append(key)
    notes = [
        f"{', '.join(keys)}: {described(json.loads(machine))}" for machine, keys in machines.items()
    ]
    return "\n".join([*lines, "", *notes]) + "\n"


def described(machine: dict[str, Any]) -> str:
    """One line about where the numbers were taken."""
    where = (
        machine["gpu"]
        or f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores,"
        f" load before {machine['load']:.1f}"
    )
    sizes = (
        f"shape {machine['shape']} ({machine['sizes']['layers']} x {machine['sizes']['d_model']}),"
        f" {machine['dtype']}"
    )
    quick = (
        "; QUICK: sizes for trying the bench, numbers that mean nothing" if machine["quick"] else ""
    )
    return f"{where}; {sizes}, torch {machine['torch']}{quick}."


def show(rows: dict[str, Any]) -> None:
    table = Table(*HEAD)
    for row in rows.values():
        table.add_row(*cells(row))
    console = Console() if Console().is_terminal else Console(width=180)
    console.print(table)
    for row in rows.values():
        for name, why in row["refused"].items():
            console.print(f"{row['key']}: {name} not timed: {why}", markup=False)
        if row["met"] is False:
            console.print(f"{row['key']} misses its goal. Next: {row['idea']}", markup=False)
            console.print("\n".join(f"    {line}" for line in row["profile"][:8]), markup=False)
