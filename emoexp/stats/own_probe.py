"""How a scenario's own probe ranks among the probes: read-outs, ranks, and V3 and V4 of ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emoexp.stats.criteria import Measurement, judge
from emoexp.stats.intervals import central, p_value, resample, wilson
from emoexp.stats.labels import ISOTROPIC, PERMUTED_SCENARIOS, SHUFFLED

RAW, CENTRED, Z_SCORED = "raw", "centred", "z-scored"
SHORT = {ISOTROPIC: "isotropic", SHUFFLED: "shuffled", PERMUTED_SCENARIOS: "permuted"}
"""Names of the nulls in columns."""
FEWEST_TO_Z_SCORE = 6
"""Scenarios from which a standard deviation over them is taken."""


def read_outs(cosines: np.ndarray) -> dict[str, np.ndarray]:
    """Returns cosines as they are, centred over the scenarios, and z-scored over them.

    A model's residuals share a large part, which makes some probes high everywhere; centring takes
    it out. The z-scores are left out below `FEWEST_TO_Z_SCORE` scenarios, and where a probe has no
    spread. (scenario, probe) each.
    """
    centred = cosines - cosines.mean(0)
    found, spread = {RAW: cosines, CENTRED: centred}, centred.std(0)
    if len(cosines) >= FEWEST_TO_Z_SCORE and np.all(spread > 0):
        found[Z_SCORED] = centred / spread
    return found


def probe_ranks(matrix: np.ndarray) -> np.ndarray:
    """Ranks the probes in each scenario, 1 the highest.

    A tie takes the worst rank that it allows, and NaN ranks last; (scenario, probe), as given.
    """
    return np.asarray((~(matrix[:, None, :] < matrix[:, :, None])).sum(2))


def own_ranks(matrix: np.ndarray) -> np.ndarray:
    """Ranks each scenario's own probe among the probes, as `probe_ranks` does; square
    (..., scenario, probe) -> (..., scenario)."""
    own = np.diagonal(matrix, axis1=-2, axis2=-1)
    return np.asarray((~(matrix < own[..., None])).sum(-1))


def count_highest(ranks: np.ndarray) -> np.ndarray:
    """Returns V3: how many ranks are 1; (..., scenario) -> (...)."""
    return np.asarray((ranks == 1).sum(-1))


def mean_rank(ranks: np.ndarray) -> np.ndarray:
    """Returns V4; (..., scenario) -> (...)."""
    return np.asarray(ranks.mean(-1))


def measure_ranks(
    ranks: np.ndarray,
    drawn: Mapping[str, np.ndarray],
    draws: int,
    permutations: int,
    seed: int,
) -> list[tuple[Measurement, float]]:
    """Measures V3 and V4, each with the share of permutations that are as good or better.

    Args:
        ranks: of the probes in each scenario; (scenario, probe), square.
        drawn: of the own probes where directions were drawn, by their label; (draw, scenario).
        draws, permutations: of the bootstrap interval, and of the permutation null.
    """
    n, rng = len(ranks), np.random.default_rng(seed)
    orders = np.stack([rng.permutation(n) for _ in range(permutations)])
    own, permuted = np.diag(ranks), ranks[np.arange(n), orders]
    hits, again = int(count_highest(own)), own[resample(n, draws, seed)]
    intervals = {"V3": wilson(hits, n), "V4": central(mean_rank(again))}
    found = []
    for criterion, statistic, sign in (("V3", count_highest, 1), ("V4", mean_rank, -1)):
        value, chance = float(statistic(own)), statistic(permuted)
        nulls = {label: central(statistic(noise)) for label, noise in drawn.items()}
        nulls[PERMUTED_SCENARIOS] = central(chance)
        p = p_value(sign * value, sign * chance)
        found.append((Measurement(criterion, value, n, intervals[criterion], nulls), p))
    return found


def row_of(measurement: Measurement) -> dict[str, float | str | bool]:
    """Returns a read-out's row: its verdict, and its nulls."""
    verdict = judge(measurement)
    kept = ("id", "value", "n", "ci_low", "ci_high", "passed", "informative")
    row = {k: v for k, v in verdict.as_dict().items() if k in kept}
    for label, null in measurement.nulls.items():
        row |= null.columns(SHORT[label])
    return row
