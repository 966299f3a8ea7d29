"""How many stories does a vector need? Split-half reliability by emotion, and vector stability
against the number of stories.

No criterion of the paper: it says whether the corpus is large enough for the vectors that the
    criteria judge (emoexp/vectors/reliability.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.figures import reliability as figures_reliability
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study
from emoexp.vectors.extraction import load_groups
from emoexp.vectors.reliability import (
    EXTRAPOLATED,
    NOT_ESTIMABLE,
    by_emotion,
    curve,
    split,
    stability,
    stories_needed,
)
from emoexp.vectors.vectors import NEUTRAL_VARIANCE, neutral_components

OFF_THE_MODEL = 0.05


@dataclass(kw_only=True)
class Reliability(Experiment):
    """Attributes:
    splits: random splits of the groups, at every size.
    targets: cosines of vectors from disjoint stories that the number of stories is asked for.
    """

    splits: int = 200
    targets: list[float] = field(default_factory=lambda: [0.8, 0.9, 0.95])
    shown: ClassVar[tuple[str, ...]] = ("stories_needed", "stability")

    def __post_init__(self) -> None:
        if self.splits < 20:
            raise EmoexpError(f"experiment.splits={self.splits} is too few: at least 20 for a band")
        if not self.targets or not all(0 < t < 1 for t in self.targets):
            raise EmoexpError(
                f"experiment.targets={self.targets}: cosines between 0 and 1, at least one"
            )

    def run(self, study: Study) -> Result:
        means, layer, seed = study.means, study.layer, study.config.seed
        groups = load_groups(means, study.artifacts, layer)
        components = neutral_components(means.neutral[:, layer], NEUTRAL_VARIANCE)
        points = curve(groups, components, self.splits, seed)
        emotions = by_emotion(split(groups, components, None, self.splits, seed), groups)
        stable = stability(points)
        needed = stories_needed(points, self.targets, study.config.scale.bootstrap_draws, seed)
        where = f"{study.config.model.name}, {study.corpus.name}, layer {layer}"
        return Result(
            metrics=metrics(emotions, needed),
            tables={"stories_needed": needed, "stability": stable, "reliability": emotions},
            figures={
                "stability": figures_reliability.stability_curve(stable, needed, where),
                "reliability": figures_reliability.reliability_dots(emotions, where),
            },
            notes=notes(stable, needed),
        )


def metrics(emotions: pd.DataFrame, needed: pd.DataFrame) -> dict[str, float]:
    """Means over emotions, and the stories needed as far as they are known."""
    found = {
        "split_half_mean": float(emotions["split_half"].mean()),
        "split_half_min": float(emotions["split_half"].min()),
        "split_half_null": float(emotions["null"].mean()),
        "identification_rate": float(emotions["identified"].mean()),
        "identification_chance": 1 / len(emotions),
        "stories_per_emotion": float(emotions["stories"].mean()),
    }
    if emotions["all_stories"].notna().all():
        found["all_stories_mean"] = float(emotions["all_stories"].mean())
    return found | {
        f"stories_for_{row.cosine:g}": float(row.stories)
        for row in needed.itertuples()
        if row.how != NOT_ESTIMABLE
    }  # type: ignore[arg-type]


def notes(stable: pd.DataFrame, needed: pd.DataFrame) -> list[str]:
    """What a reader of the tables must know and might not see."""
    found = []
    if lacking := [f"{t:g}" for t in needed["cosine"][needed["how"] == NOT_ESTIMABLE]]:
        found.append(
            f"a cosine of {', '.join(lacking)} is not reached, and how many stories it takes is not"
            " estimable from these"
        )
    if (needed["how"] == EXTRAPOLATED).any():
        off = float((stable["cosine"] - stable["spearman_brown"]).abs().max())
        verdict = (
            "holds" if off <= OFF_THE_MODEL else "does not hold: take what is extrapolated as rough"
        )
        found.append(
            f"Spearman-Brown, which extrapolates, is off by at most {off:.2g} on the measured"
            f" curve, so it {verdict}"
        )
    return found
