"""Sampling with one random stream for each row, and stopping row by row, so that the text of a row
does not depend on the batch it is in."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from emoexp.errors import EmoexpError


def refuse_not_finite(input_ids: Tensor, scores: Tensor) -> Tensor:
    """A logits processor that changes nothing.

    Raises:
        EmoexpError: a row's largest logit is NaN or infinite, so that its next token would be any.
    """
    wrong = ~scores.amax(-1).isfinite()
    if bool(wrong.any()):
        raise EmoexpError(
            f"the logits of {int(wrong.sum())} of {len(wrong)} texts are not numbers (the first is"
            f" row {int(wrong.long().argmax())} of its batch): use"
            " model.dtype=bfloat16 or float32, or a smaller strength"
        )
    return scores


class PerRowSampler:
    """A logits processor that draws the next token of each row: that token gets logit 0, all others
    get -inf.

    A draw is the inverse of the cumulative distribution (float64, on the CPU) at the next number of
    the row's stream.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float = 1.0) -> None:
        self.streams = [random.Random(seed) for seed in seeds]
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Returns the logits of the drawn tokens; (row, vocabulary) -> the same shape."""
        shares = (scores.float() / self.temperature).softmax(-1)
        if self.top_p < 1:
            ordered, order = shares.sort(dim=-1, descending=True)
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            shares = shares.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), 0.0)
        cumulative = shares.cpu().double().cumsum(-1)
        numbers = [[stream.random()] for stream in self.streams]
        points = torch.tensor(numbers, dtype=torch.float64) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, points, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.to(scores.device), 0.0)


REPEATED_TOKENS = 96
LONGEST_PERIOD = 32
"""A text repeats itself where its last `REPEATED_TOKENS` tokens are one period of at most
`LONGEST_PERIOD` tokens over and over."""
LOOK_EVERY = 16
"""Tokens between two looks at the text of a row."""


@dataclass(eq=False)
class RowStop:
    """A stopping criterion that ends each row by itself.

    Attributes:
        reasons: by row why it was ended: "stop" (an end token), "enough" (it has what was asked
            for), "repeats" (itself), "length" (it reached its limit); None while it goes on.
        tokens: new tokens of all rows so far.
    """

    width: int
    finished: Sequence[Callable[[str], bool] | None]
    limits: Sequence[int]
    ends: Collection[int]
    decode: Callable[[list[int]], str]
    say: Callable[[str], None]
    tokens: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.reasons: list[str | None] = [None] * len(self.finished)

    def __call__(self, input_ids: Tensor, scores: Tensor, **settings: object) -> Tensor:
        """Returns which rows are done; (row,), bool."""
        new = input_ids.shape[1] - self.width
        self.tokens += self.reasons.count(None)
        last = input_ids[:, -1].tolist()
        for row, reason in enumerate(self.reasons):
            if reason is None and last[row] in self.ends:
                self.reasons[row] = "stop"
            elif reason is None:
                self.reasons[row] = self._reason(row, input_ids[row, self.width :])
        if new % LOOK_EVERY == 0:
            self.say(f"{self.tokens} tokens in the answers under way")
        done = [reason is not None for reason in self.reasons]
        return torch.tensor(done, device=input_ids.device)

    def _reason(self, row: int, new: Tensor) -> str | None:
        """Returns why the row ends after its `new` tokens, none of which ends a text; None if it
        does not."""
        if len(new) % LOOK_EVERY == 0:
            ids = new.tolist()
            finished = self.finished[row]
            if finished is not None and finished(self.decode(ids)):
                return "enough"
            if repeats(ids):
                return "repeats"
        return "length" if len(new) >= self.limits[row] else None


def repeats(ids: Sequence[int]) -> bool:
    """Tells whether the tokens end in one period over and over."""
    tail = list(ids[-REPEATED_TOKENS:])
    if len(tail) < REPEATED_TOKENS:
        return False
    return any(tail[period:] == tail[:-period] for period in range(1, LONGEST_PERIOD + 1))
