"""Fair races: outputs compared before anything is timed, then interleaved repetitions, and ratios
within each of them."""

from __future__ import annotations

import cProfile
import gc
import pstats
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
TOLERANCE = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.1}
"""Largest difference between two ways to the same numbers, as a share of the largest of them, that
rounding explains."""


@dataclass(frozen=True)
class Spread:
    """A median over repetitions with the smallest and the largest of them; n is their number."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        digits = 2 if self.median < 100 else 0
        return (
            f"{self.median:.{digits}f} ({self.low:.{digits}f} .. {self.high:.{digits}f};"
            f" n={self.n})"
        )


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. `run` gives its numbers; `items` is how much of the work one call
    does, relative to the others'."""

    name: str
    run: Callable[[], Any]
    items: float = 1.0


@dataclass(frozen=True)
class Heat:
    """What a race found.

    Attributes:
        seconds: per item of work, by contestant and repetition.
        differences: from the first contestant's numbers, as a share of the largest of them.
        refused: contestants that were not timed, and why.
    """

    seconds: dict[str, list[float]]
    differences: dict[str, float]
    refused: dict[str, str]

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """Seconds of one over seconds of another, repetition by repetition: how many times as fast
        the second is."""
        return Spread.of(
            [a / b for a, b in zip(self.seconds[numerator], self.seconds[denominator], strict=True)]
        )

    def spread(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])


def difference(ours: Any, theirs: Any) -> float:
    """Largest difference as a share of the largest of our numbers; infinite where shapes differ or
    something is not a number."""
    a, b = (
        (
            x.detach().float().cpu().double().numpy()
            if isinstance(x, torch.Tensor)
            else np.asarray(x, dtype=np.float64)
        )
        for x in (ours, theirs)
    )
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))


def race(
    contestants: list[Contestant],
    repetitions: int,
    tolerance: float,
    *,
    only_timed: Mapping[str, str] | None = None,
) -> Heat:
    """Runs all once and compares their numbers with the first's, then times those that agree, in
    turns.

    Args:
        only_timed: contestants whose numbers are others by nature (a bare forward), and why that
            is.

    Raises:
        RuntimeError: the first contestant fails.
    """
    refused, fit = dict[str, str](), contestants[:1]
    ours = contestants[0].run()
    differences = {contestants[0].name: difference(ours, ours)}
    for contestant in contestants[1:]:
        try:
            theirs = contestant.run()
        except (
            Exception
        ) as error:  # a peer that cannot do the work is a finding, not a failure of the bench
            refused[contestant.name] = (
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            )
            continue
        if contestant.name not in (only_timed or {}):
            differences[contestant.name] = difference(np.asarray(ours)[: len(theirs)], theirs)
            if not differences[contestant.name] <= tolerance:
                refused[contestant.name] = (
                    f"gives other numbers: off by {differences[contestant.name]:.2g} of the"
                    f" largest, {tolerance:g} allowed"
                )
                continue
        fit.append(contestant)
    seconds: dict[str, list[float]] = {c.name: [] for c in fit}
    for i in range(repetitions):
        for contestant in fit[i % len(fit) :] + fit[: i % len(fit)]:  # nobody is always first
            seconds[contestant.name].append(timed(contestant.run) / contestant.items)
    return Heat(seconds, differences, refused)


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call, to the end of what it has put on the GPU."""
    gc.collect()
    settle()
    start = time.perf_counter()
    run()
    settle()
    return time.perf_counter() - start


def settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def profile(run: Callable[[], Any], top: int = 14) -> list[str]:
    """The lines where one call spends its time itself, the largest first: seconds, share,
    file:line."""
    profiler = cProfile.Profile()
    profiler.enable()
    run()
    profiler.disable()
    return profile_lines(pstats.Stats(profiler), top)


def profile_lines(stats: pstats.Stats, top: int = 14) -> list[str]:
    """Of a finished profile: `own seconds, share of all, calls, where`."""
    table: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    total = sum(row[2] for row in table.values())
    largest = sorted(table.items(), key=lambda item: -item[1][2])[:top]
    return [
        f"{own:.3f} s {own / total:.0%} {calls}x {place(*where)}"
        for where, (_, calls, own, _, _) in largest
    ]


def place(file: str, line: int, function: str) -> str:
    """`emoexp/vectors/extraction.py:97 pool_batches`, without the folders of this machine."""
    if file == "~":
        return function
    short = file.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]
    return f"{short}:{line} {function}"
