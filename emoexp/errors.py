"""The one exception for what the user can fix, and errors as one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class EmoexpError(Exception):
    """Raised for a mistake that the user can fix.

    The message is one line: the value, what is allowed, what to do.
    """


def one_line(error: BaseException) -> str:
    """Returns the message to show: that of an EmoexpError in the chain of causes if there is one,
    else the first message that is not empty."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    ours = [e for e in chain if isinstance(e, EmoexpError)]
    text = next((str(e) for e in ours or chain if str(e).strip()), type(error).__name__)
    return " ".join(text.split())


class NotApplicableError(EmoexpError):
    """Raised where a measurement is not defined, such as steering after the last block.

    `verify` notes it and continues with the other validations.
    """


class OneLineParser(argparse.ArgumentParser):
    """A parser of a command line whose error is an EmoexpError that names the command."""

    def error(self, message: str) -> NoReturn:
        """Raises an EmoexpError with the message."""
        raise EmoexpError(f"{self.prog}: {message} ({self.prog} --help)")


def require(condition: bool, message: str) -> None:
    """Raises EmoexpError with `message` unless `condition` holds."""
    if not condition:
        raise EmoexpError(message)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends a command as its user expects: an EmoexpError is one line and exit status 2, and an
    output that its reader has closed, as `head` does, is no error."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        # what is still buffered goes nowhere, or Python would complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
