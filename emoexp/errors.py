"""The one exception for what the user can fix, and errors as one line."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from emoexp.interrupts import end_children, interruptible, interruption

SPACE = "free space and run the same command again; what was computed is kept"
PERMISSION = (
    "change its permissions, or give places that may be read and written"
    " (artifacts=, hydra.run.dir=, hydra.sweep.dir=, HOME)"
)
IN_THE_WAY = "a file is where a folder has to be, or the other way round: give another path"
ADVICE = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EROFS: PERMISSION,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EISDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
    errno.ENOLCK: "this file system locks no files: give artifacts= and hydra.run.dir= elsewhere",
}
"""What to do about an error of the operating system, by its number."""

NO_REGEX = (re.error, ValueError, OverflowError, RecursionError)
"""What `re.compile` raises: for `(?a)(?u)`, `x{9999999999}` and 5,000 brackets the last three."""


NO_MEMORY = re.compile("out of memory|allocate memory|ALLOC_FAILED|bad_alloc", re.IGNORECASE)
"""How torch, CUDA and the operating system say that memory ran out."""


class EmoexpError(Exception):
    """Raised for a mistake that the user can fix.

    The message is one line: the value, what is allowed, what to do.
    """


def shortened(text: str, most: int = 120) -> str:
    """Returns a text on one line, cut to its first `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."


class NotApplicableError(EmoexpError):
    """Raised where a measurement is not defined, such as steering after the last block.

    `verify` notes it and continues with the other validations.
    """


class OneLineParser(argparse.ArgumentParser):
    """A parser of a command line whose error is an EmoexpError that names the command."""

    def error(self, message: str) -> NoReturn:
        """Raises an EmoexpError with the message."""
        raise EmoexpError(f"{self.prog}: {message} ({self.prog} --help)")


def chain(error: BaseException) -> list[BaseException]:
    """Returns an error and its causes, the last first."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) and cause not in found:
        found.append(cause)
    return found


def one_line(error: BaseException) -> str:
    """Returns the message to show: that of an EmoexpError in the chain of causes if there is one,
    else the first message that is not empty, with advice if the operating system is its cause."""
    errors = chain(error)
    ours = [e for e in errors if isinstance(e, EmoexpError)]
    shown = next((e for e in ours or errors if str(e).strip()), None)
    text = type(error).__name__ if shown is None else str(shown)
    if isinstance(shown, OSError) and shown.filename:
        text = f"{shown.filename}: {shown.strerror}"
    advice = "" if ours or shown is None else advice_on(shown)
    return " ".join(text.split()) + (f": {advice}" if advice else "")


def number_of(error: BaseException) -> int | None:
    """Returns the operating system's number of an error that it has caused, also as a library
    written in Rust reports it; None for any other."""
    if isinstance(error, OSError):
        return error.errno
    said = re.search(r"\(os error (\d+)\)", str(error))
    return int(said[1]) if said else None


def advice_on(error: BaseException) -> str:
    """Returns what to do about an error that the operating system has caused; empty for another."""
    if str(error) == "Could not determine home directory.":  # of pathlib, for a path with ~
        return "set HOME, or give paths without ~ (artifacts=)"
    return ADVICE.get(number_of(error) or 0, "")


def out_of_memory(error: BaseException) -> bool:
    """Tells whether an error says that memory ran out, on the GPU or on the machine."""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def by_the_system(error: BaseException) -> bool:
    """Checks whether the operating system has caused an error, such as a full disk."""
    return any(advice_on(e) for e in chain(error))


def require(condition: bool, message: str) -> None:
    """Raises EmoexpError with `message` unless `condition` holds."""
    if not condition:
        raise EmoexpError(message)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends a command as its user expects. A user's mistake, and an error that the operating system
    has caused, is one line and exit status 2. So is an interruption, with 128 and the signal's
    number, and no child process is left. An output that its reader closes, as `head` does, is no
    error."""
    try:
        with interruptible():
            try:
                yield
            finally:
                sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered goes nowhere, or Python would complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        if line := interruption(error):
            end_children()
            fail(line, getattr(error, "status", 130))
        if isinstance(error, EmoexpError) or by_the_system(error):
            fail(one_line(error))
        raise


def fail(line: str, status: int = 2) -> NoReturn:
    """Prints one line on standard error and exits."""
    with suppress(OSError):
        sys.stderr.write(f"emoexp: {line}\n")
    sys.exit(status)
