"""The one exception for what the user can fix."""


class EmoexpError(Exception):
    """A mistake the user can mend. The message is one line: the value, what is allowed, what to
    do."""
