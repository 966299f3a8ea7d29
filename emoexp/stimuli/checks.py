"""Checks of values that were read from files, and the one spelling of an emotion's name."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

LONGEST_NAME = 80
"""Characters of an emotion's name."""
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


def are_texts(value: Any) -> bool:
    """Checks that a value is a list of texts that are not blank; the list may be empty."""
    return isinstance(value, list) and all(map(is_text, value))


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
