"""Requests shared out among lanes: each lane works on one item at a time, and a server that is
down is given up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from emoexp.errors import EmoexpError
from emoexp.models.openai_client import UnansweredError

T = TypeVar("T")
FAILED_IN_A_ROW = 3
"""After so many items in a row without an answer, the server is taken to be down."""


@dataclass(eq=False)
class Lanes(Generic[T]):
    """Works on items in parallel until they are done or an error is fatal.

    Attributes:
        unanswered: is told of each item that got no answer.
        error: why the work stopped; None while it goes on. An `UnansweredError` is fatal after
            `FAILED_IN_A_ROW` of them in a row, any other EmoexpError at once.
    """

    unanswered: Callable[[T, UnansweredError], None]
    in_a_row: int = field(default=0, init=False)
    error: EmoexpError | None = field(default=None, init=False)

    def answered(self) -> None:
        """Notes that the server has answered."""
        self.in_a_row = 0

    async def run(
        self, items: Sequence[T], lanes: int, work: Callable[[T], Awaitable[None]]
    ) -> None:
        """Works on `items` with so many lanes; returns when all have finished their items."""
        queue = deque(items)
        await asyncio.gather(*(self._lane(queue, work) for _ in range(min(lanes, len(queue)))))

    async def _lane(self, queue: deque[T], work: Callable[[T], Awaitable[None]]) -> None:
        while queue and self.error is None:
            item = queue.popleft()
            try:
                await work(item)
            except UnansweredError as error:
                self.unanswered(item, error)
                self.in_a_row += 1
                if self.in_a_row >= FAILED_IN_A_ROW:
                    self.error = error
            except EmoexpError as error:
                self.error = error
