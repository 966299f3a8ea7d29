"""Where does steering work? Layers by strengths: effect, its null, and whether the model is still
coherent (paper, Figures 54 and 55).

A vector is added on the steered activities' tokens in every cell of a grid of layers and strengths,
with a few emotions spread over the range of r and as many isotropic directions of the same norm;
the pack's exemplars are also subtracted. The effect is mean |delta Elo|, and its ratio to that of
the isotropic directions. Coherence is the probability of "A" or "B" at the answer, relative to the
unsteered model's; `order_kept` is the rank correlation of the steered activities' Elo with and
without steering. A part of the activities is put to the model (32 of 64 by default): Elo between
fewer activities is another scale, with changes about a tenth smaller in the one cell of the
organism that was measured both ways, so these are not the numbers of experiment=steering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.bounds import number
from emoexp.errors import NotApplicableError, require
from emoexp.stats.intervals import correlate_columns
from emoexp.stats.labels import ISOTROPIC
from emoexp.stats.steering_grid import PROPOSED, RULE, describe, judge_cells, propose, unmoved
from emoexp.steering import grid
from emoexp.steering.sets import ablation_note
from emoexp.steering.settings import UNIT, a_strength, some_layers
from emoexp.steering.subset import check_number, representatives, spread, subset
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.probes import activity_residuals

HALF = 0.5


@dataclass(kw_only=True)
class SteeringMap(Validation):
    """A grid of layers and strengths.

    Attributes:
        layers: blocks whose outputs are steered, one at a time; null is every k-th, at most 12.
        strengths: in multiples of the mean residual norm of each layer.
        n_emotions: how many emotions, exemplars among them; as many isotropic directions.
        activities: how many of the pack's activities are compared, half of them steered.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "span")

    layers: list[int] | None = some_layers()
    strengths: list[float] = a_strength(
        lambda: [0.05, 0.1, 0.2, 0.5, 1.0],
        0,
        open_least=True,
        why=f"{UNIT} (exemplars are subtracted too)",
    )
    n_emotions: int = number(8, 4, why="for a correlation with an interval")
    activities: int = number(32, 8, even=True, why="half of them are steered")

    def check(self, study: Study) -> None:
        super().check(study)
        check_number(self.n_emotions, type(self).n_emotions, len(study.emotions))
        n = len(study.stimuli.activities)
        most = f"the pack has {n} (scale.activities_per_category=...): at most {n}"
        require(self.activities <= n, f"experiment.activities={self.activities}: {most}")

    def measure(self, study: Study) -> Tables:
        model, store, base, config = study.model, study.artifacts, study.baseline_elo, study.config
        layers, seed, span = grid.grid_layers(model, self.layers), config.seed, config.span
        at = {k: study.vectors_at(k) for k in layers}
        residuals = {k: activity_residuals(model, store, study.stimuli, k) for k in layers}
        r_by_layer = [correlate_columns(residuals[k] @ at[k].directions.T, base) for k in layers]
        exemplars = tuple(e for e in study.stimuli.exemplars if e in study.emotions)
        mean_r = np.mean(r_by_layer, 0)
        emotions = spread(mean_r, study.emotions, self.n_emotions, exemplars)
        chosen = representatives(base, study.preferences.steered, self.activities, seed)
        some, baseline = subset(study.preferences, chosen), study.baseline[np.ix_(chosen, chosen)]
        mass, parts = grid.unsteered_mass(some, store, span.kind, layers[0]), []
        ratings = grid.SubsetElo(some, baseline, mass, seed)
        for k in layers:
            sets, signs = grid.grid_sets(at[k], emotions, exemplars, study.control_rng(k))
            directions = sets.directions[:, 0]
            added = (signs * at[k].residual_norm)[:, None] * directions
            answers = grid.answers_by_strength(some, store, span.kind, k, added, self.strengths)
            r = correlate_columns(residuals[k] @ directions.T, base)
            for strength, answer in zip(self.strengths, answers, strict=True):
                cell = {"layer": k, "strength": signs * strength, "set": sets.sets}
                cell |= {"direction": sets.names, "r": r, **ratings.effects(answer)}
                parts.append(pd.DataFrame(cell).assign(unsteered_mass=mass))
        return {"steering_map_directions": pd.concat(parts, ignore_index=True)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        directions = tables["steering_map_directions"]
        if where := unmoved(directions):
            still = f"steering_map: a random direction changes no preference at {where}"
            raise NotApplicableError(f"{still}, so there is no null to compare with")
        cells = judge_cells(directions, bootstrap.draws, bootstrap.seed)
        proposal, n = propose(cells), int((directions["set"] == ISOTROPIC).sum()) // len(cells)
        metrics = {"cells": len(cells), "cells_that_work": cells["works"].sum()}
        mass = directions["unsteered_mass"].iloc[0]
        metrics |= {"n_emotions": n, "n_isotropic": n, "unsteered_mass": mass}
        if proposal is not None:
            named = [name for name in cells.columns if name.startswith(PROPOSED)]
            metrics |= {f"proposed_{name}": proposal.cell[name] for name in named}
            metrics["proposed_measured_layers_that_work"] = len(proposal.layers)
        metrics = {name: float(value) for name, value in metrics.items()}
        return Result(metrics=metrics, tables={"steering_map": cells})

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        cells = result.tables["steering_map"]
        notes = [describe(cells, propose(cells), study.config.model.name), RULE]
        if (mass := result.metrics["unsteered_mass"]) < HALF:
            other = "of the probability: it would mostly answer something else"
            notes.append(f"unsteered, the model gives A and B {mass:.2g} {other}")
        return [*notes, *ablation_note(study.config.span.kind)]
