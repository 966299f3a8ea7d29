"""V5, V6: a number in the prompt changes what it means (paper, Figure 3).

Six templates, four probes: the cosine at the assistant's first token against the value. V5 counts
the trends (Spearman) with the expected sign, V6 the strong ones, however flat the curve is: so each
curve's range stands in `numeric_sizes`, in standard deviations of the probe. The null is isotropic
directions in place of the probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.bounds import number
from emoexp.errors import NotApplicableError
from emoexp.stats.criteria import STRONG, Measurement
from emoexp.stats.intervals import central, wilson
from emoexp.stats.labels import ISOTROPIC
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.study.tables import draws_by_null, null_table
from emoexp.vectors.probes import assistant_residuals
from emoexp.vectors.trends import by_draw, curves, sizes_of, trend_sizes, trends


@dataclass(kw_only=True)
class Numeric(Validation):
    """V5 and V6.

    Attributes:
        strong: a trend is strong if |Spearman| exceeds it; another limit than V6's is another
            measurement.
    """

    strong: float = number(STRONG, 0, 1, open_most=True, why=f"V6's is {STRONG}")

    def measure(self, study: Study) -> Tables:
        templates = study.stimuli.numeric
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
        drawn = {k: np.concatenate(d) for k, d in study.null_directions(probes).items()}
        cells = pd.DataFrame(
            [(t.key, p, t.signs[p]) for t in templates for p in probes],
            columns=["template", "probe", "expected"],
        )
        scenarios = [s.text for s in study.stimuli.scenarios]
        rest = {"scenarios": scenarios} if scenarios else {}
        others = assistant_residuals(study.model, study.artifacts, rest, study.layer)
        pooled = np.concatenate([*residuals, *others])
        cells["spearman"] = trends(residuals, directions, templates).ravel()
        cells["size"] = trend_sizes(residuals, directions, pooled).ravel()
        return {
            "numeric_curves": curves(residuals, directions, templates, list(probes)),
            "numeric_trends": cells,
            "numeric_null": null_table(
                {k: by_draw(trends(residuals, d, templates), cells) for k, d in drawn.items()}
            ),
            "numeric_size_null": null_table(
                {k: by_draw(trend_sizes(residuals, d, pooled), cells) for k, d in drawn.items()}
            ),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        cells, noise = tables["numeric_trends"], draws_by_null(tables["numeric_null"])
        rho, signs = (cells[name].to_numpy() for name in ("spearman", "expected"))
        both = self.right(rho, signs) & self.large(rho, signs)
        other = f"numbers: |Spearman| > {self.strong}" if self.strong != STRONG else ""
        sizes = draws_by_null(tables["numeric_size_null"])[ISOTROPIC]
        table = sizes_of(cells, values_of(sizes))
        metrics = {
            f"V5_and_above_{self.strong}" if other else "V5_and_strong": float(both.sum()),
            "numeric_size_mean": float(cells["size"].mean()),
            "numeric_sizes_beyond_null": float(table["beyond"].sum()),
        }
        result = Result(metrics=metrics, tables={"numeric_sizes": table})
        for criterion, counted, setting in (("V5", self.right, ""), ("V6", self.large, other)):
            count, n = int(counted(rho, signs).sum()), len(cells)
            nulls = {k: central(counted(values_of(x), signs).sum(1)) for k, x in noise.items()}
            measurement = Measurement(criterion, float(count), n, wilson(count, n), nulls)
            result.judge(measurement, setting)
        return result

    def right(self, rho: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Tells which trends have the expected sign, as V5 counts them."""
        return np.asarray(np.sign(rho) == signs)

    def large(self, rho: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Tells which trends are strong, of either sign, as V6 counts them."""
        return np.asarray(np.abs(rho) > self.strong)
