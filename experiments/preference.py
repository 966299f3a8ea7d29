"""V7: the model prefers some activities to others (paper, Table 9).

All ordered pairs of 64 activities: the probability of A and of B after "(", averaged over both
orders, then Elo as published and Bradley-Terry beside it. V7 is the gap between the highest and the
lowest category mean. The null permutes the categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.stats.criteria import Measurement
from emoexp.stats.intervals import central
from emoexp.stats.labels import PERMUTED_CATEGORIES
from emoexp.stats.ratings import bradley_terry, position_bias, win_probabilities
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study


@dataclass(kw_only=True)
class Preference(Validation):
    """V7; no hyperparameters."""

    reads: ClassVar[tuple[str, ...]] = ()

    def measure(self, study: Study) -> Tables:
        activities = study.stimuli.activities
        mass = study.preferences.option_mass(study.artifacts)
        elo = pd.DataFrame(
            {
                "category": [a.category for a in activities],
                "activity": [a.text for a in activities],
                "steered": [a.steered for a in activities],
                "elo": study.baseline_elo,
                "bradley_terry": bradley_terry(win_probabilities(study.baseline)),
            }
        )
        answers = {
            "position_bias": position_bias(study.baseline),
            "option_mass": float(mass.mean()),
            "option_mass_below_half": float((mass < 0.5).mean()),
        }
        return {"elo": elo, "answers": pd.DataFrame([answers])}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        table, rng = tables["elo"], bootstrap.rng()
        ratings, bt = table["elo"].to_numpy(), table["bradley_terry"].to_numpy()
        labels = table["category"].to_numpy(dtype=str)
        permuted = [gap(ratings, rng.permutation(labels)) for _ in range(bootstrap.permutations)]
        by_category = table.groupby("category", sort=False)[["elo", "bradley_terry"]].mean()
        resampled = resampled_means(ratings, labels, bootstrap.draws, rng)
        by_category[["ci_low", "ci_high"]] = [central(means) for means in resampled]
        by_category["n"] = table["category"].value_counts()
        result = Result(
            metrics={
                "V7_bradley_terry": gap(bt, labels),
                **{str(name): float(value) for name, value in tables["answers"].iloc[0].items()},
                "elo_min": float(ratings.min()),
                "elo_max": float(ratings.max()),
                "elo_bradley_terry_r": float(np.corrcoef(ratings, bt)[0, 1]),
            },
            tables={
                "elo_by_category": by_category.sort_values("elo", ascending=False).reset_index()
            },
        )
        interval = central(resampled.max(0) - resampled.min(0))
        nulls = {PERMUTED_CATEGORIES: central(np.array(permuted))}
        result.judge(Measurement("V7", gap(ratings, labels), len(ratings), interval, nulls))
        return result


def gap(ratings: np.ndarray, labels: np.ndarray) -> float:
    """Returns the highest category mean minus the lowest."""
    means = [ratings[labels == c].mean() for c in set(labels.tolist())]
    return float(max(means) - min(means))


def resampled_means(
    ratings: np.ndarray, labels: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns bootstrap means of each category over its activities; (category, draw)."""
    groups = [ratings[labels == c] for c in dict.fromkeys(labels)]
    return np.stack([rng.choice(g, (draws, len(g))).mean(1) for g in groups])
