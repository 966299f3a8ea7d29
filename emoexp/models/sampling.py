"""Sampling with one random stream for each row, so that the text of a row does not depend on the
batch it is in."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor


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
