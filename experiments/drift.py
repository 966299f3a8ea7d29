"""Drift: does steering carry a text off, and where to (paper, appendix on steering)?

Neutral openings are continued without and with each vector, at several strengths, with the same
random numbers. The model reads each
text again unsteered, and the cosine of its residual with every probe is taken token by token: what
    is measured is in the text, not
what was added. Drift is the steered text's projection minus that of the unsteered continuation of
the same trial.

Isotropic directions of the same norm are continued too: their null is a random direction read by a
    random probe, so that a random
direction cannot pass. Where a text degenerates is marked by the rule of
emoexp/steering/degeneration.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from emoexp.experiments.steering import EMOTIONS, ISOTROPIC

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.figures import behaviour as figures_behaviour
from emoexp.stats.intervals import wilson_share
from emoexp.stats.matched_pairs import cells, mean_of, random_pairs, reading_order
from emoexp.steering.degeneration import Breakdown, breakdown, repetition, surprise_limit
from emoexp.steering.trajectories import (
    Sampling,
    Texts,
    band,
    drifted,
    last_quarter,
    mean_tokens,
    opened,
    smoothed,
    write,
)
from emoexp.store.artifacts import Row, array_key
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study
from emoexp.vectors.vectors import isotropic_directions

UNSTEERED = "unsteered"


@dataclass(frozen=True)
class Measured:
    """Texts of every direction and of none; `limit` is the surprise (nats) above which a window is
    broken."""

    prompts: list[str]
    names: dict[str, list[str]]
    unsteered: Texts
    texts: dict[str, Texts]
    limit: float

    def breakdown(self, texts: Texts, strength: int, trial: int) -> Breakdown | None:
        ids = texts.tokens(strength, trial)
        return breakdown(
            ids, texts.surprise[strength, trial, : len(ids)].astype(np.float64), self.limit
        )


@dataclass(kw_only=True)
class Drift(Experiment):
    """Attributes:
    emotions: whose vectors are added; null: those of the pack's scenarios (a dozen), as far as they
        are studied.
    strengths: in multiples of the mean residual norm of the layer.
    strength: the one that the maps and the transcripts shown are of; added to `strengths` if it is
        not there, and a note says so.
    samples: continuations of each opening.
    steered: what is steered beside the new tokens: nothing (`generated`), the assistant's turn, or
        the whole prompt.
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
    shown: ClassVar[tuple[str, ...]] = ("drift_rows", "drift_broken", "drift_shown")

    def __post_init__(self) -> None:
        if not self.strengths or len(set(self.strengths)) < len(self.strengths):
            raise EmoexpError(f"experiment.strengths={self.strengths}: at least one, each once")
        if self.emotions is not None and not self.emotions:
            raise EmoexpError("experiment.emotions=[]: name at least 2, or null for the scenarios'")
        for strength in (*self.strengths, self.strength):
            if not np.isfinite(strength) or strength == 0:
                raise EmoexpError(
                    f"experiment.strengths: {strength} must be a number other than 0, in multiples"
                    " of the residual norm"
                )
        for name, least in (("samples", 1), ("max_new_tokens", 4), ("smooth", 1)):
            if getattr(self, name) < least:
                raise EmoexpError(
                    f"experiment.{name}={getattr(self, name)} is too small: at least {least}"
                )
        if not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise EmoexpError(
                f"experiment.temperature={self.temperature}, top_p={self.top_p}: at least 0, and"
                " above 0 to 1"
            )
        if self.temperature == 0 and self.samples > 1:
            raise EmoexpError(
                "experiment.temperature=0 says the same each time: experiment.samples=1, not"
                f" {self.samples}"
            )
        self.joined = self.strength not in self.strengths
        self.strengths = sorted({*self.strengths, self.strength})

    def run(self, study: Study) -> Result:
        return self.judged(study, self.measure(study))

    def chosen(self, study: Study) -> list[str]:
        """The emotions to steer with. Raises EmoexpError: one is not studied, or there are fewer
        than two."""
        known = study.vectors.names
        wanted = self.emotions or [s.emotion for s in study.stimuli.scenarios if s.emotion in known]
        if unknown := sorted(set(wanted) - set(known)):
            raise EmoexpError(
                f"experiment.emotions: {', '.join(unknown)} not among the {len(known)} emotions of"
                " this run"
            )
        if len(set(wanted)) < 2:
            raise EmoexpError(
                f"experiment.emotions: {len(set(wanted))} of the run's emotions; name at least 2"
            )
        return list(dict.fromkeys(wanted))

    def measure(self, study: Study) -> Measured:
        """One artifact row for each direction with all its texts: a killed run goes on where it
        stopped."""
        model, vectors, stimuli, seed = study.model, study.vectors, study.stimuli, study.config.seed
        if not stimuli.drift:
            raise stimuli.lacking("drift")
        chosen, n_random = self.chosen(study), study.config.scale.random_directions
        names = {EMOTIONS: chosen, ISOTROPIC: [f"{ISOTROPIC} {i}" for i in range(n_random)]}
        directions = np.concatenate(
            [
                vectors.only(tuple(chosen)),
                isotropic_directions(n_random, model.d_model, study.control_rng()),
            ]
        )
        labels = [*chosen, *names[ISOTROPIC]]
        prompts = [opened(opening, model) for opening in stimuli.drift for _ in range(self.samples)]
        sampling = Sampling(self.max_new_tokens, self.temperature, self.top_p, self.steered)
        steps = np.array(self.strengths)[:, None] * vectors.residual_norm

        def row(label: str) -> Row:
            added = (
                np.zeros((1, model.d_model))
                if label == UNSTEERED
                else steps * directions[labels.index(label)]
            )
            return write(
                model,
                prompts,
                [1_000_003 * seed + k for k in range(len(prompts))],
                study.layer,
                added,
                vectors.directions,
                sampling,
            )

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
            "sampling": [self.max_new_tokens, self.temperature, self.top_p, self.steered.value],
        }
        title = f"drift, {len(labels)} directions, {len(self.strengths)} strengths"
        first, *rest = (
            Texts.of(r)
            for r in study.artifacts.rows("drift", identity, [UNSTEERED, *labels], row, title)
        )
        limit = surprise_limit([s[np.isfinite(s)] for s in first.surprise[0]])
        return Measured(
            [p.text for p in prompts], names, first, dict(zip(labels, rest, strict=True)), limit
        )

    def judged(self, study: Study, found: Measured) -> Result:
        """Own drift and its rank among the probes by strength, against random pairs; curves,
        transcripts and where texts degenerate."""
        probes = study.vectors.names
        order, ordered_by = reading_order(probes, study.valence, study.vectors.directions)
        transcripts = self.transcripts(study, found)
        curves = self.curves(study, found)
        maps = {
            (group, s): self.map(found, group, s)
            for group in found.names
            for s in range(len(self.strengths))
        }
        rows = self.rows(study, found, maps)
        here = self.strengths.index(self.strength)
        title = (
            f"{study.stimuli.name} pack, {study.config.model.name}, layer {study.layer}, steered:"
            f" {self.steered.value}"
        )
        ends = np.concatenate([maps[EMOTIONS, here], np.abs(maps[ISOTROPIC, here]).mean(0)[None]])[
            :, order
        ]
        steered = [*found.names[EMOTIONS], "isotropic, mean size"]
        by_valence = sorted(
            range(len(steered) - 1), key=lambda i: list(order).index(probes.index(steered[i]))
        )
        ordered = [*by_valence, len(steered) - 1]
        wide = [
            pd.DataFrame(maps[g, s], columns=list(probes)).assign(
                set=g, direction=n, strength=strength
            )[["set", "direction", "strength", *probes]]
            for g, n in found.names.items()
            for s, strength in enumerate(self.strengths)
        ]
        own = rows.to_dict("records")[here]
        return Result(
            metrics={
                "drift_own": own["own"],
                "drift_own_rank": own["rank"],
                "drift_surprise_limit": found.limit,
                "drift_false_alarms": float(
                    (transcripts[transcripts["set"] == UNSTEERED]["degenerates_at"] >= 0).mean()
                ),
            },
            tables={
                "drift_rows": rows,
                "drift_broken": self.broken(transcripts),
                "drift_shown": self.excerpts(transcripts),
                "drift_curves": curves,
                "drift_maps": pd.concat(wide, ignore_index=True),
                "drift_transcripts": transcripts,
            },
            figures={
                "drift": figures_behaviour.drift_curves(curves, self.strength, self.smooth, title),
                "drift_map": figures_behaviour.drift_map(
                    ends[ordered],
                    [steered[i] for i in ordered],
                    [probes[i] for i in order],
                    f"strength {self.strength:g}; {title}",
                    ordered_by,
                ),
                "drift_degeneration": figures_behaviour.degeneration_strip(
                    transcripts, self.max_new_tokens, title
                ),
            },
            notes=[
                (
                    "drift: cosine (unsteered reading) minus that of the unsteered text of the"
                    f" same trial, last quarter of the text; {len(found.prompts)} trials"
                    f" ({len(study.stimuli.drift)} openings); null: as many random directions, each"
                    " read by a random probe"
                ),
                *self.also_run(),
            ],
        )

    def also_run(self) -> list[str]:
        """A note where `strength` was run beside the strengths that were asked for."""
        if not self.joined:
            return []
        return [
            f"strength {self.strength:g} was run as well: experiment.strength, which the maps show"
        ]

    def map(
        self, found: Measured, group: str, strength: int, *, unbroken: bool = False
    ) -> np.ndarray:
        """Drift at the end of the text (`unbroken`: over all of it that has not degenerated), mean
        over trials; (direction, probe)."""
        lines = []
        for name in found.names[group]:
            texts = found.texts[name]
            change = drifted(texts, found.unsteered)[strength]
            tokens = last_quarter(change)
            if unbroken:
                ends = [found.breakdown(texts, strength, k) for k in range(len(change))]
                tokens = (
                    np.arange(change.shape[1])[None]
                    < np.array([b.token if b else change.shape[1] for b in ends])[:, None]
                )
            means = mean_tokens(change, tokens)
            there = np.isfinite(means).all(1)
            if not there.any() and not unbroken:
                raise EmoexpError(
                    f"experiment=drift: at strength {self.strengths[strength]:g} of {name!r} no"
                    " text has a token; leave the strength out"
                )
            lines.append(means[there].mean(0) if there.any() else np.full(means.shape[1], np.nan))
        return np.stack(lines)

    def rows(
        self, study: Study, found: Measured, maps: dict[tuple[str, int], np.ndarray]
    ) -> pd.DataFrame:
        """By strength: own drift at the end of the text, its rank among the probes, and own drift
        before a text degenerates, with intervals and nulls."""
        scale, seed, lines = study.config.scale, study.config.seed, []
        columns = np.array([study.vectors.names.index(name) for name in found.names[EMOTIONS]])
        for s, strength in enumerate(self.strengths):
            own, noise = cells(maps[EMOTIONS, s]).at(columns), cells(maps[ISOTROPIC, s])
            intact, random = (
                self.map(found, group, s, unbroken=True) for group in (EMOTIONS, ISOTROPIC)
            )
            kept = np.isfinite(intact).all(1)
            measured = {
                "own": (own.value, noise.value),
                "rank": (own.rank, noise.rank),
                "unbroken": (intact[kept, columns[kept]], random[np.isfinite(random).all(1)]),
            }
            line: dict[str, Any] = {"strength": strength, "n": len(columns)}
            for told, (values, null) in measured.items():
                if (
                    len(values) < 2 or len(null) < 2
                ):  # every text of almost every direction degenerates at once
                    line |= {told: np.nan, f"{told} 95 %": "", f"{told} null": ""}
                    continue
                mean, range_of = (
                    mean_of(values, scale.bootstrap_draws, seed),
                    random_pairs(null, len(values), scale.bootstrap_draws, seed),
                )
                line |= {told: mean.value, f"{told} 95 %": mean.text, f"{told} null": range_of.text}
            lines.append(line)
        return pd.DataFrame(lines)

    def broken(self, transcripts: pd.DataFrame) -> pd.DataFrame:
        """Share of texts that degenerate, by strength, with Wilson intervals; the unsteered texts'
        are false alarms."""
        lines = []
        for (group, strength), part in transcripts.groupby(["set", "strength"], sort=False):
            k, n = int((part["degenerates_at"] >= 0).sum()), len(part)
            low, high = wilson_share(k, n)
            why = ", ".join(
                f"{count} {name}" for name, count in part["why"].value_counts().items() if name
            )
            lines.append(
                {
                    "directions": group,
                    "strength": strength,
                    "texts": n,
                    "degenerate": f"{k / n:.0%}",
                    "95 %": f"{low:.0%} .. {high:.0%}",
                    "by": why,
                    "median perplexity": float(part["perplexity"].median()),
                    "mean tokens": float(part["tokens"].mean()),
                }
            )
        return pd.DataFrame(lines)

    def curves(self, study: Study, found: Measured) -> pd.DataFrame:
        """Drift by token on the own probe, smoothed, with its band over trials; the other probes'
        mean; the isotropic directions' range on the own probe."""
        parts, draws, seed = [], study.config.scale.bootstrap_draws, study.config.seed
        for s, strength in enumerate(self.strengths):
            changes = {
                name: drifted(texts, found.unsteered)[s] for name, texts in found.texts.items()
            }
            for name in found.names[EMOTIONS]:
                k = study.vectors.names.index(name)
                mean, low, high = band(smoothed(changes[name][..., k], self.smooth), draws, seed)
                others, _, _ = band(
                    smoothed(np.delete(changes[name], k, -1).mean(-1), self.smooth), 1, seed
                )
                random = np.stack(
                    [
                        band(smoothed(changes[iso][..., k], self.smooth), 1, seed)[0]
                        for iso in found.names[ISOTROPIC]
                    ]
                )
                going = np.isfinite(mean) & np.isfinite(random).all(0)
                null = np.full((2, len(mean)), np.nan)
                null[:, going] = np.quantile(random[:, going], [0.025, 0.975], axis=0)
                parts.append(
                    pd.DataFrame(
                        {
                            "emotion": name,
                            "strength": strength,
                            "token": np.arange(len(mean)),
                            "n": np.isfinite(changes[name][..., k]).sum(0),
                            "own": mean,
                            "low": low,
                            "high": high,
                            "others": others,
                            "null_low": null[0],
                            "null_high": null[1],
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)

    def transcripts(self, study: Study, found: Measured) -> pd.DataFrame:
        """Every text: `degenerates_at` is a token (-1: it does not), at which `marked` has a bar;
        `unsteered_text` is its trial's own."""
        decode, lines = study.model.tokenizer.decode, []
        groups = [
            (UNSTEERED, UNSTEERED, found.unsteered),
            *((g, n, found.texts[n]) for g, names in found.names.items() for n in names),
        ]
        for group, name, texts in groups:
            for s, strength in enumerate([0.0] if group == UNSTEERED else self.strengths):
                for k, prompt in enumerate(found.prompts):
                    ids, broken = texts.tokens(s, k), found.breakdown(texts, s, k)
                    at = broken.token if broken else len(ids)
                    before, after = (
                        decode(part, skip_special_tokens=True) for part in (ids[:at], ids[at:])
                    )
                    surprise = texts.surprise[s, k, : len(ids)].astype(np.float64)
                    lines.append(
                        {
                            "set": group,
                            "direction": name,
                            "strength": strength,
                            "opening": k // self.samples,
                            "sample": k % self.samples,
                            "seed": 1_000_003 * study.config.seed + k,
                            "tokens": len(ids),
                            "ended": bool(texts.ended[s, k]),
                            "repetition": repetition(ids),
                            "perplexity": np.exp(surprise.mean()) if ids else np.nan,
                            "degenerates_at": broken.token if broken else -1,
                            "why": broken.why if broken else "",
                            "prompt": prompt,
                            "marked": before + (f" | {after}" if broken else ""),
                        }
                    )
        return pd.DataFrame(lines)

    def excerpts(self, transcripts: pd.DataFrame) -> pd.DataFrame:
        """The first opening's first sample under each emotion at `strength`, and unsteered: for the
        terminal."""
        part = transcripts[
            (transcripts["opening"] == 0)
            & (transcripts["sample"] == 0)
            & transcripts["strength"].isin([0.0, self.strength])
        ]
        part = part[part["set"] != ISOTROPIC]
        text = part["marked"].str.replace(r"\s+", " ", regex=True).str.strip().str.slice(0, 100)
        return pd.DataFrame(
            {
                "steered": part["direction"],
                "perplexity": part["perplexity"],
                "text (| degenerates)": text,
            }
        )
