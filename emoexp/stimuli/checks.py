"""Checks of values that were read from files, and the one spelling of an emotion's name."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Annotated, Any

from annotated_types import Predicate

LONGEST_NAME = 80
"""Characters of an emotion's name."""
EXACT = {"extra": "forbid"}
"""The configuration, for pydantic, of a class whose objects have no further keys."""
DASHES = re.compile("[\u2010-\u2015]")


def is_text(value: Any) -> bool:
    """Checks that a value is a text that is whole and not blank."""
    return isinstance(value, str) and bool(value.strip()) and is_whole(value)


def is_line(value: Any) -> bool:
    """Checks that a value is a text of one line that is not blank."""
    return is_text(value) and len(value.splitlines()) == 1


def is_whole(text: str) -> bool:
    """Checks whether `text` can be written as UTF-8; JSON can hold halves of a character that
    cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Text = Annotated[str, Predicate(is_text)]
Texts = tuple[Text, ...]


@cache
def _reader(kind: Any) -> Any:
    """Returns the reader of a type, which takes longer to make than to use."""
    from pydantic import TypeAdapter  # slow to import

    return TypeAdapter(kind)


def read_as(kind: Any, value: Any) -> Any:
    """Returns a value that was read from JSON as one of the type `kind`; lists become tuples.

    Raises:
        ValueError: it is not of that type.
    """
    return _reader(kind).validate_python(value)


def is_a(kind: Any, value: Any) -> bool:
    """Checks that a value that was read from JSON is of the type `kind`."""
    try:
        read_as(kind, value)
    except ValueError:
        return False
    return True


def cleaned(raw: str) -> str:
    """Returns a name in one Unicode form (NFKC), without characters that are not seen, with single
    blanks between its words and plain hyphens."""
    text = unicodedata.normalize("NFKC", DASHES.sub("-", raw))
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


@lru_cache(4096)
def emotion_name(raw: str) -> str:
    """Returns the emotion as emoexp spells it: cleaned, in lower case, with blanks for underscores.
    Nothing else is mapped ("joy" stays "joy")."""
    return cleaned(raw.lower().replace("_", " "))
