"""The preference measurement: all ordered pairs of 64 activities, unsteered and steered (paper,
"Preferences").

This file decides which tokens are steered, pair by pair, from the spans that the prompt was
formatted with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emoexp.config import SteeringSpan
from emoexp.models.answers import AnswerReader
from emoexp.models.prompts import Encoding, Prompt, fill, prompts_key, token_mask
from emoexp.models.subject import LOGITS_AT_ONCE, Steering, SubjectModel
from emoexp.steering.continuations import batches
from emoexp.steering.replay import Band, PrefixReplay, replay_fault
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts, Row, array_key

log = logging.getLogger(__name__)
VERSION = 3
Read = Callable[[Tensor], Tensor]
"""A function of the last tokens' residuals after the final norm: (direction, row, d_model) -> (...,
direction, row), on the CPU."""


def marks(span: SteeringSpan, steered: tuple[bool, bool]) -> tuple[str, ...]:
    """Returns the prompt's spans ("a", "b", "text") that are steered in one pair.

    In a pair without a steered activity nothing is steered, whatever the span; in one with two
    steered activities both are.

    Args:
        steered: whether options A and B are steered activities.
    """
    if not any(steered):
        return ()
    match span:
        case SteeringSpan.steered_activity:
            return tuple(name for name, on in zip("ab", steered, strict=True) if on)
        case SteeringSpan.control_activity:
            return tuple(name for name, on in zip("ab", steered, strict=True) if not on)
        case SteeringSpan.both_activities:
            return ("a", "b")
        case SteeringSpan.all_tokens:
            return ("text",)


@dataclass(frozen=True)
class Preferences:
    """One model's answers to all ordered pairs of one pack's activities."""

    model: SubjectModel
    stimuli: Stimuli
    _tried: dict[Band, bool] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Whether the replay is exact, for each band for which that is known."""

    @property
    def n(self) -> int:
        """Returns the number of activities."""
        return len(self.stimuli.activities)

    @property
    def steered(self) -> np.ndarray:
        """Tells which activities are of the steered half; (activity,), bool."""
        return np.array([a.steered for a in self.stimuli.activities])

    def prompt(self, i: int, j: int) -> Prompt:
        """Returns the prompt with activity i as (A) and j as (B), up to and with the answer's "(".

        Its spans are "a", "b" and "text" (all of it).
        """
        template, activities = self.stimuli.templates["preference"], self.stimuli.activities
        content = fill(template, a=activities[i].text, b=activities[j].text)
        prompt = self.model.ask(content, prefill="(")
        spans = {**prompt.spans, "text": ((0, len(prompt.text)),)}
        return Prompt(prompt.text, spans, prompt.special_tokens)

    @cached_property
    def reader(self) -> AnswerReader:
        """Returns the reader that tokenizes these prompts and finds their answer tokens."""
        config = self.model.config
        return AnswerReader(self.model.tokenizer, config.option_reading, self.prompt(0, 1))

    @property
    def options(self) -> tuple[int, int]:
        """Returns the token ids of the answers A and B."""
        return self.reader.options

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Returns what the unsteered margins depend on, as an artifact's identity.

        A prompt is the format's text around two activities, the same for all pairs (`chat_of`), so
        one prompt, the template and the activities determine them all.
        """
        return {
            "version": VERSION,
            "model": self.model.identity,
            "prompt": prompts_key([self.prompt(0, 1)]),
            "template": self.stimuli.templates["preference"],
            "activities": [activity.text for activity in self.stimuli.activities],
            "answer": self.reader.identity,
        }

    def steered_identity(self, span: SteeringSpan) -> dict[str, Any]:
        """Returns what steered margins depend on beside what is added and where."""
        return {**self.identity, "span": span.value, "steered": self.steered.tolist()}

    def encoded(self, i: int, others: Sequence[int]) -> tuple[list[Prompt], Encoding]:
        """Returns the prompts with activity i as (A) and each of `others` as (B), encoded too."""
        prompts = [self.prompt(i, j) for j in others]
        encoding = self.reader.encode(prompts)
        self.model.check_length(encoding)
        return prompts, encoding

    def replays(self, band: Band) -> bool:
        """Tells whether the replay is exact for this model and band.

        It is compared with full forwards once, on the longest and the shortest prompts.
        """
        if band not in self._tried:
            order = sorted(range(self.n), key=lambda k: len(self.stimuli.activities[k].text))
            others = [order[0], order[1], order[-3], order[-2]]
            fault = replay_fault(self.model, self.encoded(order[-1], others)[1], self.options, band)
            self._tried[band] = fault is None
            if fault is not None:
                where = (
                    f"layers {', '.join(map(str, band))}" if band else "the unsteered preferences"
                )
                log.warning(
                    "%s: no prefix replay at %s (%s); full forwards instead, which are slower and"
                    " exact",
                    self.model.config.name,
                    where,
                    fault,
                )
        return self._tried[band]

    def _unsteered(self, i: int, others: Sequence[int]) -> np.ndarray:
        """Unsteered margins of the pairs with i as (A); (other,)."""
        return self._margin(self._unsteered_finals(i, others)).numpy()

    def _unsteered_finals(self, i: int, others: Sequence[int]) -> Tensor:
        """Last tokens' residuals after the final norm of the unsteered pairs with i as (A);
        (other, d_model)."""
        _, encoding = self.encoded(i, others)
        if self.replays(()):
            return PrefixReplay(self.model, encoding).unsteered_finals()
        rows, width = encoding.ids.shape
        parts = batches(rows, width, self.model.config.batch_tokens)
        return torch.cat([self.model.final_residuals(encoding.rows(part)) for part in parts])

    def baseline(self, artifacts: Artifacts) -> np.ndarray:
        """Returns the unsteered margins logit(A) - logit(B); (i, j), the diagonal 0.

        They do not depend on the layer.
        """
        return self._baseline_rows(artifacts, "margins")

    def option_mass(self, artifacts: Artifacts) -> np.ndarray:
        """Returns the unsteered p(A) + p(B) of every ordered pair; (pair,)."""
        mass = self._baseline_rows(artifacts, "mass")
        return np.asarray(mass[~np.eye(self.n, dtype=bool)])

    def answer_summary(self, artifacts: Artifacts) -> dict[str, Any]:
        """Returns how answers were read, and the probability that they have, for the record."""
        after, first, second = self.reader.pieces
        mass = self.option_mass(artifacts)
        return {
            "reading": self.reader.kind.value,
            "after": after,
            "options": [first, second],
            "mass": float(mass.mean()),
            "mass_below_half": float((mass < 0.5).mean()),
        }

    def _baseline_rows(self, artifacts: Artifacts, name: str) -> np.ndarray:
        """Margins or mass of all unsteered pairs, computed together once; (i, j)."""

        def row(label: str) -> Row:
            i = int(label)
            others = [j for j in range(self.n) if j != i]
            finals = self._unsteered_finals(i, others)
            margins, mass = (np.zeros(self.n, dtype=np.float32) for _ in range(2))
            margins[others] = self._margin(finals).numpy()
            mass[others] = self._mass(finals).numpy()
            return {"margins": margins, "mass": mass}

        title = "preferences, unsteered"
        labels = self._labels()
        rows = artifacts.rows("preferences", self.identity, labels, row, title, names=[name])
        return np.stack([r[name] for r in rows]).astype(np.float64)

    def steer(
        self,
        artifacts: Artifacts,
        baseline: np.ndarray,
        span: SteeringSpan,
        band: Band,
        vectors: np.ndarray,
    ) -> np.ndarray:
        """Returns the margins under each direction; pairs that cannot change have the baseline's.

        Args:
            baseline: unsteered margins; (i, j).
            vectors: what is added at each layer of the band; (direction, band layer, d_model).

        Returns:
            (direction, i, j).
        """
        identity = {
            **self.steered_identity(span),
            "band": list(band),
            "vectors": array_key(vectors),
        }
        tensor = torch.as_tensor(vectors, dtype=torch.float32)

        def row(label: str) -> Row:
            return {"margins": self._steer_prefix(int(label), span, band, tensor)}

        title = f"preferences, steered with {len(vectors)} directions"
        rows = artifacts.rows("steered", identity, self._labels(), row, title)
        margins = np.repeat(baseline[None], len(vectors), 0)
        for i, steered_row in enumerate(rows):
            margins[:, i, self._affected(i)] = steered_row["margins"]
        return margins

    def _labels(self) -> list[str]:
        """Labels of the artifacts' rows, one for each activity as (A)."""
        return [f"{i:02d}" for i in range(self.n)]

    def _affected(self, i: int) -> list[int]:
        """The activities j for which the pair (i, j) has a steered activity."""
        return [j for j in range(self.n) if j != i and (self.steered[i] or self.steered[j])]

    def _marked(self, i: int, span: SteeringSpan) -> tuple[Encoding, Tensor]:
        """The affected pairs with i as (A), and which of their tokens are steered; the mask is
        (row, token)."""
        others = self._affected(i)
        prompts, encoding = self.encoded(i, others)
        mask = torch.zeros_like(encoding.mask)
        for r, j in enumerate(others):
            if names := marks(span, (bool(self.steered[i]), bool(self.steered[j]))):
                mask[r] = token_mask([prompts[r]], names, encoding.rows([r]))[0]
        return encoding, mask

    def _steer_prefix(self, i: int, span: SteeringSpan, band: Band, vectors: Tensor) -> np.ndarray:
        """Steered margins of the pairs with i as (A); (direction, affected other)."""
        encoding, mask = self._marked(i, span)
        if not mask.any():
            return np.repeat(self._unsteered(i, self._affected(i))[None], len(vectors), 0)
        return self._read(i, encoding, mask, band, vectors, self._margin, {}).numpy()

    @property
    def affected_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ordered pairs that have a steered activity, as two arrays of indices.

        They are the pairs' first and second activities; (pair,) each.
        """
        pairs = np.array([(i, j) for i in range(self.n) for j in self._affected(i)])
        return pairs[:, 0], pairs[:, 1]

    def answers(
        self, span: SteeringSpan, band: Band, vectors: np.ndarray, kept: dict[int, PrefixReplay]
    ) -> Row:
        """Returns the margins and the probability of A or B under each direction.

        Args:
            vectors: what is added at each layer of the band; (direction, band layer, d_model). A
                zero is the unsteered model.
            kept: unsteered runs of the prefixes, empty at first; calls for the same band that share
                it run them once.

        Returns:
            `margins` and `mass`, (direction, pair) over `affected_pairs`.
        """
        tensor, read = torch.as_tensor(vectors, dtype=torch.float32), self._margin_and_mass
        parts = []
        for i in range(self.n):
            encoding, mask = self._marked(i, span)
            parts.append(self._read(i, encoding, mask, band, tensor, read, kept))
        margins, mass = torch.cat(parts, -1).numpy()
        return {"margins": margins, "mass": mass}

    def _margin(self, finals: Tensor) -> Tensor:
        """logit(A) - logit(B); (..., d_model) -> (...), on the CPU."""
        return self.model.margin(finals, self.options)

    def _mass(self, finals: Tensor) -> Tensor:
        """p(A) + p(B); (row, d_model) -> (row,), on the CPU."""
        masses = []
        for part in finals.split(max(1, LOGITS_AT_ONCE // len(self.model.tokenizer))):
            logits = self.model.unembedding.logits(part)
            pair = logits[:, list(self.options)]
            masses.append((pair.logsumexp(-1) - logits.logsumexp(-1)).exp())
        return torch.cat(masses).cpu()

    def _margin_and_mass(self, finals: Tensor) -> Tensor:
        """Margin and p(A) + p(B); (direction, row, d_model) -> (2, direction, row), on the CPU."""
        flat = finals.flatten(0, 1)
        both = torch.stack([self._margin(flat), self._mass(flat)])
        return both.unflatten(1, finals.shape[:2])

    def _read(
        self,
        i: int,
        encoding: Encoding,
        mask: Tensor,
        band: Band,
        vectors: Tensor,
        read: Read,
        kept: dict[int, PrefixReplay],
    ) -> Tensor:
        """`read` of the steered pairs' last tokens, by the replay of activity i as (A) in `kept`,
        or by full forwards where no replay is exact; (..., direction, row)."""
        if not self.replays(band):
            return self._in_full(encoding, mask, band, vectors, read)
        if i not in kept:
            kept[i] = PrefixReplay(self.model, encoding, band)
        replay = kept[i]
        prefix_masks = torch.stack(
            [m[real][: replay.n_prefix] for m, real in zip(mask, encoding.mask, strict=True)]
        )
        if not bool((prefix_masks == prefix_masks[0]).all()):
            raise AssertionError("pairs that share a prefix must steer the same tokens of it")
        return read(replay.finals(prefix_masks[0], mask[:, -replay.width :] & replay.mask, vectors))

    def _in_full(
        self, encoding: Encoding, mask: Tensor, band: Band, vectors: Tensor, read: Read
    ) -> Tensor:
        """`read` of the last tokens' residuals, by full forwards; (..., direction, row)."""
        k, parts = len(vectors), []
        n_rows, width = encoding.ids.shape
        for rows in batches(n_rows, width * k, self.model.config.batch_tokens):
            n = len(rows)
            added = {layer: vectors[:, b].repeat_interleave(n, 0) for b, layer in enumerate(band)}
            steering = Steering(added, mask[rows].repeat(k, 1))
            finals = self.model.final_residuals(encoding.rows(rows * k), steering)
            parts.append(read(finals.unflatten(0, (k, n))))
        return torch.cat(parts, -1)
