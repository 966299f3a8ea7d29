"""Where does steering work? Layers by strengths: effect, its null, and whether the model is still
coherent (paper, Figures 54 and 55).

Adding a vector on the steered activities' tokens is measured in every cell of a grid of layers and
strengths, with a few emotions spread over the range of r and as many isotropic directions of the
same norm; the pack's exemplars are also subtracted. Effect is mean |delta Elo|, and its ratio to
the isotropic directions'. Coherence is the probability of "A" or "B" at the answer, relative to the
unsteered model's; it says that there is an answer, and `order_kept` that it is still about the
activities: the rank correlation of the steered activities' Elo with and without steering.

A part of the activities is put to the model (32 of 64 by default; with fewer, changes look
smaller). Elo among them is Elo of a
smaller league: changes are comparable (about a tenth smaller in the one cell of the organism that
    was put both ways), but they are
not the numbers of experiment=steering.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from emoexp.experiments.steering import EMOTIONS, ISOTROPIC, spread
from scipy.stats import rankdata

from emoexp.errors import EmoexpError
from emoexp.figures import steering_map as figures_map
from emoexp.stats.intervals import correlate_columns
from emoexp.stats.ratings import elo, win_probabilities
from emoexp.stats.steering_grid import RULE, judge_cell, propose, said
from emoexp.steering.preference import Preferences
from emoexp.steering.replay import PrefixReplay
from emoexp.store.artifacts import Row, array_key, key_of
from emoexp.study.result import Result
from emoexp.study.study import Experiment, NotApplicableError, Study
from emoexp.vectors.probes import activity_residuals
from emoexp.vectors.vectors import isotropic_directions

MOST_LAYERS = 12
SUBTRACTED = "exemplars, subtracted"
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
"""What of the proposed cell goes to the metrics, intervals and controls with it."""
HALF = 0.5


@dataclass(kw_only=True)
class SteeringMap(Experiment):
    """Attributes:
    layers: blocks whose outputs are steered, one at a time; null is every k-th up to the last that
        can reach the answer, at most 12.
    strengths: in multiples of the mean residual norm of each layer.
    n_emotions: how many emotions, the pack's exemplars among them; as many isotropic directions.
    activities: how many of the pack's activities are put against each other, half of them of the
        steered half.
    """

    layers: list[int] | None = None
    strengths: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.5, 1.0])
    n_emotions: int = 8
    activities: int = 32
    shown: ClassVar[tuple[str, ...]] = ("steering_map_rows",)

    def __post_init__(self) -> None:
        if (
            not self.strengths
            or len(set(self.strengths)) != len(self.strengths)
            or not all(np.isfinite(s) and s > 0 for s in self.strengths)
        ):
            raise EmoexpError(
                f"experiment.strengths={self.strengths}: each once, above 0, in multiples of the"
                " residual norm (exemplars are subtracted as well)"
            )
        if self.n_emotions < 4:
            raise EmoexpError(
                f"experiment.n_emotions={self.n_emotions}: at least 4, for a correlation with an"
                " interval"
            )
        if self.activities < 8 or self.activities % 2:
            raise EmoexpError(
                f"experiment.activities={self.activities}: an even number, at least 8; half of them"
                " are steered"
            )

    def run(self, study: Study) -> Result:
        directions = self.measure(study)
        return self.judged(study, directions)

    def mapped(self, study: Study) -> tuple[int, ...]:
        """The layers of the map, checked: what is added on an activity's tokens must be able to
        reach the answer."""
        deepest = study.model.deepest_reach
        if self.layers is None:
            step = -(-(deepest + 1) // MOST_LAYERS)
            return tuple(range(step - 1, deepest + 1, step))
        if not self.layers or len(set(self.layers)) != len(self.layers):
            raise EmoexpError(
                f"experiment.layers={self.layers}: name each layer once, and at least one; or null"
            )
        study.model.check_layers(self.layers)
        if max(self.layers) > deepest:
            raise NotApplicableError(
                f"steering_map: what is added at layer {max(self.layers)} on an activity's tokens"
                f" cannot reach the answer; choose layers up to {deepest}"
            )
        return tuple(sorted(self.layers))

    def measure(self, study: Study) -> pd.DataFrame:
        """One row per cell and direction: layer, strength (below 0: subtracted), set, direction, r,
        delta_elo, coherence, order_kept,
        order_unsteered. Each cell is one artifact row: a killed map goes on, and a further strength
            costs itself only.
        """
        if study.config.vectors is not None:
            raise EmoexpError(
                "vectors=... holds one layer, and a map needs those of every layer: leave it out"
            )
        layers, seed = self.mapped(study), study.config.seed
        at = {layer: study.vectors_at(layer) for layer in layers}
        residuals = {
            layer: activity_residuals(study.model, study.artifacts, study.stimuli, layer)
            for layer in layers
        }
        by_layer = [
            correlate_columns(residuals[layer] @ at[layer].directions.T, study.baseline_elo)
            for layer in layers
        ]
        exemplars = tuple(e for e in study.stimuli.exemplars if e in study.emotions)
        emotions = with_exemplars(np.mean(by_layer, 0), study.emotions, self.n_emotions, exemplars)
        chosen = representatives(
            study.baseline_elo, study.preferences.steered, self.activities, seed
        )
        league = among(study.preferences, chosen)
        baseline = study.baseline[np.ix_(chosen, chosen)]
        ratings, steered = elo(win_probabilities(baseline), seed), league.steered
        sets = (
            [EMOTIONS] * len(emotions) + [ISOTROPIC] * len(emotions) + [SUBTRACTED] * len(exemplars)
        )
        names = [*emotions, *(f"{ISOTROPIC} {i}" for i in range(len(emotions))), *exemplars]
        signs = np.where(np.array(sets) == SUBTRACTED, -1.0, 1.0)
        unsteered_mass, parts = self.unsteered_mass(study, league, layers[0]), []
        for layer in layers:
            rng = study.control_rng(layer)
            isotropic = isotropic_directions(len(emotions), study.model.d_model, rng)
            directions = np.concatenate(
                [
                    at[layer].only(emotions),
                    isotropic,
                    at[layer].only(exemplars) if exemplars else isotropic[:0],
                ]
            )
            added = (signs * at[layer].residual_norm)[:, None] * directions
            answers = self.answered(study, league, layer, added)
            r = correlate_columns(residuals[layer] @ directions.T, study.baseline_elo)
            for strength, answer in zip(self.strengths, answers, strict=True):
                margins = np.repeat(baseline[None], len(directions), 0)
                margins[:, *league.affected_pairs] = answer["margins"]
                moved = elo(win_probabilities(margins), seed)
                parts.append(
                    pd.DataFrame(
                        {
                            "layer": layer,
                            "strength": signs * strength,
                            "set": sets,
                            "direction": names,
                            "r": r,
                            "delta_elo": (moved - ratings)[:, steered].mean(1),
                            "coherence": answer["mass"].astype(np.float64).mean(1) / unsteered_mass,
                            "order_kept": same_order(moved[:, steered], ratings[steered]),
                            "order_unsteered": same_order(moved[:, ~steered], ratings[~steered]),
                            "unsteered_mass": unsteered_mass,
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)

    def answered(
        self, study: Study, league: Preferences, layer: int, added: np.ndarray
    ) -> list[Row]:
        """Answers at each strength; `added` is what strength 1 adds, (direction, d_model)."""
        span, kept = study.config.span.kind, dict[int, PrefixReplay]()
        identity = {
            **league.identity,
            "span": span.value,
            "layer": layer,
            "vectors": array_key(added),
        }

        def row(label: str) -> Row:
            return league.answers(span, (layer,), float(label) * added[:, None], kept)

        labels = [repr(float(s)) for s in self.strengths]
        return study.artifacts.rows(
            "steering_map",
            identity,
            labels,
            row,
            f"steering map, layer {layer}: strengths, {len(added)} directions each",
        )

    def unsteered_mass(self, study: Study, league: Preferences, layer: int) -> float:
        """Mean p(A) + p(B) of the unsteered model over the pairs that steering affects; `layer` is
        any."""
        span, nothing = study.config.span.kind, np.zeros((1, 1, study.model.d_model))
        identity = {**league.identity, "span": span.value}
        rows = study.artifacts.rows(
            "steering_map",
            identity,
            ["unsteered"],
            lambda _: league.answers(span, (layer,), nothing, {}),
            "steering map, unsteered",
        )
        return float(rows[0]["mass"].astype(np.float64).mean())

    def judged(self, study: Study, directions: pd.DataFrame) -> Result:
        """One row per cell with intervals and controls, what is proposed, and the figures."""
        draws, seed, span = (
            study.config.scale.bootstrap_draws,
            study.config.seed,
            study.config.span.kind.value,
        )
        isotropic = directions[directions["set"] == ISOTROPIC]
        if (still := isotropic[isotropic["delta_elo"] == 0]).size:
            where = f"layer {still['layer'].iloc[0]}, strength {still['strength'].iloc[0]:g}"
            raise NotApplicableError(
                f"steering_map: a random direction changes no preference at {where}, so there is no"
                " null to compare with"
            )
        found = []
        for (layer, strength), part in directions.groupby(["layer", directions["strength"].abs()]):
            by_set = {name: rows.reset_index(drop=True) for name, rows in part.groupby("set")}
            exemplars = by_set.get(SUBTRACTED, part[:0])["direction"]
            signed = {
                f"delta_elo_{sign}_{e}": delta_of(by_set[name], e)
                for sign, name in (("plus", EMOTIONS), ("minus", SUBTRACTED))
                for e in exemplars
            }
            found.append(
                {
                    "layer": layer,
                    "strength": strength,
                    **judge_cell(by_set[EMOTIONS], by_set[ISOTROPIC], draws, seed),
                    **signed,
                }
            )
        cells = pd.DataFrame(found)
        proposal, mass, n = (
            propose(cells),
            float(directions["unsteered_mass"].iloc[0]),
            len(isotropic) // len(cells),
        )
        metrics = {
            "cells": len(cells),
            "cells_that_work": cells["works"].sum(),
            "n_emotions": n,
            "n_isotropic": n,
            "unsteered_mass": mass,
        }
        if proposal is not None:
            metrics |= {
                f"proposed_{name}": proposal.cell[name]
                for name in cells.columns
                if name.startswith(PROPOSED)
            }
            metrics |= {"proposed_measured_layers_that_work": len(proposal.layers)}
        notes = [said(cells, proposal, study.config.model.name), RULE]
        if mass < HALF:
            notes.append(
                f"unsteered, the model gives A and B {mass:.2g} of the probability: it would mostly"
                " answer something else"
            )
        if span != "steered_activity":
            notes.append(f"span={span}: not the paper's span, an ablation")
        title = (
            f"{study.stimuli.name} pack, {study.config.model.name} ({study.model.n_layers} blocks),"
            f" span {span}, {n} emotions, {n} isotropic directions"
        )
        figures = {"steering_map": figures_map.steering_map(cells, proposal, title)}
        if SUBTRACTED in set(directions["set"]):
            figures["steering_dose"] = figures_map.dose_curves(
                directions[directions["set"] != ISOTROPIC], isotropic, title
            )
        return Result(
            metrics={name: float(value) for name, value in metrics.items()},
            tables={
                "steering_map": cells,
                "steering_map_rows": shown_rows(cells),
                "steering_map_directions": directions,
            },
            figures=figures,
            notes=notes,
        )


def delta_of(rows: pd.DataFrame, name: str) -> float:
    return float(rows.loc[rows["direction"] == name, "delta_elo"].iloc[0])


def shown_rows(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells as the terminal prints them."""
    return pd.DataFrame(
        {
            "layer": cells["layer"],
            "strength": cells["strength"],
            "mean |delta Elo|": cells["mean_abs_delta_elo"],
            "isotropic": cells["isotropic_mean_abs"],
            "effect ratio": cells["effect_ratio"],
            "95 %": [
                f"{low:.2f} .. {high:.2f}"
                for low, high in zip(
                    cells["effect_ratio_low"], cells["effect_ratio_high"], strict=True
                )
            ],
            "V10": cells["V10"],
            "V11": cells["V11"],
            "coherence": cells["coherence"],
            "order kept": cells["order_kept"],
            "works": ["yes" if works else "" for works in cells["works"]],
        }
    )


