"""The log of a run, run.log: what it says on standard error, with times."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from emoexp.errors import one_line
from emoexp.interrupts import interruption

log = logging.getLogger("emoexp.run")


class Logged:
    """A text stream that also logs each whole line; what moves the cursor is for a terminal only.

    Everything else of it is the stream's own.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.line = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes to the stream, and logs the lines that end in `text`."""
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            if line.strip() and line.isprintable():
                log.info("%s", line)
        return self.stream.write(text)


@contextmanager
def logged() -> Iterator[None]:
    """Logs what is written to standard error while the context lasts, and how it ends."""
    before = sys.stderr
    sys.stderr = cast(TextIO, Logged(before))
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        log.info("%s", interruption(error) or one_line(error))
        raise
    finally:
        sys.stderr = before
