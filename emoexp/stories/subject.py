"""An author in process: the subject model answers in its own format, all requests that are waiting in one batch.

Every request has a random stream of its own, seeded by its unit, and one number of it decides each token. So a text does not depend
on what else is in the batch, on the order of the units or on a resume, as far as the model's probabilities do not: in a batch of
another size or padding they differ in the last bits, and in the rare case that the number falls into that gap the text takes another
turn. Other devices, dtypes or versions of the libraries give other texts more often.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from emoexp.config import StoriesConfig
from emoexp.model import SubjectModel
from emoexp.prompts import Prompt, ask
from emoexp.stories.server import Answer, Request


class OwnStreams:
    """A logits processor that has already drawn: the token of each row keeps logit 0, all others get -inf.

    A draw is the inverse of the cumulative distribution (float64, on the CPU) at the next number of the row's stream.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self.streams, self.temperature, self.top_p = [random.Random(seed) for seed in seeds], temperature, top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        shares = (scores.float() / self.temperature).softmax(-1)
        if self.top_p < 1:
            ordered, order = shares.sort(dim=-1, descending=True)
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            shares = shares.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), 0.0)
        cumulative = shares.cpu().double().cumsum(-1)
        points = torch.tensor([[stream.random()] for stream in self.streams], dtype=torch.float64) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, points, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.to(scores.device), 0.0)


class Subject:
    """`await answer(request)` from many tasks at once: those that wait at the same time are one batch."""

    repeated = 0

    def __init__(self, model: SubjectModel, stories: StoriesConfig) -> None:
        self.model, self.stories = model, stories
        self.waiting: list[tuple[Request, asyncio.Future[Answer]]] = []

    async def answer(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self.waiting.append((request, future))
        if len(self.waiting) == 1:
            loop.call_soon(self._answer_all)  # after the tasks that are ready now, which ask before it runs
        return await future

    def _answer_all(self) -> None:
        batch, self.waiting = self.waiting, []
        try:
            answers = self.batch([request for request, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

    @torch.no_grad()
    def batch(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each. Through transformers' own `generate`: each row needs its stream and says how it ended."""
        model, stories = self.model, self.stories
        encoding = model.encode([ask(Prompt(request.prompt), model.config.format, model.tokenizer) for request in requests])
        options: dict[str, Any] = {"max_new_tokens": stories.max_new_tokens, "do_sample": False, "pad_token_id": model.tokenizer.pad_token_id}
        if stories.temperature > 0:
            options["logits_processor"] = [OwnStreams([request.seed for request in requests], stories.temperature, stories.top_p)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sampling settings of the model's own that do not apply
            ids = model.network.generate(encoding.ids.to(model.device), attention_mask=encoding.mask.long().to(model.device), **options)
        new = ids[:, encoding.ids.shape[1] :].cpu()
        ends = torch.tensor(ending(model.network.generation_config.eos_token_id), dtype=new.dtype)
        ended = torch.isin(new, ends).any(1).tolist()
        texts = model.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [Answer(text, "stop" if end else "length") for text, end in zip(texts, ended, strict=True)]


def ending(eos: int | list[int] | None) -> list[int]:
    """The ids that end a text, as a list."""
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
