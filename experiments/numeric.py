"""V5, V6: a number in the prompt changes what it means (paper, Figure 3).

Six templates, four probes, cosine at the assistant's first token against the value. V5 counts the
trends with the expected sign, V6 the strong ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.figures import validation as figures
from emoexp.report import agreement
from emoexp.stats.criteria import STRONG, Measurement
from emoexp.stats.intervals import central, rank_columns, wilson
from emoexp.stimuli import NumericTemplate
from emoexp.stimuli.paper import published
from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.study.study import Experiment, NotApplicableError, Study
from emoexp.vectors.probes import assistant_residuals, cosine
from emoexp.vectors.vectors import isotropic_directions


@dataclass(kw_only=True)
class Numeric(Experiment):
    """A trend is strong if |Spearman| exceeds `strong`; another limit than V6's is another
    measurement."""

    strong: float = STRONG
    shown: ClassVar[tuple[str, ...]] = (OTHER_SETTINGS, "agreement_numeric")

    def __post_init__(self) -> None:
        if not 0 <= self.strong < 1:
            raise EmoexpError(
                f"experiment.strong={self.strong}: a limit of |Spearman|, at least 0 and below 1; "
                f"V6's is {STRONG}"
            )

    def run(self, study: Study) -> Result:
        scale, seed = study.config.scale, study.config.seed
        templates = study.stimuli.numeric
        if not templates:
            raise NotApplicableError(
                f"V5, V6: the pack {study.stimuli.name!r} says that it has no numeric templates"
            )
        probes = tuple(
            e for e in dict.fromkeys(e for t in templates for e in t.signs) if e in study.emotions
        )
        if not probes:
            raise NotApplicableError(
                "V5, V6: numeric needs at least one of the templates' probes among emotions.names"
            )
        texts = {t.key: [t.template.format(X=x) for x in t.values] for t in templates}
        residuals = assistant_residuals(study.model, study.artifacts, texts, study.layer)
        directions = study.vectors.only(probes)
        rho, signs = (
            self.trends(residuals, directions, templates),
            np.array([[t.signs[p] for p in probes] for t in templates]),
        )
        right, strong = (np.sign(rho) == signs).ravel(), (np.abs(rho) > self.strong).ravel()

        drawn = isotropic_directions(
            scale.null_draws * len(probes), study.model.d_model, study.control_rng()
        )
        by_draw = (
            self.trends(residuals, drawn, templates)
            .reshape(len(templates), scale.null_draws, len(probes))
            .swapaxes(0, 1)
        )
        noise = np.stack([np.sign(by_draw) == signs, np.abs(by_draw) > self.strong]).sum((2, 3))
        n, cosines = right.size, [cosine(h, directions) for h in residuals]
        measured = [
            Measurement(
                criterion, float(cells.sum()), n, wilson(int(cells.sum()), n), central(noise[k])
            )
            for k, (criterion, cells) in enumerate((("V5", right), ("V6", strong)))
        ]
        other = f"numbers: |Spearman| > {self.strong}" if self.strong != STRONG else ""
        both = f"V5_and_above_{self.strong}" if other else "V5_and_strong"
        rows = [
            {"template": t.key, "value": x, **dict(zip(probes, row, strict=True))}
            for t, c in zip(templates, cosines, strict=True)
            for x, row in zip(t.values, c, strict=True)
        ]
        trends = pd.DataFrame(
            [
                {
                    "template": t.key,
                    "probe": p,
                    "spearman": float(rho[i, k]),
                    "expected": int(signs[i, k]),
                }
                for i, t in enumerate(templates)
                for k, p in enumerate(probes)
            ]
        )
        curves = pd.DataFrame(rows)
        claude = published.numeric() if study.stimuli.is_paper else None
        title = f"{study.stimuli.name} pack, {study.config.model.name}, layer {study.layer}"
        result = Result(
            metrics={both: float((right & strong).sum())},
            tables={"numeric_curves": curves, "numeric_trends": trends},
            figures={"numeric": figures.numeric_panels(curves, probes, title, claude)},
        )
        result.judge(measured[0])
        result.judge(measured[1], other)
        if claude is not None:
            result.merge(
                agreement.numeric([t.key for t in templates], probes, cosines, scale, seed)
            )
        return result

    @staticmethod
    def trends(
        residuals: list[np.ndarray], directions: np.ndarray, templates: Sequence[NumericTemplate]
    ) -> np.ndarray:
        """Spearman of value and cosine; (template, probe)."""
        return np.stack(
            [
                rank_columns(cosine(h, directions), np.array(t.values))
                for t, h in zip(templates, residuals, strict=True)
            ]
        )
