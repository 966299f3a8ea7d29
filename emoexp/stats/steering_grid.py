"""Statistics of the cells of a steering map (layer x strength), and which cell is proposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.stats.criteria import CRITERIA, EFFECT_FLOOR, Effect, Measurement, judge
from emoexp.stats.digits import short
from emoexp.stats.intervals import Interval, bootstrap, central, correlate_columns
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, SUBTRACTED
from emoexp.stats.matched_pairs import mean_of
from emoexp.stats.steering_effects import ratio_over, signs_agree, sizes

COHERENT = 0.9
"""Least coherence of a cell that works."""
ORDERED = 0.5
"""Least rank correlation of the steered activities' Elo with and without steering, in a cell that
works: below it the answer hardly depends on the activities any more. Steering that works keeps .6
to 1 (the organism, Qwen2.5-Coder-1.5B); a strength of 1e9 leaves -.3."""
RULE = (
    "a cell works if V10 passes and is informative there (effect ratio's 95 % interval above 1,"
    f" mean |delta Elo| at least {EFFECT_FLOOR:g}) and coherence is at least {COHERENT:g}, and"
    f" order kept at least {ORDERED:g}; proposed is the largest mean |delta Elo| among those that"
    " work"
)
PROPOSED = (
    "layer",
    "strength",
    "mean_abs_delta_elo",
    "effect_ratio",
    "V10",
    "V11",
    "coherence",
    "order_kept",
    "delta_elo_",
)
"""Beginnings of the names of the columns that the metrics report of the proposed cell."""


@dataclass(frozen=True)
class Proposal:
    """The cell to steer at, and the neighbouring layers that work at its strength.

    Attributes:
        cell: a row of `judge_cells`.
        layers: the cell's layer and those beside it in the map. Layers between those of the map
            were not measured.
    """

    cell: pd.Series
    layers: tuple[int, ...]


def judge_cell(
    emotions: pd.DataFrame, isotropic: pd.DataFrame, draws: int, seed: int
) -> dict[str, float | bool]:
    """Computes the statistics of one cell, and whether it works by `RULE`.

    Intervals are over directions.

    Args:
        emotions, isotropic: one row per direction with r, delta_elo, coherence, order_kept,
            order_unsteered.

    Raises:
        ValueError: a statistic is not defined, as where no isotropic direction changes anything.
    """
    ratio = ratio_over(isotropic, emotions, draws, seed)
    effect = Effect(float(sizes(emotions).mean()), {ISOTROPIC: ratio.interval})
    value, interval = _v10(emotions, draws, seed)
    value_isotropic, null = _v10(isotropic, draws, seed)
    verdict = judge(Measurement("V10", value, len(emotions), interval, {ISOTROPIC: null}, effect))
    return {
        **mean_of(sizes(emotions), draws, seed).columns("mean_abs_delta_elo"),
        "isotropic_mean_abs": float(sizes(isotropic).mean()),
        **central(isotropic["delta_elo"].to_numpy()).columns("isotropic"),
        **ratio.columns("effect_ratio"),
        "V10": value,
        **interval.columns("V10"),
        "V10_isotropic": value_isotropic,
        "V11": float(signs_agree(emotions).mean()),
        "V11_isotropic": float(signs_agree(isotropic).mean()),
        **_answer_columns(emotions, isotropic, draws, seed),
        "works": (
            verdict.passed
            and verdict.informative
            and float(emotions["coherence"].mean()) >= COHERENT
            and float(emotions["order_kept"].mean()) >= ORDERED
        ),
    }


def _v10(directions: pd.DataFrame, draws: int, seed: int) -> tuple[float, Interval]:
    """V10 of a set of directions, and its bootstrap interval over directions."""
    r, delta = directions["r"].to_numpy(), directions["delta_elo"].to_numpy()

    def resampled(i: np.ndarray) -> float:
        return float(correlate_columns(r[i], delta[i]))

    return float(correlate_columns(r, delta)), bootstrap(len(directions), resampled, draws, seed)


def _answer_columns(
    emotions: pd.DataFrame, isotropic: pd.DataFrame, draws: int, seed: int
) -> dict[str, float | bool]:
    """Coherence of the answers and the order that they keep, as columns."""
    found: dict[str, float | bool] = {}
    for name in ("coherence", "order_kept"):
        found |= mean_of(emotions[name].to_numpy(), draws, seed).columns(name)
        found[f"{name}_isotropic"] = float(isotropic[name].mean())
    return found | {
        "order_unsteered": float(emotions["order_unsteered"].mean()),
        "order_unsteered_isotropic": float(isotropic["order_unsteered"].mean()),
    }


def unmoved(directions: pd.DataFrame) -> str:
    """Returns the first cell where an isotropic direction changes nothing; empty if none does."""
    isotropic = directions[directions["set"] == ISOTROPIC]
    still = isotropic[isotropic["delta_elo"] == 0]
    if still.empty:
        return ""
    return f"layer {still['layer'].iloc[0]}, strength {still['strength'].iloc[0]:g}"


def judge_cells(directions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Judges each cell of a map; one row per layer and strength, with `judge_cell`'s columns.

    Args:
        directions: one row per cell and direction with layer, strength (below 0: subtracted), set,
            direction, and what `judge_cell` needs.

    Returns:
        those columns, and `delta_elo_plus_<exemplar>` and `delta_elo_minus_<exemplar>`.
    """
    rows = []
    for (layer, strength), part in directions.groupby(["layer", directions["strength"].abs()]):
        sets = {name: table.reset_index(drop=True) for name, table in part.groupby("set")}
        exemplars = sets.get(SUBTRACTED, part[:0])["direction"]
        change = {
            sign: sets[name].set_index("direction")["delta_elo"]
            for sign, name in (("plus", EMOTIONS), ("minus", SUBTRACTED))
            if name in sets
        }
        row = {"layer": layer, "strength": strength}
        row |= judge_cell(sets[EMOTIONS], sets[ISOTROPIC], draws, seed)
        row |= {f"delta_elo_{s}_{e}": float(change[s][e]) for s in change for e in exemplars}
        rows.append(row)
    return pd.DataFrame(rows)


