"""Drift: does steering carry a text off, and where to (paper, appendix on steering)?

Neutral openings are continued without and with each vector, at several strengths, with the same
random numbers. The model reads each text again unsteered, and the cosine of its residual with every
probe is taken token by token: what is measured is in the text, not what was added. Drift is the
steered text's projection minus that of the unsteered continuation of the same trial. The null is a
random direction of the same norm read by a random probe. Where a text degenerates is marked by the
rule of emoexp/steering/degeneration.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from emoexp.bounds import number
from emoexp.config import MOST_HOT, ReplySpan
from emoexp.errors import require
from emoexp.stats.drift import degenerate_shares, rows_by_strength
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, UNSTEERED
from emoexp.steering.drift_texts import DriftPlan, continue_openings, emotions_to_steer
from emoexp.steering.sets import DirectionSets, numbered
from emoexp.steering.settings import a_strength
from emoexp.steering.trajectories import TextSampling
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.vectors import emotions_table

READ = (
    "drift: cosine (unsteered reading) minus that of the unsteered text of the same trial, last "
    "quarter of the text"
)
NULL = "random directions, each read by a random probe"


@dataclass(kw_only=True)
class Drift(Validation):
    """Texts continued under steering.

    Attributes:
        emotions: whose vectors are added; null: those of the pack's scenarios that are studied.
        strengths: in multiples of the mean residual norm of the layer.
        strength: the one that maps and transcripts show; added to `strengths` if it is not there.
        samples: continuations of each opening.
        steered: what is steered beside the new tokens (`ReplySpan`).
        smooth: tokens that each point of a curve is the mean of: its own and those before.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors", "emotions.norms")

    emotions: list[str] | None = None
    strengths: list[float] = a_strength(lambda: [0.1, 0.25, 0.5, 1.0])
    strength: float = a_strength(0.5)
    samples: int = number(4, most=10_000)
    max_new_tokens: int = number(64, 4, 100_000)
    temperature: float = number(1.0, 0, MOST_HOT)
    top_p: float = number(1.0, 0, 1, open_least=True)
    steered: ReplySpan = ReplySpan.generated
    smooth: int = number(8, most=10_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.emotions != [], "experiment.emotions=[]: name at least 2, or give null")
        t, n = self.temperature, self.samples
        same = f"experiment.temperature=0 says the same each time: experiment.samples=1, not {n}"
        require(t > 0 or n == 1, same)
        self.joined = self.strength not in self.strengths
        self.strengths = sorted({*self.strengths, self.strength})

    def check(self, study: Study) -> None:
        super().check(study)
        if not study.stimuli.drift:
            raise study.stimuli.lacking("drift")
        if self.emotions is not None:
            emotions_to_steer(self.emotions, study.emotions, study.stimuli)

    def measure(self, study: Study) -> Tables:
        model, vectors, config, seed = study.model, study.vectors, study.config, study.config.seed
        chosen = emotions_to_steer(self.emotions, vectors.names, study.stimuli)
        n_random = config.scale.random_directions
        random = isotropic_directions(n_random, model.d_model, study.control_rng())
        parts = {EMOTIONS: (chosen, vectors.only(tuple(chosen))[:, None])}
        parts[ISOTROPIC] = (numbered(ISOTROPIC, n_random), random[:, None])
        limits, sets = (self.max_new_tokens, self.temperature, self.top_p), DirectionSets.of(parts)
        drawn = self.strengths, TextSampling(*limits, self.steered), self.samples, seed
        plan = DriftPlan(model, study.stimuli, vectors, sets, *drawn)
        texts = continue_openings(plan, study.artifacts)
        return {
            "drift_curves": texts.curves(self.smooth, config.scale.bootstrap_draws, seed),
            "drift_maps": texts.maps(),
            "drift_maps_unbroken": texts.maps(unbroken=True),
            "drift_transcripts": texts.transcripts(model.tokenizer.decode, self.samples, seed),
            "drift_limit": pd.DataFrame({"surprise": [texts.limit]}),
            "emotions": emotions_table(vectors, study.valence),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        maps, unbroken = tables["drift_maps"], tables["drift_maps_unbroken"]
        rows = rows_by_strength(maps, unbroken, bootstrap.draws, bootstrap.seed)
        own, texts = rows[rows["strength"] == self.strength].iloc[0], tables["drift_transcripts"]
        unsteered = texts.loc[texts["set"] == UNSTEERED, "degenerates_at"]
        metrics = {
            "drift_own": float(own["own"]),
            "drift_own_rank": float(own["rank"]),
            "drift_surprise_limit": float(tables["drift_limit"]["surprise"].iloc[0]),
            "drift_false_alarms": float((unsteered >= 0).mean()),
        }
        tables = {"drift_rows": rows, "drift_broken": degenerate_shares(texts)}
        return Result(metrics=metrics, tables=tables)

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        n = len(study.stimuli.drift)
        notes = [f"{READ}; {n * self.samples} trials ({n} openings); null: as many {NULL}"]
        also = f"strength {self.strength:g} was run as well: experiment.strength, which maps show"
        return [*notes, also] if self.joined else notes
