"""The one exception for what the user can fix, and errors as one line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class EmoexpError(Exception):
    """Raised for a mistake that the user can fix.

    The message is one line: the value, what is allowed, what to do.
    """


def shortened(text: str, most: int = 120) -> str:
    """Returns a text on one line, cut to its first `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."


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
