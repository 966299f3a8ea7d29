"""What an experiment found: metrics, verdicts, tables and notes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from emoexp.stats.criteria import Measurement, Verdict, judge

OTHER_SETTINGS = "other_settings"
"""The table of measurements at settings that are not a criterion's published ones."""


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
        """Adds another experiment's findings.

        Raises:
            ValueError: both have a metric or a table of one name.
        """
        if OTHER_SETTINGS in other.tables:
            self._add_other(other.tables.pop(OTHER_SETTINGS))
        if both := (self.metrics.keys() & other.metrics) | (self.tables.keys() & other.tables):
            raise ValueError(f"two experiments report {', '.join(sorted(both))}")
        self.metrics |= other.metrics
        self.tables |= other.tables
        self.verdicts += other.verdicts
        self.notes += other.notes