def propose(cells: pd.DataFrame) -> Proposal | None:
    """Returns the cell that `RULE` proposes; None where none works."""
    works = cells[cells["works"]]
    if works.empty:
        return None
    best = works.sort_values("mean_abs_delta_elo").iloc[-1]
    layers = sorted(cells["layer"].unique())
    working = set(works.loc[works["strength"] == best["strength"], "layer"])
    low = high = layers.index(best["layer"])
    while low > 0 and layers[low - 1] in working:
        low -= 1
    while high < len(layers) - 1 and layers[high + 1] in working:
        high += 1
    return Proposal(best, tuple(int(layer) for layer in layers[low : high + 1]))


def describe(cells: pd.DataFrame, proposal: Proposal | None, model: str) -> str:
    """Describes the proposed cell in words, or how many cells meet which condition if none is."""
    if proposal is None:
        conditions = {
            "V10 passes": cells["V10"] > CRITERIA["V10"].threshold,
            "the effect ratio's interval is above 1": cells["effect_ratio_low"] > 1,
            f"mean |delta Elo| is at least {EFFECT_FLOOR:g}": (
                cells["mean_abs_delta_elo"] >= EFFECT_FLOOR
            ),
            f"coherence is at least {COHERENT:g}": cells["coherence"] >= COHERENT,
            f"order kept is at least {ORDERED:g}": cells["order_kept"] >= ORDERED,
        }
        counts = ", ".join(f"{what} in {where.sum()}" for what, where in conditions.items())
        return (
            f"no cell of {len(cells)} works: {counts}; all five in none (largest mean |delta Elo|:"
            f" {short(cells['mean_abs_delta_elo'].max())})"
        )
    c, layers = proposal.cell, ", ".join(map(str, proposal.layers))
    around = "no neighbouring layer of the map works at this strength"
    if len(proposal.layers) > 1:
        around = f"of the map's layers, {layers} work at this strength"
        if proposal.layers[-1] - proposal.layers[0] >= len(proposal.layers):
            around += "; between them nothing was measured"

    def with_interval(name: str) -> str:
        value, low, high = (short(c[key]) for key in (name, f"{name}_low", f"{name}_high"))
        return f"{value} ({low} .. {high})"

    return (
        f"proposed: layer {c['layer']:.0f}, strength {c['strength']:g} ({around}): mean |delta Elo|"
        f" {with_interval('mean_abs_delta_elo')}, effect ratio {with_interval('effect_ratio')}, V10"
        f" {with_interval('V10')}, coherence {c['coherence']:.2f}, order kept"
        f" {c['order_kept']:.2f}. The best of {len(cells)} cells looks better than it is, so"
        f" confirm it with other directions and all activities: experiment=steering model={model}"
        f" layer={c['layer']:.0f} experiment.strength={c['strength']:g} seed=1"
    )
