"""V3, V4: scenarios that imply an emotion without naming it (paper, Table 2 and Figure 2).

The cosine of the residual at the assistant's first token with the probes of the scenarios'
emotions. V3 counts the scenarios whose own probe is the highest, V4 averages its rank. The verdicts
are on the raw cosines; those centred over the scenarios are in the metrics. The null is isotropic
directions in place of the probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import NotApplicableError
from emoexp.stats.criteria import Measurement
from emoexp.stats.intervals import central, resample, wilson
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.probes import assistant_residuals, cosine


@dataclass(kw_only=True)
class Implicit(Validation):
    """V3 and V4; no hyperparameters."""

    def measure(self, study: Study) -> Tables:
        scenarios = [s for s in study.stimuli.scenarios if s.emotion in study.emotions]
        if len(scenarios) < 3:
            raise NotApplicableError(
                "V3, V4: implicit needs at least 3 of the pack's scenarios; emotions.names leaves "
                f"{len(scenarios)}"
            )
        names, n = [s.emotion for s in scenarios], len(scenarios)
        texts = {"scenarios": [s.text for s in scenarios]}
        residuals = assistant_residuals(study.model, study.artifacts, texts, study.layer)[0]
        matrix = cosine(residuals, study.vectors.only(tuple(names)))
        rng, width = study.control_rng(), study.model.d_model
        noise = [
            own_ranks(cosine(residuals, isotropic_directions(n, width, rng)))
            for _ in range(study.config.scale.null_draws)
        ]
        table = pd.DataFrame(matrix, columns=names)
        table.insert(0, "scenario", names)
        return {"implicit": table, "implicit_null": pd.DataFrame(noise, columns=names)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        names = list(tables["implicit"]["scenario"])
        matrix, noise = values_of(tables["implicit"], names), values_of(tables["implicit_null"])
        ranks, n = own_ranks(matrix), len(names)
        centred = own_ranks(matrix - matrix.mean(0))
        highest, again = (
            int((ranks == 1).sum()),
            ranks[resample(n, bootstrap.draws, bootstrap.seed)],
        )
        off = ~np.eye(n, dtype=bool)
        result = Result(
            metrics={
                "V3_centred": float((centred == 1).sum()),
                "V4_centred": float(centred.mean()),
                "V3_top3": float((ranks <= 3).sum()),
                "implicit_diagonal_mean": float(np.diag(matrix).mean()),
                "implicit_off_diagonal_mean": float(matrix[off].mean()),
            }
        )
        null_v3, null_v4 = central((noise == 1).sum(1)), central(noise.mean(1))
        result.judge(Measurement("V3", float(highest), n, wilson(highest, n), null_v3))
        result.judge(Measurement("V4", float(ranks.mean()), n, central(again.mean(1)), null_v4))
        return result


def own_ranks(matrix: np.ndarray) -> np.ndarray:
    """Ranks each scenario's own probe among the probes, 1 the highest.

    A tie takes the worst rank that it allows, and NaN ranks last; (scenario, probe) -> (scenario,).
    """
    return np.asarray((~(matrix < np.diag(matrix)[:, None])).sum(1))
