"""Trials: replies to the scenes of a scenario, in every condition, kept one by one in the artifact
store.

Common random numbers: trial k of every condition is shown the same scene and draws its tokens from
the same stream of random numbers, so two conditions differ by the steering and not by luck. A trial
depends on neither its batch nor how many trials there are: more of them are added to those that are
kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from emoexp.blackmail.conditions import Condition
from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt, prompts_key, reply_mask
from emoexp.models.subject import Steering, SubjectModel
from emoexp.steering.degeneration import repetition, token_surprise
from emoexp.stimuli import BlackmailScenario
from emoexp.store.artifacts import Artifacts, Row
from emoexp.store.distributed import broadcast

KIND, VERSION = "blackmail", 1
TRANSCRIPTS = "transcripts.html"
"""The page of all replies in the directory of a run (emoexp/views/transcripts.py)."""


@dataclass(frozen=True)
class ReplySampling:
    """How a reply is drawn, and what of the prompt is steered with it."""

    seed: int
    temperature: float
    max_new_tokens: int
    span: ReplySpan
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """One reply.

    Attributes:
        condition: its condition.
        k: its number in the condition; its scene is k mod the number of scenes.
        direction: label of what it was steered with.
        text: what was said.
        n_tokens: of the reply.
        ended: false if it was cut at max_new_tokens.
        surprise: mean -log p (nats) of a token under the unsteered model; None for an empty reply.
        repetition: share of its 3-grams that have occurred before in it.
    """

    condition: Condition
    k: int
    direction: str
    text: str
    n_tokens: int
    ended: bool
    surprise: float | None
    repetition: float


@dataclass(frozen=True)
class Slot:
    """A trial to be made; `label` is its place in the store."""

    condition: Condition
    k: int
    direction: int
    label: str


def slot_of(condition: Condition, k: int, scenes: int, place: object) -> Slot:
    """Returns trial `k` of a condition, with its label in the store."""
    d = condition.direction(k, scenes)
    key = condition.key(d, place)
    return Slot(condition, k, d, f"{condition.labels[d]} {condition.strength:+g} {key} {k:05d}")


def prompts_of(model: SubjectModel, scenario: BlackmailScenario) -> list[Prompt]:
    """Returns the scenes of a scenario as prompts of the model."""
    scenes = [scenario.scene(k) for k in range(len(scenario.scenes))]
    return [model.ask(Prompt(s.prompt), system=s.system) for s in scenes]


def reply_limit(model: SubjectModel, scenario: BlackmailScenario, wanted: int) -> int:
    """Returns the tokens at which a reply is cut: `wanted`, or those that are left of the model's
    positions after the longest prompt.

    Raises:
        EmoexpError: no position is left.
    """
    if model.positions is None:
        return wanted
    width = int(model.encode(prompts_of(model, scenario)).ids.shape[1])
    room = model.positions - width
    if room < 1:
        raise EmoexpError(
            f"the blackmail scenario has {width} tokens, and {model.config.name} reads"
            f" {model.positions}: no reply fits"
        )
    return min(wanted, room)


def cut_note(model: SubjectModel, scenario: BlackmailScenario | None, wanted: int) -> list[str]:
    """Returns the note that replies are cut before `wanted` tokens; empty where they are not."""
    limit = wanted if scenario is None else reply_limit(model, scenario, wanted)
    if limit == wanted:
        return []
    cut = f"replies are cut at {limit} tokens, not at experiment.max_new_tokens={wanted}"
    return [f"{cut}: {model.config.name} reads {model.positions} tokens with the prompt"]


def trial_seed(seed: int, k: int) -> int:
    """63 bits that depend on the run's seed and the trial's number, and not on the condition."""
    return int.from_bytes(hashlib.sha256(json.dumps([KIND, seed, k]).encode()).digest()[:8]) >> 1


def run_trials(
    model: SubjectModel,
    scenario: BlackmailScenario,
    conditions: Sequence[Condition],
    n: int,
    sampling: ReplySampling,
    artifacts: Artifacts,
) -> list[Trial]:
    """`n` trials of every condition, condition by condition; those that are missing in the store
    are made, trial by trial over all conditions.

    Raises:
        EmoexpError: prompt and reply do not fit into the model's context.
    """
    model.check_layers(sampling.layers)
    for line in cut_note(model, scenario, sampling.max_new_tokens):
        sys.stderr.write(line + "\n")
    batches = Batches(model, scenario, conditions, n, sampling, artifacts)
    rows = artifacts.rows(
        KIND,
        batches.identity,
        list(batches.slots),
        batches.row,
        f"trials, {len(conditions)} conditions",
    )
    found = [trial_of(slot, row) for slot, row in zip(batches.slots.values(), rows, strict=True)]
    return [trial for condition in conditions for trial in found if trial.condition is condition]


def scenes_table(scenario: BlackmailScenario) -> pd.DataFrame:
    """Lays out the scenes that are shown: scene (number), system, prompt."""
    scenes = [scenario.scene(k) for k in range(len(scenario.scenes))]
    return pd.DataFrame(
        [{"scene": k, "system": s.system or "", "prompt": s.prompt} for k, s in enumerate(scenes)]
    )


def trial_of(slot: Slot, row: Row) -> Trial:
    """Reads a trial from its row in the store."""
    text, surprise = row["text"].tobytes().decode(), row["surprise"].astype(np.float64)
    mean = float(surprise.mean()) if len(surprise) else None
    ids = row["ids"].tolist()
    return Trial(
        slot.condition,
        slot.k,
        slot.condition.labels[slot.direction],
        text,
        len(ids),
        bool(row["ended"][0]),
        mean,
        repetition(ids),
    )


class Batches:
    """Draws a whole batch of replies when its first row is asked for, and returns the others as
    they are asked for.

    The store writes rows one by one, so a killed run loses at most the batch that was running.
    """

    def __init__(
        self,
        model: SubjectModel,
        scenario: BlackmailScenario,
        conditions: Sequence[Condition],
        n: int,
        sampling: ReplySampling,
        artifacts: Artifacts,
    ) -> None:
        self.model, self.artifacts = model, artifacts
        limit = reply_limit(model, scenario, sampling.max_new_tokens)
        self.sampling = sampling = replace(sampling, max_new_tokens=limit)
        self.prompts = prompts_of(model, scenario)
        self.identity: dict[str, Any] = {
            "version": VERSION,
            "model": model.identity,
            "generation": model.generation_identity,
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_new_tokens,
            "seed": sampling.seed,
            # the rules judge, and change no reply
            "prompts": prompts_key(self.prompts),
        }
        place = [list(sampling.layers), sampling.span.value]
        slots = [slot_of(c, k, len(self.prompts), place) for k in range(n) for c in conditions]
        self.slots = {slot.label: slot for slot in slots}
        width = int(model.encode(self.prompts).ids.shape[1]) + limit
        self.size = max(1, model.config.batch_tokens // width)
        self.pending: list[str] | None = None
        self.done: dict[str, Row] = {}

    def row(self, label: str) -> Row:
        if label not in self.done:
            if self.pending is None:  # asked for under the store's lock: nobody else writes
                place = partial(self.artifacts.path, KIND, self.identity)
                self.pending = broadcast([name for name in self.slots if not place(name).exists()])
            start = self.pending.index(label)
            batch = self.pending[start : start + self.size]
            rows = self.generate([self.slots[name] for name in batch])
            self.done = dict(zip(batch, rows, strict=True))
        return self.done.pop(label)

    def generate(self, slots: Sequence[Slot]) -> list[Row]:
        """One batch, each row steered by its own vectors; the baseline's are zero."""
        model, sampling = self.model, self.sampling
        prompts = [self.prompts[slot.k % len(self.prompts)] for slot in slots]
        encoding = model.encode(prompts)
        added = torch.as_tensor(
            np.stack([slot.condition.added(slot.direction) for slot in slots]),
            dtype=torch.float32,
            device=model.device,
        )
        mask = reply_mask(prompts, sampling.span, encoding).to(model.device)
        by_layer = {layer: added[:, i] for i, layer in enumerate(sampling.layers)}
        replies = model.generate(
            encoding,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            seeds=[trial_seed(sampling.seed, slot.k) for slot in slots],
            steering=Steering(by_layer, mask),
        )
        surprises = token_surprise(model, prompts, replies)
        return [
            {
                "ids": np.array(ids, np.int32),
                "surprise": surprise.astype(np.float32),
                "ended": np.array([ended], np.uint8),
                "text": np.frombuffer(text.encode("utf-8", "replace"), np.uint8),
            }
            for ids, ended, text, surprise in zip(
                replies.ids, replies.ended, replies.texts, surprises, strict=True
            )
        ]
