"""V5, V6: a number in the prompt changes what it means (paper, Figure 3).

Six templates, four probes: the cosine at the assistant's first token against the value. V5 counts
the trends (Spearman) with the expected sign, V6 the strong ones, however flat the curve is: so each
curve's range stands in `numeric_sizes`, in standard deviations of the probe. The null is isotropic
directions in place of the probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError, NotApplicableError
from emoexp.stats.criteria import STRONG, Measurement
from emoexp.stats.intervals import central, wilson
from emoexp.stats.labels import ISOTROPIC
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.probes import assistant_residuals, cosine
from emoexp.vectors.trends import by_draw, sizes_of, trend_sizes, trends


@dataclass(kw_only=True)
class Numeric(Validation):
    """V5 and V6.

    Attributes:
        strong: a trend is strong if |Spearman| exceeds it; another limit than V6's is another
            measurement.
    """

    strong: float = STRONG

    def __post_init__(self) -> None:
        if not 0 <= self.strong < 1:
            raise EmoexpError(
                f"experiment.strong={self.strong}: a limit of |Spearman|, at least 0 and below 1; "
                f"V6's is {STRONG}"
            )

    def measure(self, study: Study) -> Tables:
        templates, draws = study.stimuli.numeric, study.config.scale.null_draws
        if not templates:
            raise NotApplicableError(
                f"V5, V6: the pack {study.stimuli.name!r} says that it has no numeric templates"
            )
        named = dict.fromkeys(e for t in templates for e in t.signs)
        probes = tuple(e for e in named if e in study.emotions)
        if not probes:
            raise NotApplicableError(
                "V5, V6: numeric needs at least one of the templates' probes among emotions.names"
            )
        texts = {t.key: [t.template.format(X=x) for x in t.values] for t in templates}
        residuals = assistant_residuals(study.model, study.artifacts, texts, study.layer)
        directions = study.vectors.only(probes)
        drawn = isotropic_directions(draws * len(probes), study.model.d_model, study.control_rng())
        cells = pd.DataFrame(
            [(t.key, p, t.signs[p]) for t in templates for p in probes],
            columns=["template", "probe", "expected"],
        )
        pooled = np.concatenate([*residuals, *scenario_residuals(study)])
        cells.insert(2, "spearman", trends(residuals, directions, templates).ravel())
        cells.insert(3, "size", trend_sizes(residuals, directions, pooled).ravel())
        curves = [
            pd.DataFrame(cosine(h, directions), columns=list(probes)).assign(
                template=t.key, value=t.values
            )
            for t, h in zip(templates, residuals, strict=True)
        ]
        return {
            "numeric_curves": pd.concat(curves, ignore_index=True)[["template", "value", *probes]],
            "numeric_trends": cells,
            "numeric_null": by_draw(trends(residuals, drawn, templates), cells),
            "numeric_size_null": by_draw(trend_sizes(residuals, drawn, pooled), cells),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        cells, noise = tables["numeric_trends"], values_of(tables["numeric_null"])
        rho, signs = (cells[name].to_numpy() for name in ("spearman", "expected"))
        right, strong = np.sign(rho) == signs, np.abs(rho) > self.strong
        other = f"numbers: |Spearman| > {self.strong}" if self.strong != STRONG else ""
        both = f"V5_and_above_{self.strong}" if other else "V5_and_strong"
        table = sizes_of(cells, values_of(tables["numeric_size_null"]))
        metrics = {
            both: float((right & strong).sum()),
            "numeric_size_mean": float(cells["size"].mean()),
            "numeric_sizes_beyond_null": float(table["beyond"].sum()),
        }
        result = Result(metrics=metrics, tables={"numeric_sizes": table})
        for criterion, count, null, setting in (
            ("V5", int(right.sum()), np.sign(noise) == signs, ""),
            ("V6", int(strong.sum()), np.abs(noise) > self.strong, other),
        ):
            interval, n = wilson(count, len(cells)), len(cells)
            nulls = {ISOTROPIC: central(null.sum(1))}
            result.judge(Measurement(criterion, float(count), n, interval, nulls), setting)
        return result


def scenario_residuals(study: Study) -> Sequence[np.ndarray]:
    """Reads the pack's scenarios, if it has any, as V3 does."""
    if not (texts := [s.text for s in study.stimuli.scenarios]):
        return []
    return assistant_residuals(study.model, study.artifacts, {"scenarios": texts}, study.layer)
