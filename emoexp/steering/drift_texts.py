"""Continues neutral openings without and with each direction, and keeps the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoexp.errors import require
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


def continue_openings(
    model: SubjectModel,
    stimuli: Stimuli,
    artifacts: Artifacts,
    vectors: EmotionVectors,
    sets: DirectionSets,
    strengths: Sequence[float],
    sampling: TextSampling,
    samples: int,
    seed: int,
) -> DriftTexts:
    """Continues every opening, unsteered and steered with each direction at each strength.

    One artifact row per direction: a killed run resumes where it stopped.

    Args:
        vectors: the probes that read the texts; steering is at their layer.
        sets: the directions; (direction, 1, d_model).
        samples: continuations of each opening.

    Raises:
        EmoexpError: the pack has no openings.
    """
    if not stimuli.drift:
        raise stimuli.lacking("drift")
    prompts = [opened(o, model) for o in stimuli.drift for _ in range(samples)]
    seeds, probes = [text_seed(seed, k) for k in range(len(prompts))], vectors.directions
    steps, directions = np.array(strengths)[:, None] * vectors.residual_norm, sets.directions[:, 0]

    def row(label: str) -> Row:
        added = np.zeros((1, model.d_model))
        if label != UNSTEERED:
            added = steps * directions[sets.names.index(label)]
        return write(model, prompts, seeds, vectors.layer, added, probes, sampling)

    identity = {
        "model": model.identity,
        "format": model.format_identity,
        "pack": stimuli.sha256,
        "probes": array_key(probes),
        "layer": vectors.layer,
        "added": array_key(directions),
        "steps": array_key(steps),
        "seed": seed,
        "samples": samples,
        "sampling": [*_numbers(sampling), sampling.steered.value],
    }
    title = f"drift, {len(sets.names)} directions, {len(strengths)} strengths"
    rows = artifacts.rows("drift", identity, [UNSTEERED, *sets.names], row, title)
    first, *rest = (Texts.of(r) for r in rows)
    names: dict[str, list[str]] = {}
    for label, name in zip(sets.sets, sets.names, strict=True):
        names.setdefault(label, []).append(name)
    return DriftTexts(
        prompts=[prompt.text for prompt in prompts],
        probes=vectors.names,
        names=names,
        strengths=list(strengths),
        unsteered=first,
        texts=dict(zip(sets.names, rest, strict=True)),
        limit=surprise_limit([s[np.isfinite(s)] for s in first.surprise[0]]),
    )


def _numbers(sampling: TextSampling) -> tuple[int, float, float]:
    return sampling.max_new_tokens, sampling.temperature, sampling.top_p
