"""Statistics of steered directions: V10, V11, and the effect's size over random directions'.

A table of directions has one row per direction with `r` (correlation of probe and Elo, unsteered)
and `delta_elo` (mean change of the steered activities' Elo).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emoexp.stats.criteria import CORRELATED
from emoexp.stats.intervals import (
    Interval,
    central,
    pearson,
    ratio_interval,
    resampled_correlations,
)
from emoexp.stats.labels import EMOTIONS, ISOTROPIC
from emoexp.stats.matched_pairs import Estimate


def correlation(directions: pd.DataFrame) -> float:
    """Returns V10: Pearson's r of `r` and `delta_elo` over directions."""
    return pearson(directions["r"].to_numpy(), directions["delta_elo"].to_numpy())


def correlation_interval(directions: pd.DataFrame, draws: int, seed: int) -> Interval:
    """Returns the 95 % bootstrap interval of `correlation` over directions."""
    r, change = directions[["r"]].to_numpy(), directions["delta_elo"].to_numpy()
    return central(resampled_correlations(r, change, draws, seed))


def signs_agree(directions: pd.DataFrame) -> np.ndarray:
    """Tells which directions' delta Elo has the sign of r, as V11 counts them; (direction,)."""
    return (np.sign(directions["r"]) == np.sign(directions["delta_elo"])).to_numpy()


def sizes(directions: pd.DataFrame) -> np.ndarray:
    """Returns |delta Elo| of each direction, in Elo points; (direction,)."""
    return directions["delta_elo"].abs().to_numpy()


def metrics_of(rows: pd.DataFrame, sets: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Returns the numbers of a steering run that have no verdict.

    Args:
        rows: of `summarise`.
        sets: tables of directions by the label of their set, with the columns
            delta_bradley_terry and exemplar.
    """
    by_set = {str(row["directions"]): row for row in rows.to_dict("records")}
    own, control, emotions = by_set[EMOTIONS], by_set[ISOTROPIC], sets[EMOTIONS]
    exemplars = emotions[emotions["exemplar"].astype(bool)]
    by_bt = pearson(emotions["r"].to_numpy(), emotions["delta_bradley_terry"].to_numpy())
    named = zip(exemplars["direction"], exemplars["delta_elo"], strict=True)
    return {
        "V10_absolute_as_published": abs(own["V10"]),
        "V10_bradley_terry": by_bt,
        **{str(k): float(v) for k, v in own.items() if str(k).startswith("effect_ratio")},
        "mean_abs_delta_elo": float(own["mean_abs_delta_elo"]),
        "mean_abs_delta_elo_isotropic": float(control["mean_abs_delta_elo"]),
        "V10_isotropic": float(control["V10"]),
        "V11_isotropic_share": control["V11"] / control["n"],
        **{f"delta_elo_{name}": float(change) for name, change in named},
    }


def ratio_over(control: pd.DataFrame, part: pd.DataFrame, draws: int, seed: int) -> Estimate:
    """Returns the ratio of mean |delta Elo| of some directions to that of a control, with its 95 %
    bootstrap interval over directions."""
    above, below = sizes(part), sizes(control)
    value = float(above.mean() / below.mean())
    return Estimate(value, ratio_interval(above, below, draws, seed), len(above))


UNMOVED = "not defined, since steering changes no preference, or all alike, with these directions"


def unmoved(sets: Mapping[str, pd.DataFrame]) -> str:
    """Names the first set of directions that changes too little for V10 or the effect ratio to be
    defined: all its delta Elo are equal, or half of the isotropic ones are 0. Empty if none is."""
    for label, part in sets.items():
        change = part["delta_elo"].to_numpy()
        if np.ptp(change) == 0 or (label == ISOTROPIC and (change == 0).mean() >= 0.5):
            return label
    return ""


def summarise(
    sets: Mapping[str, pd.DataFrame], null: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Summarises each set of directions in one row.

    Args:
        sets: tables of directions by the label of their set.
        null: the isotropic directions, whose mean |delta Elo| is the unit of `effect_ratio`.

    Returns:
        columns directions (label), n, V10, V11 (count), above (|r| > 0.3), mean_abs_r,
        mean_abs_delta_elo, and effect_ratio with its 95 % bootstrap interval (_low, _high).
    """
    rows = []
    for label, part in sets.items():
        rows.append(
            {
                "directions": label,
                "n": len(part),
                "V10": correlation(part),
                "V11": int(signs_agree(part).sum()),
                "above": int((part["r"].abs() > CORRELATED).sum()),
                "mean_abs_r": float(part["r"].abs().mean()),
                "mean_abs_delta_elo": float(sizes(part).mean()),
                **ratio_over(null, part, draws, seed).columns("effect_ratio"),
            }
        )
    return pd.DataFrame(rows)
