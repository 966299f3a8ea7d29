"""What a value read from JSON is."""

from __future__ import annotations

from typing import Any


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def are_texts(value: Any) -> bool:
    """True also of an empty list."""
    return isinstance(value, list) and all(map(is_text, value))
