"""Checks of values that were read from JSON."""

from __future__ import annotations

from typing import Any


def is_text(value: Any) -> bool:
    """Checks that a value is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def are_texts(value: Any) -> bool:
    """Checks that a value is a list of texts that are not blank; the list may be empty."""
    return isinstance(value, list) and all(map(is_text, value))
