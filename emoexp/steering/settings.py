"""Bounds of the settings that steering experiments have in common."""

from __future__ import annotations

from typing import Any

from emoexp.bounds import number

UNIT = "in multiples of the residual norm"
MOST_STRENGTH = 100


def a_strength(default: Any, least: float = -MOST_STRENGTH, why: str = UNIT, **bounds: Any) -> Any:
    """Returns a field for a strength or a list of them: never 0, which steers nothing."""
    return number(default, least, MOST_STRENGTH, nonzero=least < 0, why=why, **bounds)


def some_layers() -> Any:
    """Returns a field for a list of 0-based layers, null by default."""
    return number(None, 0, why="0-based blocks")
