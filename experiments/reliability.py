"""How many stories does a vector need? Split-half reliability by emotion, and vector stability
against the number of stories.

No criterion of the paper: it says whether the corpus is large enough for the vectors that the
criteria judge (emoexp/vectors/reliability.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from emoexp.bounds import number
from emoexp.config import MOST_DRAWS
from emoexp.stats.reliability import (
    EXTRAPOLATED,
    NOT_ESTIMABLE,
    by_emotion,
    stability,
    stories_needed,
)
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.extraction import load_groups
from emoexp.vectors.reliability import curve, split
from emoexp.vectors.vectors import components_at

OFF_THE_MODEL = 0.05
"""Largest difference of measured and predicted cosine at which Spearman-Brown is said to hold."""


@dataclass(kw_only=True)
class Reliability(Validation):
    """Split halves and a curve over the number of stories.

    Attributes:
        splits: random splits of the groups, at every size.
        targets: cosines of vectors from disjoint stories that the number of stories is asked for.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories",)

    splits: int = number(200, 20, MOST_DRAWS, why="for a band")
    targets: list[float] = number(lambda: [0.8, 0.9, 0.95], 0, 1, open_least=True, open_most=True)

    def measure(self, study: Study) -> Tables:
        means, seed = study.means, study.config.seed
        groups = load_groups(means, study.artifacts, study.layer)
        components = components_at(means, study.layer)
        points = curve(groups, components, self.splits, seed)
        halves = split(groups, components, None, self.splits, seed)
        draws = study.config.scale.bootstrap_draws
        return {
            "stories_needed": stories_needed(points, self.targets, draws, seed),
            "stability": stability(points),
            "reliability": by_emotion(halves, groups.emotions, groups.counts),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        emotions, needed = tables["reliability"], tables["stories_needed"]
        metrics = {
            "split_half_mean": emotions["split_half"].mean(),
            "split_half_min": emotions["split_half"].min(),
            "split_half_null": emotions["null"].mean(),
            "identification_rate": emotions["identified"].mean(),
            "identification_chance": 1 / len(emotions),
            "stories_per_emotion": emotions["stories"].mean(),
        }
        if emotions["all_stories"].notna().all():
            metrics["all_stories_mean"] = emotions["all_stories"].mean()
        for row in needed[needed["how"] != NOT_ESTIMABLE].to_dict("records"):
            metrics[f"stories_for_{row['cosine']:g}"] = row["stories"]
        return Result(
            metrics={name: float(value) for name, value in metrics.items()},
            notes=notes(tables["stability"], needed),
        )


def notes(stable: pd.DataFrame, needed: pd.DataFrame) -> list[str]:
    """Says which targets are not reached, and whether the extrapolation fits the measured curve."""
    found = []
    if lacking := [f"{t:g}" for t in needed["cosine"][needed["how"] == NOT_ESTIMABLE]]:
        found.append(
            f"a cosine of {', '.join(lacking)} is not reached, and how many stories it takes is"
            " not estimable from these"
        )
    if (needed["how"] == EXTRAPOLATED).any():
        off = float((stable["cosine"] - stable["spearman_brown"]).abs().max())
        verdict = "holds"
        if off > OFF_THE_MODEL:
            verdict = "does not hold: take what is extrapolated as rough"
        found.append(
            f"Spearman-Brown, which extrapolates, is off by at most {off:.2g} on the measured"
            f" curve, so it {verdict}"
        )
    return found