def with_exemplars(
    r: np.ndarray, names: tuple[str, ...], n: int, exemplars: tuple[str, ...]
) -> tuple[str, ...]:
    """`n` emotions in the order of `names`: the exemplars, and others at even steps of the rank of
    r."""
    others = [k for k, e in enumerate(names) if e not in exemplars]
    picked = {
        *exemplars,
        *spread(r[others], tuple(names[k] for k in others), n - len(exemplars), []),
    }
    return tuple(e for e in names if e in picked)


def representatives(ratings: np.ndarray, steered: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of `n` activities: of either half as many, one drawn from each of n / 2 runs of
    neighbours in rating, so that they span its range."""
    if n >= len(ratings):
        return np.arange(len(ratings))
    halves, rng = (
        [np.flatnonzero(steered == on) for on in (True, False)],
        np.random.default_rng(seed),
    )
    if (fewest := min(map(len, halves))) < n // 2:
        raise EmoexpError(
            f"experiment.activities={n}: the smaller half of the pack has {fewest}, so at most"
            f" {2 * fewest}"
        )
    return np.sort(
        [
            rng.choice(run)
            for half in halves
            for run in np.array_split(half[np.argsort(ratings[half])], n // 2)
        ]
    )


def among(preferences: Preferences, chosen: np.ndarray) -> Preferences:
    """The preferences among some of the activities only, as if of a pack of their own."""
    stimuli = preferences.stimuli
    few = tuple(stimuli.activities[k] for k in chosen)
    return Preferences(
        preferences.model,
        replace(
            stimuli,
            activities=few,
            sha256=key_of({"pack": stimuli.sha256, "activities": chosen.tolist()}),
        ),
    )


def same_order(moved: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each row with `ratings`; (direction, activity), (activity,) ->
    (direction,)."""
    return correlate_columns(rankdata(moved, axis=1).T, rankdata(ratings))
