"""V10, V11: adding an emotion vector to an activity's tokens changes how much it is preferred
(paper, Figure 4 bottom).

The vector, in units of the mean residual norm, is added on the tokens of half of the activities,
and all pairs are put to the model again. Delta Elo is the mean change over that half. V10
correlates it with r, over emotions spread evenly over the range of r and the paper's exemplars; V11
counts the agreeing signs. Random directions of the same norm pass both as published, so they are
steered too and decide whether the verdict is informative (emoexp/stats/criteria.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.bounds import number
from emoexp.errors import NotApplicableError
from emoexp.stats.criteria import Effect, Measurement
from emoexp.stats.intervals import central, correlate_columns, wilson
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, SHUFFLED
from emoexp.stats.ratings import bradley_terry, elo, win_probabilities
from emoexp.stats.steering_effects import (
    UNMOVED,
    correlation_interval,
    metrics_of,
    ratio_over,
    signs_agree,
    summarise,
    unmoved,
)
from emoexp.steering import sets as direction_sets
from emoexp.steering.settings import a_strength, some_layers
from emoexp.steering.subset import check_number, spread, steered_layers
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.probes import activity_residuals


@dataclass(kw_only=True)
class SteeredPreference(Validation):
    """V10 and V11.

    Attributes:
        strength: in multiples of the mean residual norm of the layer.
        n_emotions: how many emotions, spread over the range of r, the pack's exemplars among them.
        band: layers steered together, each at full strength; null is the one `layer`.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors", "emotions.norms", "span")

    strength: float = a_strength(0.5)
    n_emotions: int = number(35, 3, why="for a correlation")
    band: list[int] | None = some_layers()

    def check(self, study: Study) -> None:
        super().check(study)
        check_number(self.n_emotions, type(self).n_emotions, len(study.emotions))

    def measure(self, study: Study) -> Tables:
        layers = direction_sets.reaching_layers(study.model, self.band, study.layer)
        vectors, stimuli, base = study.vectors, study.stimuli, study.baseline_elo
        residuals = activity_residuals(study.model, study.artifacts, stimuli, study.layer)
        r = correlate_columns(residuals @ vectors.directions.T, base)
        exemplars = [e for e in stimuli.exemplars if e in vectors.names]
        chosen = spread(r, vectors.names, self.n_emotions, exemplars)
        by_layer = [vectors if k == study.layer else study.vectors_at(k) for k in layers]
        drawn = study.config.scale.random_directions, study.control_rng()
        shuffled = study.shuffled_by_layer(layers)
        sets = direction_sets.emotions_and_controls(by_layer, chosen, vectors, *drawn, shuffled)
        added = sets.added(self.strength, [v.residual_norm for v in by_layer])
        span, preferences = study.config.span.kind, study.preferences
        margins = preferences.steer(study.artifacts, study.baseline, span, layers, added)
        wins, steered = win_probabilities(margins), preferences.steered
        unsteered = bradley_terry(win_probabilities(study.baseline))
        home = sets.directions[:, layers.index(study.layer)]
        table = {
            "set": sets.sets,
            "direction": sets.names,
            "r": correlate_columns(residuals @ home.T, base),
            "delta_elo": (elo(wins, study.config.seed) - base)[:, steered].mean(1),
            "delta_bradley_terry": [(bradley_terry(w) - unsteered)[steered].mean() for w in wins],
            "valence": [study.valence.get(name, np.nan) for name in sets.names],
            "exemplar": [name in exemplars for name in sets.names],
        }
        return {"steering": pd.DataFrame(table)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        parts = tables["steering"].groupby("set", sort=False)
        sets = {str(name): part.reset_index(drop=True) for name, part in parts}
        emotions = sets[EMOTIONS]
        draws, seed, n = bootstrap.draws, bootstrap.seed, len(emotions)
        if still := unmoved(sets):
            raise NotApplicableError(f"V10, V11: {UNMOVED}: {still}")
        rows = summarise(sets, sets[ISOTROPIC], draws, seed)
        own = rows.set_index("directions").to_dict("index")[EMOTIONS]
        result = Result(metrics=metrics_of(rows, sets), tables={"steering_rows": rows})
        controls = {k: sets[k] for k in (ISOTROPIC, SHUFFLED) if k in sets}
        ratios = {k: ratio_over(part, emotions, draws, seed) for k, part in controls.items()}
        if SHUFFLED in ratios:
            result.metrics |= ratios[SHUFFLED].columns("effect_ratio_over_shuffled")
        effect = Effect(own["mean_abs_delta_elo"], {k: r.interval for k, r in ratios.items()})
        interval, signs = correlation_interval(emotions, draws, seed), bootstrap.rng()
        nulls = {k: correlation_interval(part, draws, seed) for k, part in controls.items()}
        result.judge(Measurement("V10", own["V10"], n, interval, nulls, effect))
        agreeing = {k: signs.choice(signs_agree(p), (draws, n)).sum(1) for k, p in controls.items()}
        nulls = {k: central(count) for k, count in agreeing.items()}
        result.judge(Measurement("V11", float(own["V11"]), n, wilson(own["V11"], n), nulls, effect))
        return result

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        notes = direction_sets.ablation_note(study.config.span.kind)
        if len(layers := steered_layers(self.band, study.layer)) > 1:
            together = ", ".join(map(str, layers))
            notes.append(f"steered at layers {together} together, r at layer {study.layer}")
        return notes
