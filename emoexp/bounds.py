"""What the numbers of the configuration may be. Each field states its bounds, and one check reads
them; a field that states none is held to `DEFAULT`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from emoexp.errors import require

KEY = "bounds"
MOST = 1_000_000


@dataclass(frozen=True)
class Bounds:
    """The range of a number: `least` and `most` included unless `open_least`, `open_most`.

    Attributes:
        even: only even numbers.
        nonzero: 0 is excluded.
        why: what the number is for, said where it is refused.
    """

    least: float = 1
    most: float = MOST
    open_least: bool = False
    open_most: bool = False
    even: bool = False
    nonzero: bool = False
    why: str = ""

    def __str__(self) -> str:
        low = f"{'above' if self.open_least else 'at least'} {self.least}"
        high = f"{'below' if self.open_most else 'at most'} {self.most}"
        named = ["even" if self.even else "", "other than 0" if self.nonzero else "", low, high]
        return ", ".join(filter(None, named)) + (f" ({self.why})" if self.why else "")

    def holds(self, value: float) -> bool:
        """Tells whether a number lies in the range; NaN does not."""
        above = value > self.least if self.open_least else value >= self.least
        below = value < self.most if self.open_most else value <= self.most
        return (
            (isinstance(value, int) or math.isfinite(value))
            and above
            and below
            and not (self.even and value % 2)
            and not (self.nonzero and value == 0)
        )


DEFAULT = {int: Bounds(), float: Bounds(0, open_least=True)}
"""A whole number counts something and is at least 1; any other is finite and above 0."""


def number(default: Any, least: float = 1, most: float = MOST, **bounds: Any) -> Any:
    """Returns a dataclass field that holds a number or a list of them, with its bounds.

    Args:
        default: the number; None; or a function that makes the list.
        bounds: further fields of `Bounds`.
    """
    metadata = {KEY: Bounds(least, most, **bounds)}
    if isinstance(default, Callable):  # type: ignore[arg-type]
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def bounds_of(spec: Field[Any], kind: Any) -> Bounds | None:
    """Returns the bounds of a field whose type (without None) is `kind`; None where it holds no
    number."""
    kind = getattr(kind, "__args__", (kind,))[0] if getattr(kind, "__origin__", 0) is list else kind
    return spec.metadata.get(KEY, DEFAULT.get(kind))


@dataclass(kw_only=True)
class Bounded:
    """A group of settings whose numbers are checked when it is made.

    Attributes:
        group: how messages name the group, with its dot.
        how: the settings that say how a run is run, and change no number.
    """

    group: ClassVar[str] = "experiment."
    how: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Raises EmoexpError for a number out of its bounds, a list of numbers that is empty or
        one that names a number twice."""
        for spec in fields(self):
            value, name = getattr(self, spec.name), f"{self.group}{spec.name}"
            if value is None or not re.search(r"\b(int|float)\b", str(spec.type)):
                continue
            if isinstance(value, list):
                self._check_list(spec, name, value)
            else:
                bounds = spec.metadata.get(KEY, DEFAULT[type(value)])
                require(bounds.holds(value), f"{name}={value}: must be {bounds}")

    def _check_list(self, spec: Field[Any], name: str, values: list[Any]) -> None:
        shown = f"{name}={values}".replace(" ", "")
        null = ", or null" if "None" in str(spec.type) else ""
        once = 0 < len(values) == len(set(values))
        require(once, f"{shown}: at least one number, each once{null}")
        for value in values:
            bounds = spec.metadata.get(KEY, DEFAULT[type(value)])
            require(bounds.holds(value), f"{shown}: each must be {bounds}")
