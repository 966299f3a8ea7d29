"""The one exception for what the user can fix."""

from typing import Any


class EmoexpError(Exception):
    """A mistake the user can mend. The message is one line: the value, what is allowed, what to do."""

    partial: Any = None
    """A Result with what had been found before, if there is any."""
