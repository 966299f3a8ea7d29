"""V8, V9: what an activity evokes goes with how much it is preferred (paper, Figure 4 top).

Probe activations on the activity's own tokens of "How would you feel ...?", against the activity's Elo. V8 looks at the valence
of the three most positive and the three most negative correlations, V9 counts |r| > 0.3. Two nulls: isotropic directions in
place of the probes, and permuted Elo; the range shown is from the lower to the higher of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp import figures
from emoexp.criteria import Measurement, judge
from emoexp.experiment import Context, Experiment
from emoexp.readout import activity_residuals
from emoexp.result import Result
from emoexp.stats import bootstrap, central, correlate_columns, widest
from emoexp.vectors import isotropic_directions


@dataclass(kw_only=True)
class Correlation(Experiment):
    """A correlation counts if |r| exceeds `least`; V8 looks at the `extremes` highest and lowest."""

    least: float = 0.3
    extremes: int = 3
    shown: ClassVar[tuple[str, ...]] = ()

    def run(self, context: Context) -> Result:
        scale, seed = context.config.scale, context.config.seed
        residuals = activity_residuals(context.model, context.stimuli, context.layer)
        elo, names = context.baseline_elo, context.vectors.names
        valence = np.array([context.stimuli.valence[e] for e in names])
        probes = residuals @ context.vectors.directions.T
        r = correlate_columns(probes, elo)

        rng = np.random.default_rng(seed)
        permuted = correlate_columns(probes, np.stack([rng.permutation(elo) for _ in range(scale.permutations)], 1))
        random_r = correlate_columns(residuals @ isotropic_directions(scale.null_draws * len(names), context.model.d_model, rng).T, elo).reshape(
            scale.null_draws, -1
        )

        n = len(elo)

        def on(indices: np.ndarray) -> np.ndarray:
            return correlate_columns(probes[indices], elo[indices])

        aligned, strong = (lambda x: self.aligned(x, valence)), self.count
        measured = (
            Measurement(
                "V8", aligned(r), 2 * self.extremes, bootstrap(n, lambda i: aligned(on(i)), scale.bootstrap_draws, seed),
                widest(central(np.array([aligned(x) for x in random_r])), central(np.array([aligned(x) for x in permuted.T]))),
            ),
            Measurement(
                "V9", strong(r), len(names), bootstrap(n, lambda i: strong(on(i)), scale.bootstrap_draws, seed),
                widest(central(np.array([strong(x) for x in random_r])), central(np.array([strong(x) for x in permuted.T]))),
            ),
        )  # fmt: skip
        intervals = [bootstrap(n, lambda i, k=k: float(correlate_columns(probes[i, k : k + 1], elo[i])[0]), 200, seed) for k in range(len(names))]  # type: ignore[misc]
        table = pd.DataFrame({"emotion": names, "valence": valence, "r": r, "ci_low": [i.low for i in intervals], "ci_high": [i.high for i in intervals]})
        band = central(random_r.ravel())
        return Result(
            metrics={"r_max": float(r.max()), "r_min": float(r.min()), "r_with_valence": float(np.corrcoef(r, valence)[0, 1])},
            verdicts=[judge(m) for m in measured],
            tables={"correlations": table.sort_values("r")},
            figures={"correlations": figures.correlation_bars(table, band, f"{context.stimuli.name} pack, {context.config.model.name}, layer {context.layer}")},
        )

    def aligned(self, r: np.ndarray, valence: np.ndarray) -> float:
        """The smaller of: positive emotions among the top three, negative ones among the bottom three."""
        order = np.argsort(r)
        return float(min((valence[order[-self.extremes :]] > 0).sum(), (valence[order[: self.extremes]] < 0).sum()))

    def count(self, r: np.ndarray) -> float:
        return float((np.abs(r) > self.least).sum())
