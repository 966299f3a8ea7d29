"""V10, V11: adding an emotion vector to an activity's tokens changes how much it is preferred
(paper, Figure 4 bottom).

Half of the activities are steered: the vector, in units of the mean residual norm, is added on
    their tokens and nowhere else,
and all pairs are put again. Delta Elo is the mean change over the steered half. V10 correlates it,
over emotions spread evenly over the range of r (and the paper's exemplars), with r itself; V11
counts the agreeing signs.

Random directions of the same norm pass both as published, so they are steered too, get rows of
their own, and decide whether the verdict says anything (criteria.informative).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.figures import validation as figures
from emoexp.report import agreement
from emoexp.stats.criteria import CORRELATED, Effect, Measurement, judge
from emoexp.stats.intervals import (
    Interval,
    central,
    correlate_columns,
    pearson,
    ratio_interval,
    resampled_correlations,
    wilson,
)
from emoexp.stats.ratings import bradley_terry, elo, win_probabilities
from emoexp.stimuli.paper import published
from emoexp.study.result import Result
from emoexp.study.study import Experiment, NotApplicableError, Study
from emoexp.vectors.probes import activity_residuals
from emoexp.vectors.vectors import isotropic_directions, mixture_directions

EMOTIONS, ISOTROPIC, MIXTURES = "emotions", "isotropic random", "random mixtures of emotions"


@dataclass(kw_only=True)
class Steering(Experiment):
    """Attributes:
    strength: in multiples of the mean residual norm of the layer.
    n_emotions: how many emotions, spread over the range of r; the pack's exemplars come on top.
    band: layers steered together (the paper's middle layers), each at full strength; null is the
        one `layer`.
    """

    strength: float = 0.5
    n_emotions: int = 35
    band: list[int] | None = None
    shown: ClassVar[tuple[str, ...]] = ("steering_rows", "agreement_steering")

    def __post_init__(self) -> None:
        if self.n_emotions < 3:
            raise EmoexpError(
                f"experiment.n_emotions={self.n_emotions}: at least 3, for a correlation"
            )
        if not np.isfinite(self.strength) or self.strength == 0:
            raise EmoexpError(
                f"experiment.strength={self.strength}: must be a number other than 0, in multiples"
                " of the residual norm"
            )
        check_band(self.band)

    def run(self, study: Study) -> Result:
        table = self.measure(study)
        return self.judged(study, table)

    def layers(self, study: Study) -> tuple[int, ...]:
        """The band, checked: what is added on an activity's tokens must be able to reach the
        answer."""
        band = tuple(sorted(self.band)) if self.band else (study.layer,)
        study.model.check_layers(band)
        if study.layer not in band:
            raise EmoexpError(
                f"experiment.band={list(band)} leaves out layer={study.layer}, at which r is "
                f"read: set layer to one of {', '.join(map(str, band))}, or add {study.layer} "
                "to the band"
            )
        if band[0] > (deepest := study.model.deepest_reach):
            raise NotApplicableError(
                f"V10, V11: what is added at layer {band[0]} on an activity's tokens cannot reach"
                " the answer, since no block above it makes keys and values of its own; choose a"
                f" layer up to {deepest}"
            )
        return band

    def measure(self, study: Study) -> pd.DataFrame:
        """One row per steered direction: set, name, r, delta_elo, delta_bradley_terry."""
        band, scale = self.layers(study), study.config.scale
        vectors, stimuli = study.vectors, study.stimuli
        rng = study.control_rng()
        residuals = activity_residuals(study.model, study.artifacts, stimuli, study.layer)
        r = correlate_columns(residuals @ vectors.directions.T, study.baseline_elo)
        chosen = spread(
            r, vectors.names, self.n_emotions, [e for e in stimuli.exemplars if e in vectors.names]
        )
        by_layer = [vectors if layer == study.layer else study.vectors_at(layer) for layer in band]

        def repeated(directions: np.ndarray) -> np.ndarray:
            return np.repeat(directions[:, None], len(band), 1)

        sets = {
            EMOTIONS: np.stack([v.only(chosen) for v in by_layer], 1),
            ISOTROPIC: repeated(
                isotropic_directions(scale.random_directions, study.model.d_model, rng)
            ),
            MIXTURES: repeated(
                mixture_directions(scale.random_directions, vectors.directions, rng)
            ),
        }
        home = band.index(study.layer)
        rows = pd.DataFrame(
            {
                "set": [name for name, d in sets.items() for _ in d],
                "direction": [
                    *chosen,
                    *(
                        f"{name} {i}"
                        for name in (ISOTROPIC, MIXTURES)
                        for i in range(scale.random_directions)
                    ),
                ],
            }
        )
        directions = np.concatenate(list(sets.values()))
        norms = np.array([v.residual_norm for v in by_layer])
        added = self.strength * norms[None, :, None] * directions
        margins = study.preferences.steer(
            study.artifacts, study.baseline, study.config.span.kind, band, added
        )
        wins, steered = win_probabilities(margins), study.preferences.steered
        change = (elo(wins, study.config.seed) - study.baseline_elo)[:, steered].mean(1)
        bt_base = bradley_terry(win_probabilities(study.baseline))
        bt_change = np.array([(bradley_terry(w) - bt_base)[steered].mean() for w in wins])
        return rows.assign(
            r=correlate_columns(residuals @ directions[:, home].T, study.baseline_elo),
            delta_elo=change,
            delta_bradley_terry=bt_change,
        )

    def judged(self, study: Study, table: pd.DataFrame) -> Result:
        """Verdicts on the emotions, with the isotropic directions as their null."""
        scale, seed = study.config.scale, study.config.seed
        sets = {
            name: part.reset_index(drop=True) for name, part in table.groupby("set", sort=False)
        }
        emotions, isotropic = sets[EMOTIONS], sets[ISOTROPIC]
        n, rng = len(emotions), np.random.default_rng(seed)

        def v10(part: pd.DataFrame) -> float:
            return pearson(part["r"].to_numpy(), part["delta_elo"].to_numpy())

        def v10_again(part: pd.DataFrame) -> Interval:
            return central(
                resampled_correlations(
                    part[["r"]].to_numpy(),
                    part["delta_elo"].to_numpy(),
                    scale.bootstrap_draws,
                    seed,
                )
            )

        agree = {
            name: (np.sign(p["r"]) == np.sign(p["delta_elo"])).to_numpy()
            for name, p in sets.items()
        }
        size = {name: p["delta_elo"].abs().to_numpy() for name, p in sets.items()}
        if not size[ISOTROPIC].mean() > 0:
            raise NotApplicableError(
                "V10, V11: no random direction changes any preference here, so there is no null to"
                " compare with"
            )
        intervals = {
            name: ratio_interval(s, size[ISOTROPIC], scale.bootstrap_draws, seed)
            for name, s in size.items()
        }
        effect = Effect(
            float(size[EMOTIONS].mean()),
            float(size[EMOTIONS].mean() / size[ISOTROPIC].mean()),
            intervals[EMOTIONS],
        )
        null_v11 = central(rng.choice(agree[ISOTROPIC], (scale.bootstrap_draws, n)).sum(1))
        n_agree = int(agree[EMOTIONS].sum())
        measured = (
            Measurement("V10", v10(emotions), n, v10_again(emotions), v10_again(isotropic), effect),
            Measurement("V11", float(n_agree), n, wilson(n_agree, n), null_v11, effect),
        )
        summary = pd.DataFrame(
            [
                {
                    "directions": name,
                    "n": len(p),
                    "V10": v10(p),
                    "V11": f"{agree[name].sum()}/{len(p)}",
                    f"|r|>{CORRELATED}": f"{(p['r'].abs() > CORRELATED).sum()}/{len(p)}",
                    "mean |r|": float(p["r"].abs().mean()),
                    "mean |delta Elo|": float(size[name].mean()),
                    "effect ratio": float(size[name].mean() / size[ISOTROPIC].mean()),
                    "95 %": f"{intervals[name].low:.2f} .. {intervals[name].high:.2f}",
                }
                for name, p in sets.items()
            ]
        )
        exemplars = {
            f"delta_elo_{e}": float(emotions.loc[emotions["direction"] == e, "delta_elo"].iloc[0])
            for e in study.stimuli.exemplars
            if e in set(emotions["direction"])
        }
        by_bt = pearson(emotions["r"].to_numpy(), emotions["delta_bradley_terry"].to_numpy())
        span, band = study.config.span.kind.value, self.layers(study)
        where = f"layer {study.layer}"
        notes = (
            []
            if span == "steered_activity"
            else [f"span={span}: not the paper's span, an ablation"]
        )
        if len(band) > 1:
            where = f"layers {', '.join(map(str, band))} together, r at layer {study.layer}"
            notes.append(f"steered at {where}")
        claude = published.steering() if study.stimuli.is_paper else None
        result = Result(
            metrics={
                "V10_absolute_as_published": abs(measured[0].value),
                "V10_bradley_terry": by_bt,
                "effect_ratio": effect.ratio,
                "effect_ratio_low": effect.ratio_interval.low,
                "effect_ratio_high": effect.ratio_interval.high,
                "mean_abs_delta_elo": effect.mean_abs,
                "mean_abs_delta_elo_isotropic": float(size[ISOTROPIC].mean()),
                "V10_isotropic": v10(isotropic),
                "V11_isotropic_share": float(agree[ISOTROPIC].mean()),
                **exemplars,
            },
            verdicts=[judge(m) for m in measured],
            tables={"steering": table, "steering_rows": summary},
            figures={
                "steering": figures.steering_scatter(
                    emotions,
                    table[table["set"] != EMOTIONS],
                    study.valence,
                    f"{study.stimuli.name} pack, {study.config.model.name}, {where}, span {span},"
                    f" strength {self.strength:g}",
                    claude,
                )
            },
            notes=notes,
        )
        if claude is not None:
            result.merge(
                agreement.steering(emotions, isotropic, study.stimuli, study.config.span.kind)
            )
        return result


def check_band(band: list[int] | None) -> None:
    """Raises EmoexpError unless a band is null or names layers, each once."""
    if band is not None and (not band or len(set(band)) < len(band)):
        raise EmoexpError(
            f"experiment.band={band}: name each layer once, and at least one; null is the one layer"
        )


def spread(r: np.ndarray, names: tuple[str, ...], n: int, exemplars: list[str]) -> tuple[str, ...]:
    """`n` emotions at even steps of the rank of r, and the exemplars whatever their rank; in the
    order of `names`."""
    if n >= len(names):
        return names
    order = np.argsort(r)
    picked = {names[order[i]] for i in np.linspace(0, len(names) - 1, n).round().astype(int)} | set(
        exemplars
    )
    return tuple(e for e in names if e in picked)
