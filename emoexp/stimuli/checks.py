"""Checks of values that were read from files, and the one spelling of an emotion's name."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

DASHES = re.compile("[\u2010-\u2015]")


def is_text(value: Any) -> bool:
    """Checks that a value is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def are_texts(value: Any) -> bool:
    """Checks that a value is a list of texts that are not blank; the list may be empty."""
    return isinstance(value, list) and all(map(is_text, value))


def emotion_name(raw: str) -> str:
    """Returns the emotion as emoexp spells it.

    It is in lower case and in one Unicode form (NFKC), without characters that are not seen, with
    single spaces (also for underscores) and plain hyphens. Nothing else is mapped ("joy" stays
    "joy").
    """
    text = unicodedata.normalize("NFKC", DASHES.sub("-", raw)).lower().replace("_", " ")
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())
