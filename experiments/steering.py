"""V10, V11: adding an emotion vector to an activity's tokens changes how much it is preferred
(paper, Figure 4 bottom).

Half of the activities are steered: the vector, in units of the mean residual norm, is added on
their tokens and nowhere else, and all pairs are put to the model again. Delta Elo is the mean
change over the steered half. V10 correlates it with r, over emotions spread evenly over the range
of r and the paper's exemplars; V11 counts the agreeing signs.

Random directions of the same norm pass both as published, so they are steered too and decide
whether the verdict is informative (emoexp/stats/criteria.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.config import SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.stats.criteria import Effect, Measurement
from emoexp.stats.intervals import Interval, central, correlate_columns, pearson, wilson
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES
from emoexp.stats.ratings import bradley_terry, elo, win_probabilities
from emoexp.stats.steering_effects import correlation_interval, signs_agree, sizes, summarise
from emoexp.steering.subset import spread, steered_layers
from emoexp.study.experiment import Bootstrap, NotApplicableError, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions, mixture_directions
from emoexp.vectors.probes import activity_residuals


@dataclass(kw_only=True)
class SteeredPreference(Validation):
    """V10 and V11.

    Attributes:
        strength: in multiples of the mean residual norm of the layer.
        n_emotions: how many emotions, spread over the range of r; the pack's exemplars come on top.
        band: layers steered together, each at full strength; null is the one `layer`.
    """

    strength: float = 0.5
    n_emotions: int = 35
    band: list[int] | None = None

    def __post_init__(self) -> None:
        if self.n_emotions < 3:
            raise EmoexpError(
                f"experiment.n_emotions={self.n_emotions}: at least 3, for a correlation"
            )
        if not np.isfinite(self.strength) or self.strength == 0:
            raise EmoexpError(
                f"experiment.strength={self.strength}: must be a number other than 0, in multiples "
                "of the residual norm"
            )
        steered_layers(self.band, 0)

    def layers(self, study: Study) -> tuple[int, ...]:
        """Returns the layers steered together, ascending.

        Raises:
            EmoexpError: the model has no such layer, or r is read at a layer outside the band.
            NotApplicableError: what is added there cannot reach the answer.
        """
        layers = steered_layers(self.band, study.layer)
        study.model.check_layers(layers)
        if study.layer not in layers:
            raise EmoexpError(
                f"experiment.band={list(layers)} leaves out layer={study.layer}, at which r is "
                f"read: set layer to one of {', '.join(map(str, layers))}, or add {study.layer} "
                "to the band"
            )
        if layers[0] > (last := study.model.last_steerable_layer):
            raise NotApplicableError(
                f"V10, V11: what is added at layer {layers[0]} on an activity's tokens cannot "
                "reach the answer, since no block above it makes keys and values of its own; "
                f"choose a layer up to {last}"
            )
        return layers

    def measure(self, study: Study) -> Tables:
        layers, vectors, stimuli = self.layers(study), study.vectors, study.stimuli
        n_random, rng = study.config.scale.random_directions, study.control_rng()
        residuals = activity_residuals(study.model, study.artifacts, stimuli, study.layer)
        r = correlate_columns(residuals @ vectors.directions.T, study.baseline_elo)
        exemplars = [e for e in stimuli.exemplars if e in vectors.names]
        chosen = spread(r, vectors.names, self.n_emotions, exemplars)
        by_layer = [vectors if k == study.layer else study.vectors_at(k) for k in layers]
        random = {
            ISOTROPIC: isotropic_directions(n_random, study.model.d_model, rng),
            MIXTURES: mixture_directions(n_random, vectors.directions, rng),
        }
        sets = {EMOTIONS: np.stack([v.only(chosen) for v in by_layer], 1)}
        sets |= {k: np.repeat(d[:, None], len(layers), 1) for k, d in random.items()}
        directions = np.concatenate(list(sets.values()))
        norms = np.array([v.residual_norm for v in by_layer])
        added = self.strength * norms[None, :, None] * directions
        span, home = study.config.span.kind, layers.index(study.layer)
        margins = study.preferences.steer(study.artifacts, study.baseline, span, layers, added)
        wins, steered = win_probabilities(margins), study.preferences.steered
        base = bradley_terry(win_probabilities(study.baseline))
        named = [*chosen, *(f"{name} {i}" for name in random for i in range(n_random))]
        table = pd.DataFrame(
            {
                "set": [name for name, d in sets.items() for _ in d],
                "direction": named,
                "r": correlate_columns(residuals @ directions[:, home].T, study.baseline_elo),
                "delta_elo": (elo(wins, study.config.seed) - study.baseline_elo)[:, steered].mean(
                    1
                ),
                "delta_bradley_terry": [(bradley_terry(w) - base)[steered].mean() for w in wins],
                "valence": [study.valence.get(name, np.nan) for name in named],
                "exemplar": [name in exemplars for name in named],
            }
        )
        return {"steering": table}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        parts = tables["steering"].groupby("set", sort=False)
        sets = {str(name): part.reset_index(drop=True) for name, part in parts}
        emotions, isotropic = sets[EMOTIONS], sets[ISOTROPIC]
        if not sizes(isotropic).mean() > 0:
            raise NotApplicableError(
                "V10, V11: no random direction changes any preference here, so there is no null to "
                "compare with"
            )
        rows = summarise(sets, isotropic, bootstrap.draws, bootstrap.seed)
        by_set = rows.set_index("directions").to_dict("index")
        own, control = by_set[EMOTIONS], by_set[ISOTROPIC]
        ratio = Interval(own["effect_ratio_low"], own["effect_ratio_high"])
        effect = Effect(own["mean_abs_delta_elo"], own["effect_ratio"], ratio)
        n, agree = len(emotions), int(own["V11"])
        interval, null = (
            correlation_interval(part, bootstrap.draws, bootstrap.seed)
            for part in (emotions, isotropic)
        )
        drawn = bootstrap.rng().choice(signs_agree(isotropic), (bootstrap.draws, n)).sum(1)
        change, by_bt = emotions.set_index("direction")["delta_elo"], "delta_bradley_terry"
        result = Result(
            metrics={
                "V10_absolute_as_published": abs(own["V10"]),
                "V10_bradley_terry": pearson(emotions["r"].to_numpy(), emotions[by_bt].to_numpy()),
                "effect_ratio": effect.ratio,
                "effect_ratio_low": effect.ratio_interval.low,
                "effect_ratio_high": effect.ratio_interval.high,
                "mean_abs_delta_elo": effect.mean_abs,
                "mean_abs_delta_elo_isotropic": control["mean_abs_delta_elo"],
                "V10_isotropic": control["V10"],
                "V11_isotropic_share": float(signs_agree(isotropic).mean()),
                **{
                    f"delta_elo_{e}": float(change[e])
                    for e in emotions["direction"][emotions["exemplar"].astype(bool)]
                },
            },
            tables={"steering_rows": rows},
        )
        result.judge(Measurement("V10", own["V10"], n, interval, null, effect))
        result.judge(Measurement("V11", float(agree), n, wilson(agree, n), central(drawn), effect))
        return result

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        span, layers = study.config.span.kind, self.layers(study)
        notes = []
        if span is not SteeringSpan.steered_activity:
            notes.append(f"span={span.value}: not the paper's span, an ablation")
        if len(layers) > 1:
            together = ", ".join(map(str, layers))
            notes.append(f"steered at layers {together} together, r at layer {study.layer}")
        return notes
