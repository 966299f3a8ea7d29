"""V7: the model prefers some activities to others (paper, Table 9).

All ordered pairs of 64 activities, the A and B logits after "(", both orders averaged, then Elo as
published and Bradley-Terry beside it. The gap is between the highest and the lowest category mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.figures import validation as figures
from emoexp.report import agreement
from emoexp.stats.criteria import Measurement, judge
from emoexp.stats.intervals import Interval, central
from emoexp.stats.ratings import bradley_terry, position_bias, win_probabilities
from emoexp.stimuli.paper import published
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study


@dataclass(kw_only=True)
class Preference(Experiment):
    """No hyperparameters of its own."""

    shown: ClassVar[tuple[str, ...]] = ("elo_by_category", "agreement_elo")

    def run(self, study: Study) -> Result:
        scale, rng = study.config.scale, np.random.default_rng(study.config.seed)
        activities, ratings = study.stimuli.activities, study.baseline_elo
        mass = study.preferences.option_mass(study.artifacts)
        bt = bradley_terry(win_probabilities(study.baseline))
        labels = np.array([a.category for a in activities])
        permuted = np.array(
            [gap(ratings, rng.permutation(labels)) for _ in range(scale.permutations)]
        )
        measured = Measurement(
            "V7",
            gap(ratings, labels),
            len(ratings),
            self.interval(ratings, labels, scale.bootstrap_draws, rng),
            central(permuted),
        )
        table = pd.DataFrame(
            {
                "category": labels,
                "activity": [a.text for a in activities],
                "steered": [a.steered for a in activities],
                "elo": ratings,
                "bradley_terry": bt,
            }
        )
        by_category = (
            table.groupby("category", sort=False)[["elo", "bradley_terry"]]
            .mean()
            .reset_index()
            .sort_values("elo", ascending=False)
        )
        claude = published.activities().elo_post if study.stimuli.is_paper else None
        result = Result(
            metrics={
                "V7_bradley_terry": gap(bt, labels),
                "position_bias": position_bias(study.baseline),
                "option_mass": float(mass.mean()),
                "option_mass_below_half": float((mass < 0.5).mean()),
                "elo_min": float(ratings.min()),
                "elo_max": float(ratings.max()),
                "elo_bradley_terry_r": float(np.corrcoef(ratings, bt)[0, 1]),
            },
            verdicts=[judge(measured)],
            tables={"elo": table, "elo_by_category": by_category},
            figures={
                "elo": figures.elo_by_category(
                    table, f"{study.stimuli.name} pack, {study.config.model.name}", claude
                )
            },
        )
        if study.stimuli.is_paper:
            result.merge(agreement.elo(ratings, scale, study.config.seed))
        return result

    @staticmethod
    def interval(
        ratings: np.ndarray, labels: np.ndarray, draws: int, rng: np.random.Generator
    ) -> Interval:
        """Bootstrap over the activities of each category."""
        groups = [ratings[labels == c] for c in dict.fromkeys(labels)]
        means = np.stack([rng.choice(g, (draws, len(g))).mean(1) for g in groups])
        return central(means.max(0) - means.min(0))


def gap(ratings: np.ndarray, labels: np.ndarray) -> float:
    """Highest category mean minus lowest."""
    means = [ratings[labels == c].mean() for c in set(labels.tolist())]
    return float(max(means) - min(means))
