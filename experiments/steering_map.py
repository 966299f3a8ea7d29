"""Where does steering work? Layers by strengths: effect, its null, and whether the model is still
coherent (paper, Figures 54 and 55).

A vector is added on the steered activities' tokens in every cell of a grid of layers and strengths,
with a few emotions spread over the range of r and as many isotropic directions of the same norm;
the pack's exemplars are also subtracted. The effect is mean |delta Elo|, and its ratio to that of
the isotropic directions. Coherence is the probability of "A" or "B" at the answer, relative to the
unsteered model's; `order_kept` is the rank correlation of the steered activities' Elo with and
without steering.

A part of the activities is put to the model (32 of 64 by default). Elo between fewer activities is
another scale: changes are about a tenth smaller in the one cell of the organism that was measured
both ways, and are not the numbers of experiment=steering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from emoexp.config import SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.stats.intervals import correlate_columns
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, SUBTRACTED
from emoexp.stats.ratings import elo, win_probabilities
from emoexp.stats.steering_grid import (
    PROPOSED,
    RULE,
    describe,
    judge_cells,
    propose,
    unmoved,
)
from emoexp.steering.grid_answers import answers_by_strength, unsteered_mass
from emoexp.steering.subset import representatives, same_order, subset, with_exemplars
from emoexp.study.experiment import Bootstrap, NotApplicableError, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.probes import activity_residuals

MOST_LAYERS = 12
HALF = 0.5


@dataclass(kw_only=True)
class SteeringMap(Validation):
    """A grid of layers and strengths.

    Attributes:
        layers: blocks whose outputs are steered, one at a time; null is every k-th up to the last
            that can reach the answer, at most 12.
        strengths: in multiples of the mean residual norm of each layer.
        n_emotions: how many emotions, the pack's exemplars among them; as many isotropic
            directions.
        activities: how many of the pack's activities are compared, half of them of the steered
            half.
    """

    layers: list[int] | None = None
    strengths: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.5, 1.0])
    n_emotions: int = 8
    activities: int = 32

    def __post_init__(self) -> None:
        positive = all(np.isfinite(s) and s > 0 for s in self.strengths)
        if not self.strengths or len(set(self.strengths)) != len(self.strengths) or not positive:
            raise EmoexpError(
                f"experiment.strengths={self.strengths}: each once, above 0, in multiples of the "
                "residual norm (exemplars are subtracted as well)"
            )
        if self.n_emotions < 4:
            raise EmoexpError(
                f"experiment.n_emotions={self.n_emotions}: at least 4, for a correlation with an "
                "interval"
            )
        if self.activities < 8 or self.activities % 2:
            raise EmoexpError(
                f"experiment.activities={self.activities}: an even number, at least 8; half of "
                "them are steered"
            )

    def grid_layers(self, study: Study) -> tuple[int, ...]:
        """Returns the layers of the map, ascending.

        Raises:
            EmoexpError: a layer is named twice, or the model does not have it.
            NotApplicableError: what is added there cannot reach the answer.
        """
        last = study.model.last_steerable_layer
        if self.layers is None:
            step = -(-(last + 1) // MOST_LAYERS)
            return tuple(range(step - 1, last + 1, step))
        if not self.layers or len(set(self.layers)) != len(self.layers):
            raise EmoexpError(
                f"experiment.layers={self.layers}: name each layer once, and at least one; or null"
            )
        study.model.check_layers(self.layers)
        if max(self.layers) > last:
            raise NotApplicableError(
                f"steering_map: what is added at layer {max(self.layers)} on an activity's tokens "
                f"cannot reach the answer; choose layers up to {last}"
            )
        return tuple(sorted(self.layers))

    def measure(self, study: Study) -> Tables:
        if study.config.vectors is not None:
            raise EmoexpError(
                "vectors=... holds one layer, and a map needs those of every layer: leave it out"
            )
        layers, seed, span = self.grid_layers(study), study.config.seed, study.config.span.kind
        model, artifacts, base = study.model, study.artifacts, study.baseline_elo
        at = {k: study.vectors_at(k) for k in layers}
        residuals = {k: activity_residuals(model, artifacts, study.stimuli, k) for k in layers}
        r_by_layer = [correlate_columns(residuals[k] @ at[k].directions.T, base) for k in layers]
        exemplars = tuple(e for e in study.stimuli.exemplars if e in study.emotions)
        mean_r = np.mean(r_by_layer, 0)
        emotions = with_exemplars(mean_r, study.emotions, self.n_emotions, exemplars)
        chosen = representatives(base, study.preferences.steered, self.activities, seed)
        some, baseline = subset(study.preferences, chosen), study.baseline[np.ix_(chosen, chosen)]
        ratings, steered, n = elo(win_probabilities(baseline), seed), some.steered, len(emotions)
        sets = np.array([EMOTIONS] * n + [ISOTROPIC] * n + [SUBTRACTED] * len(exemplars))
        names = [*emotions, *(f"{ISOTROPIC} {i}" for i in range(n)), *exemplars]
        signs = np.where(sets == SUBTRACTED, -1.0, 1.0)
        mass, parts = unsteered_mass(some, artifacts, span, layers[0]), []
        for layer in layers:
            random = isotropic_directions(n, model.d_model, study.control_rng(layer))
            subtracted = at[layer].only(exemplars) if exemplars else random[:0]
            directions = np.concatenate([at[layer].only(emotions), random, subtracted])
            added = (signs * at[layer].residual_norm)[:, None] * directions
            answers = answers_by_strength(some, artifacts, span, layer, added, self.strengths)
            r = correlate_columns(residuals[layer] @ directions.T, base)
            for strength, answer in zip(self.strengths, answers, strict=True):
                margins = np.repeat(baseline[None], len(directions), 0)
                margins[:, *some.affected_pairs] = answer["margins"]
                moved = elo(win_probabilities(margins), seed)
                cell = {
                    "layer": layer,
                    "strength": signs * strength,
                    "set": sets,
                    "direction": names,
                    "r": r,
                    "delta_elo": (moved - ratings)[:, steered].mean(1),
                    "coherence": answer["mass"].astype(np.float64).mean(1) / mass,
                    "order_kept": same_order(moved[:, steered], ratings[steered]),
                    "order_unsteered": same_order(moved[:, ~steered], ratings[~steered]),
                    "unsteered_mass": mass,
                }
                parts.append(pd.DataFrame(cell))
        return {"steering_map_directions": pd.concat(parts, ignore_index=True)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        directions = tables["steering_map_directions"]
        if where := unmoved(directions):
            raise NotApplicableError(
                f"steering_map: a random direction changes no preference at {where}, so there is "
                "no null to compare with"
            )
        cells = judge_cells(directions, bootstrap.draws, bootstrap.seed)
        proposal, n = propose(cells), int((directions["set"] == ISOTROPIC).sum()) // len(cells)
        metrics = {
            "cells": len(cells),
            "cells_that_work": cells["works"].sum(),
            "n_emotions": n,
            "n_isotropic": n,
            "unsteered_mass": directions["unsteered_mass"].iloc[0],
        }
        if proposal is not None:
            named = [name for name in cells.columns if name.startswith(PROPOSED)]
            metrics |= {f"proposed_{name}": proposal.cell[name] for name in named}
            metrics["proposed_measured_layers_that_work"] = len(proposal.layers)
        return Result(
            metrics={name: float(value) for name, value in metrics.items()},
            tables={"steering_map": cells},
        )

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        cells, span = result.tables["steering_map"], study.config.span.kind
        notes = [describe(cells, propose(cells), study.config.model.name), RULE]
        if (mass := result.metrics["unsteered_mass"]) < HALF:
            notes.append(
                f"unsteered, the model gives A and B {mass:.2g} of the probability: it would "
                "mostly answer something else"
            )
        if span is not SteeringSpan.steered_activity:
            notes.append(f"span={span.value}: not the paper's span, an ablation")
        return notes
