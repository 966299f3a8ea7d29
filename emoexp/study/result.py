"""Results: what a run leaves in its directory, and the table it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoexp.stats.criteria import CRITERIA, Measurement, Verdict, judge

OTHER_SETTINGS = "other_settings"
"""The table of measurements at settings that are not a criterion's published ones."""


@dataclass
class Result:
    """What an experiment found: facts first (metrics, tables, figures), then the verdicts on
    them."""

    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def judge(self, measurement: Measurement, other_setting: str = "") -> None:
        """Adds the verdict on a measurement at the published setting of its criterion.

        Args:
            other_setting: what was measured instead, where a setting is another one; such a
                measurement gets a row in the table `other_settings` and no verdict.
        """
        if not other_setting:
            self.verdicts.append(judge(measurement))
            return
        row = {
            "measurement": other_setting,
            "value": measurement.value,
            "n": measurement.n,
            "ci_low": measurement.interval.low,
            "ci_high": measurement.interval.high,
            "null_low": measurement.null.low,
            "null_high": measurement.null.high,
        }
        self._add_other(pd.DataFrame([row]))
        self.notes.append(
            f"{other_setting}: not the published setting of {measurement.id}, so without verdict"
        )

    def _add_other(self, rows: pd.DataFrame) -> None:
        known = self.tables.get(OTHER_SETTINGS)
        self.tables[OTHER_SETTINGS] = rows if known is None else pd.concat([known, rows])

    def merge(self, other: Result) -> None:
        """Adds another experiment's findings; a name that is already taken raises."""
        if OTHER_SETTINGS in other.tables:
            self._add_other(other.tables.pop(OTHER_SETTINGS))
        for mine, theirs in (
            (self.metrics, other.metrics),
            (self.tables, other.tables),
            (self.figures, other.figures),
        ):
            if both := set(mine) & set(theirs):
                raise ValueError(f"two experiments report {', '.join(sorted(both))}")
            mine.update(theirs)  # type: ignore[arg-type]
        self.verdicts += other.verdicts
        self.notes += other.notes

    def save(self, directory: Path) -> None:
        """Tables as CSV and figures as PNG."""
        for name, table in self.tables.items():
            table.to_csv(directory / f"{name}.csv", index=False)
        for name, figure in self.figures.items():
            figure.savefig(directory / f"{name}.png", dpi=130)


def show_value(verdict: dict[str, Any], key: str = "value") -> str:
    """A count as `k/n` (a published one with the n it was published for), anything else with its
    digits."""
    value = verdict[key]
    if value is None:
        return ""
    if verdict["id"] in COUNTS and key in ("value", "threshold"):
        return f"{value:.0f}/{verdict['n']}"
    if key in ("paper", "llama8b") and (published := CRITERIA[verdict["id"]].published_n):
        return f"{value:.0f}/{published}"
    whole = verdict["id"] in (*COUNTS, "V8")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if whole else f"{value:.2f}"


COUNTS = ("V1", "V2", "V3", "V5", "V6", "V9", "V11")


def verdict_table(verdicts: Sequence[dict[str, Any]], title: str) -> Table:
    """The verification table: passed and informative are two columns."""
    table = Table(title=title, title_justify="left")
    for name in (
        "",
        "criterion",
        "value",
        "95 %",
        "threshold",
        "passed",
        "null 95 %",
        "informative",
        "paper",
        "Llama-8B",
    ):
        table.add_column(name, justify="left" if name in ("", "criterion") else "right")
    for v in verdicts:
        sign = v["comparison"]
        table.add_row(
            v["id"],
            v["name"],
            show_value(v),
            f"{show_value(v, 'ci_low')} .. {show_value(v, 'ci_high')}",
            f"{sign} {show_value(v, 'threshold')}",
            "[green]yes[/]" if v["passed"] else "[red]no[/]",
            f"{show_value(v, 'null_low')} .. {show_value(v, 'null_high')}",
            (
                "[green]yes[/]"
                if v["informative"]
                else "[yellow]no: so does noise[/]"
                if v["passed"]
                else "no"
            ),
            show_value(v, "paper"),
            show_value(v, "llama8b"),
        )
    return table


def frame_table(frame: pd.DataFrame, title: str) -> Table:
    """Any data frame as a terminal table."""
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(
            str(name),
            justify=(
                "left"
                if frame[name].dtype == object or str(frame[name].dtype) == "str"
                else "right"
            ),
        )
    for row in frame.itertuples(index=False):
        table.add_row(
            *(f"{cell:.3g}" if isinstance(cell, float) else escape(str(cell)) for cell in row)
        )
    return table


def print_result(
    result: Result, title: str, origin: str, printed_tables: Sequence[str], directory: Path
) -> None:
    """The verdicts, the tables an experiment wants seen, its notes, what it was measured with
    (`origin`), and where the rest lies."""
    console = Console(width=None if Console().is_terminal else 150)
    if result.verdicts:
        console.print(verdict_table([v.as_dict() for v in result.verdicts], title))
        passed, told = (
            sum(getattr(v, k) for v in result.verdicts) for k in ("passed", "informative")
        )
        both = sum(v.passed and v.informative for v in result.verdicts)
        console.print(
            f"{passed} of {len(result.verdicts)} pass, {told} are informative, {both} are both."
        )
    for name in printed_tables:
        if name in result.tables:
            console.print(frame_table(result.tables[name], name.replace("_", " ")))
    if result.metrics:
        console.print(
            "[dim]"
            + ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
            + "[/]"
        )
    for note in result.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if origin:
        console.print(escape(origin), soft_wrap=True)
    console.print(f"results: {escape(str(directory))}", soft_wrap=True)
