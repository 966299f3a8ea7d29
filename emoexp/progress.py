"""Progress bars with an ETA, on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def bar() -> Progress:
    """A progress display: title, bar, done of all, elapsed, left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=2)


def track(items: Sequence[T], title: str) -> Iterable[T]:
    """`items` one by one under a bar; silent if there are none."""
    if not items:
        return
    with bar() as progress:
        task = progress.add_task(title, total=len(items), note="")
        for item in items:
            yield item
            progress.advance(task)
