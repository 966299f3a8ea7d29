"""Drift: does steering carry a text off, and where to (paper, appendix on steering)?

Neutral openings are continued without and with each vector, at several strengths, with the same
random numbers. The model reads each text again unsteered, and the cosine of its residual with every
probe is taken token by token: what is measured is in the text, not what was added. Drift is the
steered text's projection minus that of the unsteered continuation of the same trial.

Isotropic directions of the same norm are continued too: their null is a random direction read by a
random probe, so that a random direction cannot pass. Where a text degenerates is marked by the rule
of emoexp/steering/degeneration.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.stats.drift import degenerate_shares, rows_by_strength
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, UNSTEERED
from emoexp.stats.matched_pairs import reading_order
from emoexp.steering.degeneration import surprise_limit
from emoexp.steering.drift import DriftTexts, text_seed
from emoexp.steering.trajectories import Texts, TextSampling, opened, write
from emoexp.store.artifacts import Row, array_key
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions


@dataclass(kw_only=True)
class Drift(Validation):
    """Texts continued under steering.

    Attributes:
        emotions: whose vectors are added; null: those of the pack's scenarios (a dozen), as far as
            they are studied.
        strengths: in multiples of the mean residual norm of the layer.
        strength: the one that the maps and the transcripts shown are of; added to `strengths` if it
            is not there, and a note says so.
        samples: continuations of each opening.
        steered: what is steered beside the new tokens: nothing (`generated`), the assistant's turn,
            or the whole prompt.
        smooth: tokens that each point of a curve is the mean of: its own and those before.
    """

    emotions: list[str] | None = None
    strengths: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 1.0])
    strength: float = 0.5
    samples: int = 4
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    steered: ReplySpan = ReplySpan.generated
    smooth: int = 8

    def __post_init__(self) -> None:
        if not self.strengths or len(set(self.strengths)) < len(self.strengths):
            raise EmoexpError(f"experiment.strengths={self.strengths}: at least one, each once")
        if self.emotions is not None and not self.emotions:
            raise EmoexpError("experiment.emotions=[]: name at least 2, or null for the scenarios'")
        for strength in (*self.strengths, self.strength):
            if not np.isfinite(strength) or strength == 0:
                raise EmoexpError(
                    f"experiment.strengths: {strength} must be a number other than 0, in multiples "
                    "of the residual norm"
                )
        for name, least in (("samples", 1), ("max_new_tokens", 4), ("smooth", 1)):
            if getattr(self, name) < least:
                raise EmoexpError(
                    f"experiment.{name}={getattr(self, name)} is too small: at least {least}"
                )
        if not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise EmoexpError(
                f"experiment.temperature={self.temperature}, top_p={self.top_p}: at least 0, and "
                "above 0 to 1"
            )
        if self.temperature == 0 and self.samples > 1:
            raise EmoexpError(
                "experiment.temperature=0 says the same each time: experiment.samples=1, not "
                f"{self.samples}"
            )
        self.joined = self.strength not in self.strengths
        self.strengths = sorted({*self.strengths, self.strength})

    def chosen(self, study: Study) -> list[str]:
        """Returns the emotions to steer with.

        Raises:
            EmoexpError: one is not studied, or there are fewer than two.
        """
        known = study.vectors.names
        wanted = self.emotions or [s.emotion for s in study.stimuli.scenarios if s.emotion in known]
        if unknown := sorted(set(wanted) - set(known)):
            raise EmoexpError(
                f"experiment.emotions: {', '.join(unknown)} not among the {len(known)} emotions of "
                "this run"
            )
        if len(set(wanted)) < 2:
            raise EmoexpError(
                f"experiment.emotions: {len(set(wanted))} of the run's emotions; name at least 2"
            )
        return list(dict.fromkeys(wanted))

    def texts(self, study: Study) -> DriftTexts:
        """Continues every opening; one artifact row per direction, so a killed run resumes."""
        model, vectors, stimuli, seed = study.model, study.vectors, study.stimuli, study.config.seed
        if not stimuli.drift:
            raise stimuli.lacking("drift")
        chosen, n_random = self.chosen(study), study.config.scale.random_directions
        names = {EMOTIONS: chosen, ISOTROPIC: [f"{ISOTROPIC} {i}" for i in range(n_random)]}
        random = isotropic_directions(n_random, model.d_model, study.control_rng())
        directions = np.concatenate([vectors.only(tuple(chosen)), random])
        labels = [*chosen, *names[ISOTROPIC]]
        prompts = [opened(o, model) for o in stimuli.drift for _ in range(self.samples)]
        seeds = [text_seed(seed, k) for k in range(len(prompts))]
        steps = np.array(self.strengths)[:, None] * vectors.residual_norm
        kind = (self.max_new_tokens, self.temperature, self.top_p, self.steered)

        def row(label: str) -> Row:
            added = np.zeros((1, model.d_model))
            if label != UNSTEERED:
                added = steps * directions[labels.index(label)]
            sampling, probes = TextSampling(*kind), vectors.directions
            return write(model, prompts, seeds, study.layer, added, probes, sampling)

        identity = {
            "model": model.identity,
            "format": model.format_identity,
            "pack": stimuli.sha256,
            "probes": array_key(vectors.directions),
            "layer": study.layer,
            "added": array_key(directions),
            "steps": array_key(steps),
            "seed": seed,
            "samples": self.samples,
            "sampling": [*kind[:3], self.steered.value],
        }
        title = f"drift, {len(labels)} directions, {len(self.strengths)} strengths"
        rows = study.artifacts.rows("drift", identity, [UNSTEERED, *labels], row, title)
        first, *rest = (Texts.of(r) for r in rows)
        limit = surprise_limit([s[np.isfinite(s)] for s in first.surprise[0]])
        by_label, starts = dict(zip(labels, rest, strict=True)), [p.text for p in prompts]
        return DriftTexts(starts, vectors.names, names, self.strengths, first, by_label, limit)

    def measure(self, study: Study) -> Tables:
        found, vectors = self.texts(study), study.vectors
        order, _ = reading_order(vectors.names, study.valence, vectors.directions)
        draws, seed = study.config.scale.bootstrap_draws, study.config.seed
        decode = study.model.tokenizer.decode
        valence = [study.valence.get(e, np.nan) for e in vectors.names]
        position = np.argsort(order)
        return {
            "drift_curves": found.curves(self.smooth, draws, seed),
            "drift_maps": found.maps(),
            "drift_maps_unbroken": found.maps(unbroken=True),
            "drift_transcripts": found.transcripts(decode, self.samples, seed),
            "drift_limit": pd.DataFrame({"surprise": [found.limit]}),
            "emotions": pd.DataFrame(
                {"emotion": vectors.names, "valence": valence, "position": position}
            ),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        maps, unbroken = tables["drift_maps"], tables["drift_maps_unbroken"]
        rows = rows_by_strength(maps, unbroken, bootstrap.draws, bootstrap.seed)
        own = rows[rows["strength"] == self.strength].iloc[0]
        texts = tables["drift_transcripts"]
        unsteered = texts[texts["set"] == UNSTEERED]
        return Result(
            metrics={
                "drift_own": float(own["own"]),
                "drift_own_rank": float(own["rank"]),
                "drift_surprise_limit": float(tables["drift_limit"]["surprise"].iloc[0]),
                "drift_false_alarms": float((unsteered["degenerates_at"] >= 0).mean()),
            },
            tables={"drift_rows": rows, "drift_broken": degenerate_shares(texts)},
        )

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        openings = len(study.stimuli.drift)
        notes = [
            "drift: cosine (unsteered reading) minus that of the unsteered text of the same trial, "
            f"last quarter of the text; {openings * self.samples} trials ({openings} openings); "
            "null: as many random directions, each read by a random probe"
        ]
        if self.joined:
            notes.append(
                f"strength {self.strength:g} was run as well: experiment.strength, which the maps "
                "show"
            )
        return notes
