"""Signals that ask a command to end: one exception for all of them, and no child process is
left."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""The signals, with the handler that is replaced. Under nohup SIGHUP has another, and keeps it."""


class Interrupted(KeyboardInterrupt):
    """Raised where a signal asks the process to end; `status` is its exit status."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__("interrupted" if number == signal.SIGINT else f"interrupted by {name}")
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` for `SIGNALS` while the context lasts."""
    replaced = {n: old for n, old in SIGNALS.items() if signal.getsignal(n) == old}
    for number in replaced:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)


def _interrupt(number: int, _: object) -> NoReturn:
    raise Interrupted(number)


def interruption(error: BaseException) -> str:
    """Returns how a run was interrupted, for its user; empty where it was not."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return "" if seen is None else f"{str(seen) or 'interrupted'}; the same command goes on"


def end_children(seconds: float = 10) -> None:
    """Interrupts the processes that this one has started, and kills those that go on."""
    import psutil

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # of somebody who cannot wait
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            child.send_signal(signal.SIGINT)
    for child in psutil.wait_procs(children, seconds)[1]:
        with suppress(psutil.Error):
            child.kill()
    signal.signal(signal.SIGINT, before)
