"""V8, V9: what an activity evokes goes with how much it is preferred (paper, Figure 4 top).

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

from emoexp.errors import EmoexpError
from emoexp.figures import validation as figures
from emoexp.report import agreement
from emoexp.stats.criteria import CORRELATED, EXTREMES, Measurement
from emoexp.stats.intervals import (
    Interval,
    central,
    correlate_columns,
    pearson,
    resampled_correlations,
    widest,
    wilson,
)
from emoexp.stimuli.paper import published
from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.study.study import Experiment, Study
from emoexp.vectors.probes import activity_residuals
from emoexp.vectors.vectors import isotropic_directions


@dataclass(kw_only=True)
class Correlation(Experiment):
    """A correlation counts if |r| exceeds `least`; V8 looks at the `extremes` highest and lowest.
    Other settings than the published ones are other measurements."""

    least: float = CORRELATED
    extremes: int = EXTREMES
    shown: ClassVar[tuple[str, ...]] = (OTHER_SETTINGS, "agreement_correlations")

    def __post_init__(self) -> None:
        if not 0 <= self.least < 1:
            raise EmoexpError(
                f"experiment.least={self.least}: a limit of |r|, at least 0 and below 1; "
                f"V9's is {CORRELATED}"
            )
        if self.extremes < 1:
            raise EmoexpError(
                f"experiment.extremes={self.extremes}: at least 1 emotion; V8's is {EXTREMES}"
            )

    def run(self, study: Study) -> Result:
        scale, seed = study.config.scale, study.config.seed
        residuals = activity_residuals(study.model, study.artifacts, study.stimuli, study.layer)
        elo, names = study.baseline_elo, study.vectors.names
        known = np.array([e in study.valence for e in names])
        valence = np.array([study.valence[e] for e in names if e in study.valence])
        probes = residuals @ study.vectors.directions.T
        r = correlate_columns(probes, elo)

        rng = np.random.default_rng(seed)
        permuted = correlate_columns(
            probes, np.stack([rng.permutation(elo) for _ in range(scale.permutations)], 1)
        )
        n_random = scale.null_draws * len(names)
        random = isotropic_directions(n_random, study.model.d_model, study.control_rng())
        random_r = correlate_columns(residuals @ random.T, elo).reshape(scale.null_draws, -1)

        again = resampled_correlations(probes, elo, scale.bootstrap_draws, seed)

        def null(statistic: Callable[[np.ndarray], float]) -> Interval:
            return widest(
                *(
                    central(np.array([statistic(x) for x in draws]))
                    for draws in (random_r, permuted.T)
                )
            )

        def aligned(x: np.ndarray) -> float:
            return self.aligned(x[known], valence)

        found = Result()
        k, other = self.extremes, ""
        if k != EXTREMES:
            other = f"{k} highest and {k} lowest correlations of the right valence, the smaller"
        if known.sum() >= 2 * k:
            interval = central(np.array([aligned(x) for x in again]))
            found.judge(Measurement("V8", aligned(r), 2 * k, interval, null(aligned)), other)
        else:
            found.notes.append(
                f"not measured: {other or 'V8'}, which needs {2 * k} emotions of known valence; "
                f"{known.sum()} have one (emotions.norms=<file>)"
            )
        count = int(self.count(r))
        v9 = Measurement("V9", count, len(names), wilson(count, len(names)), null(self.count))
        other = f"emotions with |r| > {self.least}" if self.least != CORRELATED else ""
        found.judge(v9, other)
        intervals = [central(column) for column in again.T]
        table = pd.DataFrame(
            {
                "emotion": names,
                "valence": [study.valence.get(e, np.nan) for e in names],
                "r": r,
                "ci_low": [i.low for i in intervals],
                "ci_high": [i.high for i in intervals],
            }
        )
        band = central(random_r.ravel())
        metrics = {"r_max": float(r.max()), "r_min": float(r.min())}
        if known.sum() >= 3 and np.ptp(valence) > 0:
            metrics["r_with_valence"] = pearson(r[known], valence)
        claude = published.correlations().labelled if study.stimuli.is_paper else {}
        title = f"{study.stimuli.name} pack, {study.config.model.name}, layer {study.layer}"
        result = Result(
            metrics=metrics,
            tables={"correlations": table.sort_values("r")},
            figures={"correlations": figures.correlation_bars(table, band, title, claude)},
        )
        result.merge(found)
        if study.stimuli.is_paper:
            result.merge(agreement.correlation(names, probes, r, scale, seed))
        return result

    def aligned(self, r: np.ndarray, valence: np.ndarray) -> float:
        """The smaller of: positive among the `extremes` highest, negative among as many lowest."""
        order = np.argsort(r)
        return float(
            min(
                (valence[order[-self.extremes :]] > 0).sum(),
                (valence[order[: self.extremes]] < 0).sum(),
            )
        )

    def count(self, r: np.ndarray) -> float:
        return float((np.abs(r) > self.least).sum())
