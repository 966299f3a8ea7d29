"""How a number is written for people."""

from __future__ import annotations


def short(value: float, digits: int = 3) -> str:
    """Formats a number to so many digits that count; a large one in full, without an exponent, and
    zero without a sign."""
    text = f"{value:z.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text
