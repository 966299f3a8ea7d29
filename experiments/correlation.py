"""V8, V9: what an activity evokes correlates with how much it is preferred (paper, Figure 4 top).

Probe activations on the activity's own tokens of "How would you feel ...?", against the activity's
Elo. V8 looks at the valence of the three most positive and the three most negative correlations, V9
counts |r| > 0.3. Two nulls: isotropic directions in place of the probes, and permuted Elo; the
range shown is from the lower to the higher of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.bounds import number
from emoexp.stats import intervals
from emoexp.stats.criteria import CORRELATED, EXTREMES, Measurement
from emoexp.stats.intervals import Interval, central, correlate_columns, pearson, wilson
from emoexp.stats.labels import PERMUTED_ELO
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.study.tables import draws_by_null, null_table
from emoexp.vectors.probes import activity_residuals

Statistic = Callable[[np.ndarray], float]
Nulls = Callable[[Statistic], dict[str, Interval]]


@dataclass(kw_only=True)
class Correlation(Validation):
    """V8 and V9; other settings than the published ones are other measurements.

    Attributes:
        least: a correlation counts if |r| exceeds it.
        extremes: how many of the highest and of the lowest correlations V8 looks at.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors", "emotions.norms")

    least: float = number(
        CORRELATED, 0, 1, open_most=True, why=f"a limit of |r|; V9's is {CORRELATED}"
    )
    extremes: int = number(EXTREMES, most=1000, why=f"V8's is {EXTREMES}")

    def measure(self, study: Study) -> Tables:
        model, stimuli, names = study.model, study.stimuli, list(study.vectors.names)
        residuals = activity_residuals(model, study.artifacts, stimuli, study.layer)
        noise = {}
        for label, drawn in study.null_directions(names).items():
            r = correlate_columns(residuals @ np.concatenate(drawn).T, study.baseline_elo)
            noise[label] = pd.DataFrame(r.reshape(-1, len(names)), columns=names)
        probes = pd.DataFrame(residuals @ study.vectors.directions.T, columns=names)
        probes.insert(0, "elo", study.baseline_elo)
        valence = [study.valence.get(e, np.nan) for e in names]
        return {
            "activity_probes": probes,
            "correlations_null": null_table(noise),
            "emotions": pd.DataFrame({"emotion": names, "valence": valence}),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        names = list(tables["emotions"]["emotion"])
        elo = tables["activity_probes"]["elo"].to_numpy()
        probes, rng = values_of(tables["activity_probes"], names), bootstrap.rng()
        r = correlate_columns(probes, elo)
        again = intervals.resampled_correlations(probes, elo, bootstrap.draws, bootstrap.seed)
        orders = np.stack([rng.permutation(elo) for _ in range(bootstrap.permutations)], 1)
        drawn = {k: values_of(t) for k, t in draws_by_null(tables["correlations_null"]).items()}
        drawn[PERMUTED_ELO] = correlate_columns(probes, orders).T

        def nulls(statistic: Statistic) -> dict[str, Interval]:
            return {k: central(np.array(list(map(statistic, rs)))) for k, rs in drawn.items()}

        low, high = np.array([central(column) for column in again.T]).T
        table = tables["emotions"].assign(r=r, ci_low=low, ci_high=high)
        result = Result(metrics={"r_max": float(r.max()), "r_min": float(r.min())})
        result.tables["correlations"] = table.sort_values("r")
        self._judge_extremes(result, table, again, nulls)
        count, n = int(self.count(r)), len(names)
        v9 = Measurement("V9", count, n, wilson(count, n), nulls(self.count))
        result.judge(v9, f"emotions with |r| > {self.least}" if self.least != CORRELATED else "")
        return result

    def _judge_extremes(
        self, result: Result, table: pd.DataFrame, again: np.ndarray, nulls: Nulls
    ) -> None:
        """Adds V8 over the emotions of known valence, and notes how many there are."""
        k, r, known = self.extremes, table["r"].to_numpy(), table["valence"].notna().to_numpy()
        valence, other = table["valence"].to_numpy()[known], ""
        if known.sum() >= 3 and np.ptp(valence) > 0:
            result.metrics["r_with_valence"] = pearson(r[known], valence)
        if k != EXTREMES:
            other = f"{k} highest and {k} lowest correlations of the right valence, the smaller"
        if known.sum() < 2 * k:
            few = f"{2 * k} emotions of known valence; {known.sum()} have one (emotions.norms=...)"
            result.notes.append(f"not measured: {other or 'V8'}, which needs {few}")
            return
        if not known.all():
            result.notes.append(f"extremes of {known.sum()} of {len(r)} emotions with a valence")

        def aligned(x: np.ndarray) -> float:
            return self.aligned(x[known], valence)

        interval = central(np.array([aligned(x) for x in again]))
        result.judge(Measurement("V8", aligned(r), 2 * k, interval, nulls(aligned)), other)

    def aligned(self, r: np.ndarray, valence: np.ndarray) -> float:
        """Returns the smaller of two counts: positive among the highest, negative among the
        lowest."""
        order, k = np.argsort(r, kind="stable"), self.extremes
        return float(min((valence[order[-k:]] > 0).sum(), (valence[order[:k]] < 0).sum()))

    def count(self, r: np.ndarray) -> float:
        """Counts |r| > `least`."""
        return float((np.abs(r) > self.least).sum())
