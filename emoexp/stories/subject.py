"""The author in process: the subject model answers in its own format, all waiting requests in one
batch.

Every request has a random stream of its own, seeded by its unit, and one number of it decides each
token. So a text does not depend on what else is in the batch, on the order of the units or on a
resume, as far as the model's probabilities do not: in a batch of another size or padding they
differ in the last bits, and in the rare case that the number falls into that gap the text differs
from there on. Other devices, dtypes or versions of the libraries give other texts more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from emoexp.config import StoriesConfig
from emoexp.models.openai_client import Answer, Request
from emoexp.models.prompts import Prompt
from emoexp.models.sampling import RowStop
from emoexp.models.subject import SubjectModel

LONGEST = 4096
"""Tokens of an answer where neither the settings nor the request name a number."""


class Subject:
    """The subject model as the author of stories, asked as a `Server` is. Requests of tasks that
    call `answer` at the same time are one batch."""

    repeated = 0

    def __init__(
        self,
        model: SubjectModel,
        stories: StoriesConfig,
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.model = model
        self.stories = stories
        self.say = say
        self.waiting: list[tuple[Request, asyncio.Future[Answer]]] = []

    async def answer(self, request: Request) -> Answer:
        """Returns the answer to a request, once the batch that it is in is generated."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self.waiting.append((request, future))
        if len(self.waiting) == 1:
            # runs after the tasks that are ready now, so that their requests are in the batch
            loop.call_soon(self._answer_all)
        return await future

    def _answer_all(self) -> None:
        """Answers all waiting requests, each with its answer or with the error of the batch."""
        batch, self.waiting = self.waiting, []
        try:
            answers = self.batch([request for request, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

    def batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Returns one answer for each request; a row samples from a stream of its own, and stops
        once it has what was asked for or repeats itself."""
        model, stories = self.model, self.stories
        encoding = model.encode([model.ask(Prompt(request.prompt)) for request in requests])
        width, ends = encoding.ids.shape[1], model.end_tokens
        room = LONGEST if model.positions is None else max(1, model.positions - width)
        wanted = [stories.max_new_tokens or r.max_new_tokens or LONGEST for r in requests]
        limits = [min(n, room) for n in wanted]
        decode = partial(model.tokenizer.decode, skip_special_tokens=True)
        finished = [request.finished for request in requests]
        stop = RowStop(width, finished, limits, ends, decode, self.say)
        generated = model.generate(
            encoding,
            max_new_tokens=max(limits),
            temperature=stories.temperature,
            top_p=stories.top_p,
            seeds=[r.seed for r in requests],
            stop=stop,
        )
        return [
            Answer(text, reason or "length")
            for text, reason in zip(generated.texts, stop.reasons, strict=True)
        ]
