"""V3, V4: scenarios that imply an emotion without naming it (paper, Table 2 and Figure 2).

The cosine of the residual at the assistant's first token with the probes of the scenarios'
emotions. V3 counts the scenarios whose own probe is the highest, V4 averages its rank. The verdicts
are on the raw cosines, as published; centred and z-scored over the scenarios they stand in
`implicit_read_outs`, with their own nulls. The nulls are isotropic directions in place of the
probes, vectors of shuffled labels, and permuted scenarios: residuals of a real model share a large
part, so that isotropic directions rank all scenarios alike and their null is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from emoexp.errors import NotApplicableError
from emoexp.stats.own_probe import (
    CENTRED,
    RAW,
    count_highest,
    mean_rank,
    measure_ranks,
    own_ranks,
    probe_ranks,
    read_outs,
    row_of,
)
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.study.tables import draws_by_null, null_table
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
        names = [s.emotion for s in scenarios]
        texts = {"scenarios": [s.text for s in scenarios]}
        residuals = assistant_residuals(study.model, study.artifacts, texts, study.layer)[0]
        table = pd.DataFrame(cosine(residuals, study.vectors.only(tuple(names))), columns=names)
        table.insert(0, "scenario", names)
        noise = {
            label: null_ranks([cosine(residuals, d) for d in directions], names)
            for label, directions in study.null_directions(names).items()
        }
        return {"implicit": table, "implicit_null": null_table(noise)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        names = list(tables["implicit"]["scenario"])
        matrix, noise = values_of(tables["implicit"], names), draws_by_null(tables["implicit_null"])
        by_read_out, rows = read_outs(matrix), []
        result = Result(metrics=metrics_of(by_read_out))
        for name, cosines in by_read_out.items():
            drawn = {k: values_of(t[t["read_out"] == name], names) for k, t in noise.items()}
            ranks, n = probe_ranks(cosines), bootstrap.permutations
            for measurement, p in measure_ranks(ranks, drawn, bootstrap.draws, n, bootstrap.seed):
                if name == RAW:
                    result.judge(measurement)
                rows.append({"read_out": name, **row_of(measurement), "permutation_p": p})
        table = pd.DataFrame(rows)
        table["q"] = false_discovery_control(table["permutation_p"])
        result.tables["implicit_read_outs"] = table
        return result


def null_ranks(cosines: list[np.ndarray], names: list[str]) -> pd.DataFrame:
    """Ranks the own directions of each draw by each read-out; a row per draw and read-out."""
    by_draw = [read_outs(matrix) for matrix in cosines]
    return pd.concat(
        pd.DataFrame([own_ranks(d[name]) for d in by_draw], columns=names).assign(read_out=name)
        for name in by_draw[0]
    )


def metrics_of(by_read_out: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the numbers without a verdict."""
    matrix, centred = by_read_out[RAW], own_ranks(by_read_out[CENTRED])
    off = ~np.eye(len(matrix), dtype=bool)
    return {
        "V3_centred": float(count_highest(centred)),
        "V4_centred": float(mean_rank(centred)),
        "V3_top3": float((own_ranks(matrix) <= 3).sum()),
        "implicit_diagonal_mean": float(np.diag(matrix).mean()),
        "implicit_off_diagonal_mean": float(matrix[off].mean()),
    }
