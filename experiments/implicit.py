"""V3, V4: scenarios that imply an emotion without naming it (paper, Table 2 and Figure 2).

The cosine of the residual at the assistant's first token with the probes of the scenarios'
emotions. V3 counts the scenarios whose own probe is the highest, V4 averages its rank. The verdicts
are on the raw cosines; the ones centred over the scenarios stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.figures import validation as figures
from emoexp.report import agreement
from emoexp.stats.criteria import Measurement, judge
from emoexp.stats.intervals import central, resample, wilson
from emoexp.stimuli.paper import published
from emoexp.study.result import Result
from emoexp.study.study import Experiment, NotApplicableError, Study
from emoexp.vectors.probes import assistant_residuals, cosine
from emoexp.vectors.vectors import isotropic_directions


@dataclass(kw_only=True)
class Implicit(Experiment):
    """No hyperparameters of its own."""

    shown: ClassVar[tuple[str, ...]] = ("agreement_implicit",)

    def run(self, study: Study) -> Result:
        scale, seed = study.config.scale, study.config.seed
        scenarios = [s for s in study.stimuli.scenarios if s.emotion in study.emotions]
        if len(scenarios) < 3:
            raise NotApplicableError(
                "V3, V4: implicit needs at least 3 of the pack's scenarios; emotions.names leaves"
                f" {len(scenarios)}"
            )
        names = tuple(s.emotion for s in scenarios)
        residuals = assistant_residuals(
            study.model, study.artifacts, {"scenarios": [s.text for s in scenarios]}, study.layer
        )[0]
        matrix = cosine(residuals, study.vectors.only(names))
        ranks, n = own_ranks(matrix), len(names)

        rng = study.control_rng()
        noise = [
            own_ranks(cosine(residuals, isotropic_directions(n, study.model.d_model, rng)))
            for _ in range(scale.null_draws)
        ]
        centred = own_ranks(matrix - matrix.mean(0))
        again = ranks[resample(n, scale.bootstrap_draws, seed)]
        measured = (
            Measurement(
                "V3",
                float((ranks == 1).sum()),
                n,
                wilson(int((ranks == 1).sum()), n),
                central(np.array([(r == 1).sum() for r in noise])),
            ),
            Measurement(
                "V4",
                float(ranks.mean()),
                n,
                central(again.mean(1)),
                central(np.array([r.mean() for r in noise])),
            ),
        )
        off = ~np.eye(n, dtype=bool)
        claude = published.implicit().only(names) if study.stimuli.is_paper else None
        title = f"{study.stimuli.name} pack, {study.config.model.name}, layer {study.layer}"
        result = Result(
            metrics={
                "V3_centred": float((centred == 1).sum()),
                "V4_centred": float(centred.mean()),
                "V3_top3": float((ranks <= 3).sum()),
                "implicit_diagonal_mean": float(np.diag(matrix).mean()),
                "implicit_off_diagonal_mean": float(matrix[off].mean()),
            },
            verdicts=[judge(m) for m in measured],
            tables={
                "implicit": (
                    pd.DataFrame(matrix, columns=list(names)).assign(scenario=names)[
                        ["scenario", *names]
                    ]
                )
            },
            figures={"implicit": figures.heat_map(matrix, names, title, claude)},
        )
        if claude is not None:
            result.merge(agreement.implicit(matrix, names, scale, seed))
        return result


def own_ranks(matrix: np.ndarray) -> np.ndarray:
    """Rank of the scenario's own probe among the probes, 1 the highest and a tie the worst rank
    that it allows, as NaN ranks last; (scenario, probe) -> (scenario,)."""
    return np.asarray((~(matrix < np.diag(matrix)[:, None])).sum(1))
