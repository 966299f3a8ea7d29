"""Progress with an ETA, on standard error: a bar in a terminal, a line every half minute in a
log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from emoexp.console import open_console
from emoexp.store.distributed import rank

T = TypeVar("T")
log = logging.getLogger(__name__)
LINE_SECONDS = 30.0


class Meter:
    """The progress of a task of known length; `done` may start above 0 for a resumed one."""

    def __init__(self, title: str, total: int, done: int, display: Progress | None) -> None:
        self.title = title
        self.total = total
        self.first = done
        self.done = done
        self.display = display
        self.task = (
            display.add_task(title, total=total, completed=done, note="") if display else None
        )
        self.started = self.printed = time.monotonic()

    def advance(self, note: str = "", by: int = 1) -> None:
        """Counts `by` steps as done, and shows the progress with `note` beside it."""
        self.done += by
        over = self.done == self.total
        self._show(note, by, over)
        if over and self.display is not None:
            log.info("%s: %d/%d %s", self.title, self.done, self.total, note)

    def say(self, note: str) -> None:
        """Shows `note` beside the count, while a step is under way."""
        self._show(note, 0, over=False)

    def _show(self, note: str, by: int, over: bool) -> None:
        if self.display is not None and self.task is not None:
            self.display.update(self.task, advance=by, note=note)
        elif rank() == 0 and (over or time.monotonic() - self.printed > LINE_SECONDS):
            self.printed = time.monotonic()
            sys.stderr.write(f"{self.line()} {note}".rstrip() + "\n")
            sys.stderr.flush()

    def line(self) -> str:
        """Returns the count, the time spent and, after a step, the time that is left."""
        spent = time.monotonic() - self.started
        times = f"{timedelta(seconds=round(spent))} spent"
        if self.done > self.first:
            left = spent / (self.done - self.first) * (self.total - self.done)
            times += f", {timedelta(seconds=round(left))} left"
        return f"{self.title}: {self.done}/{self.total}, {times}"


_open = list[Meter]()


def under_way() -> str:
    """Returns the line of the task that began last and is not over; empty if there is none."""
    return next((shown.line() for shown in reversed(_open)), "")


@contextmanager
def meter(title: str, total: int, done: int = 0) -> Iterator[Meter]:
    """Yields a Meter, which is shown while the context lasts."""
    console = open_console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    live = console.is_terminal and not console.is_dumb_terminal and rank() == 0
    display = Progress(*columns, console=console, refresh_per_second=2) if live else None
    with display or nullcontext():
        shown = Meter(title, total, done, display)
        _open.append(shown)
        try:
            yield shown
        finally:
            _open.remove(shown)


def track(items: Sequence[T], title: str) -> Iterable[T]:
    """Yields `items` one by one under a meter."""
    with meter(title, len(items)) as progress:
        for item in items:
            yield item
            progress.advance()
