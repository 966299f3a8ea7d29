"""Continues neutral openings without and with each direction, and keeps the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emoexp.errors import require
from emoexp.models.prompts import Prompt, prompts_key
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import UNSTEERED
from emoexp.steering.degeneration import surprise_limit
from emoexp.steering.drift import DriftTexts, text_seed
from emoexp.steering.sets import DirectionSets
from emoexp.steering.trajectories import Texts, TextSampling, opened, write
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts, Row, array_key
from emoexp.vectors.vectors import EmotionVectors


def emotions_to_steer(
    named: Sequence[str] | None, known: Sequence[str], stimuli: Stimuli
) -> list[str]:
    """Returns the emotions to steer with: those named, else those of the pack's scenarios.

    Args:
        known: the emotions under study.

    Raises:
        EmoexpError: one is not studied, or there are fewer than two.
    """
    wanted = named or [s.emotion for s in stimuli.scenarios if s.emotion in known]
    unknown = ", ".join(sorted(set(wanted) - set(known)))
    of_run = f"among the {len(known)} emotions of this run"
    require(not unknown, f"experiment.emotions: {unknown} not {of_run}")
    chosen = list(dict.fromkeys(wanted))
    few = f"experiment.emotions: {len(chosen)} of the run's emotions; name at least 2"
    require(len(chosen) >= 2, few)
    return chosen


@dataclass(frozen=True)
class DriftPlan:
    """What is continued, and with what.

    Attributes:
        model: writes the texts, and reads them again unsteered.
        stimuli: has the openings.
        vectors: the probes that read the texts; steering is at their layer.
        sets: the directions; (direction, 1, d_model).
        strengths: in multiples of the mean residual norm.
        sampling: how a text is drawn.
        samples: continuations of each opening.
        seed: of the texts' random numbers.
    """

    model: SubjectModel
    stimuli: Stimuli
    vectors: EmotionVectors
    sets: DirectionSets
    strengths: Sequence[float]
    sampling: TextSampling
    samples: int
    seed: int

    @property
    def prompts(self) -> list[Prompt]:
        """The prompt of each text: every opening, `samples` times."""
        return [opened(o, self.model) for o in self.stimuli.drift for _ in range(self.samples)]

    @property
    def steps(self) -> np.ndarray:
        """Norm of what is added at each strength; (strength, 1)."""
        return np.array(self.strengths)[:, None] * self.vectors.residual_norm

    @property
    def identity(self) -> dict[str, Any]:
        """What the texts depend on."""
        sampling = self.sampling
        drawn = [sampling.max_new_tokens, sampling.temperature, sampling.top_p]
        return {
            "model": self.model.identity,
            "generation": self.model.generation_identity,
            "prompts": prompts_key(self.prompts),
            "probes": array_key(self.vectors.directions),
            "layer": self.vectors.layer,
            "added": array_key(self.sets.directions[:, 0]),
            "steps": array_key(self.steps),
            "seed": self.seed,
            "samples": self.samples,
            "sampling": [*drawn, sampling.steered.value],
        }


def continue_openings(plan: DriftPlan, artifacts: Artifacts) -> DriftTexts:
    """Continues every opening, unsteered and steered with each direction at each strength.

    One artifact row per direction: a killed run resumes where it stopped.
    """
    model, vectors, sets = plan.model, plan.vectors, plan.sets
    prompts = plan.prompts
    seeds = [text_seed(plan.seed, k) for k in range(len(prompts))]

    def row(label: str) -> Row:
        added = np.zeros((1, model.d_model))
        if label != UNSTEERED:
            added = plan.steps * sets.directions[sets.names.index(label), 0]
        probes = vectors.directions
        return write(model, prompts, seeds, vectors.layer, added, probes, plan.sampling)

    title = f"drift, {len(sets.names)} directions, {len(plan.strengths)} strengths"
    rows = artifacts.rows("drift", plan.identity, [UNSTEERED, *sets.names], row, title)
    first, *rest = (Texts.of(r) for r in rows)
    return DriftTexts(
        prompts=[prompt.text for prompt in prompts],
        probes=vectors.names,
        names=sets.names_by_set(),
        strengths=list(plan.strengths),
        unsteered=first,
        texts=dict(zip(sets.names, rest, strict=True)),
        limit=surprise_limit([s[np.isfinite(s)] for s in first.surprise[0]]),
    )
