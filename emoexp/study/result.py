"""What an experiment found: metrics, verdicts, tables and notes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from emoexp.stats.criteria import Measurement, Verdict, judge

OTHER_SETTINGS = "other_settings"
"""The table of measurements at settings that are not a criterion's published ones."""
NULLS = "nulls"
"""The table of every null of every verdict."""


@dataclass
class Result:
    """Findings of one or several experiments.

    Attributes:
        metrics: numbers without a verdict, by name.
        verdicts: one for each criterion that was judged.
        tables: facts and what was computed from them, by name.
        notes: what a reader of the numbers must know.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def judge(self, measurement: Measurement, other_setting: str = "") -> None:
        """Adds the verdict on a measurement at the published setting of its criterion.

        Args:
            other_setting: what was measured instead, where a setting is another one; such a
                measurement gets a row in the table `other_settings` and no verdict.
        """
        if not other_setting:
            self.verdicts.append(judge(measurement))
            self._append(NULLS, null_rows(measurement))
            return
        row = {
            "measurement": other_setting,
            "value": measurement.value,
            "n": measurement.n,
            **measurement.interval.columns("ci"),
            **measurement.null.columns("null"),
        }
        self._append(OTHER_SETTINGS, pd.DataFrame([row]))
        self.notes.append(
            f"{other_setting}: not the published setting of {measurement.id}, so without verdict"
        )

    def _append(self, name: str, rows: pd.DataFrame) -> None:
        known = self.tables.get(name)
        self.tables[name] = rows if known is None else pd.concat([known, rows], ignore_index=True)

    def merge(self, other: Result) -> None:
        """Adds another experiment's findings; a note that both have stands once.

        Raises:
            ValueError: both have a metric or a table of one name (but for those of `judge`).
        """
        for name in {OTHER_SETTINGS, NULLS} & other.tables.keys():
            self._append(name, other.tables.pop(name))
        if both := (self.metrics.keys() & other.metrics) | (self.tables.keys() & other.tables):
            raise ValueError(f"two experiments report {', '.join(sorted(both))}")
        self.metrics |= other.metrics
        self.tables |= other.tables
        self.verdicts += other.verdicts
        self.notes += [note for note in other.notes if note not in self.notes]


def null_rows(measurement: Measurement) -> pd.DataFrame:
    """Lists the nulls of a measurement, a row each: criterion, value, null (what was random),
    null_low, null_high, and whether the value lies beyond it on the passing side."""
    rows = [
        {
            "criterion": measurement.id,
            "value": measurement.value,
            "null": label,
            **null.columns("null"),
            "beyond": measurement.beyond(label),
        }
        for label, null in measurement.nulls.items()
    ]
    return pd.DataFrame(rows)
