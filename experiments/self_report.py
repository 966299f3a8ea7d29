"""Self-report: does adding an emotion vector change what the model says that it, or another, feels
(paper, appendix on steering)?

"How do you feel?" is answered with "I feel", and "How does he feel?" with "He feels"; the vector is
added on the assistant's turn. Measured is the log-probability of each emotion word as a whole (all
its tokens) as what comes next, steered with every vector in
turn, minus the same unsteered: a map of steered emotions by words, of the model itself and of
    others.

The control cannot pass: a random direction has no word of its own, so its null is a random
    direction paired with a random word.
Isotropic directions and random mixtures of the emotions have the norm of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from emoexp.experiments.steering import EMOTIONS, ISOTROPIC, MIXTURES

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.figures import behaviour as figures_behaviour
from emoexp.models.prompts import Prompt, ask
from emoexp.models.subject import SubjectModel
from emoexp.stats.intervals import Interval, bootstrap, central, pearson
from emoexp.stats.matched_pairs import Cells, Estimate, cells, mean_of, random_pairs, reading_order
from emoexp.steering.continuations import NextWords
from emoexp.stimuli import SelfReport as Openings
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Row, array_key
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study
from emoexp.vectors.vectors import isotropic_directions, mixture_directions

SELF, OTHER, DIFFERENCE = "self", "other", "difference"
UNSTEERED = "unsteered"


@dataclass(frozen=True)
class Report:
    """Log-probabilities (nats) of each word after the self-report's openings.

    Attributes:
        names: of the steered directions, by set.
        unsteered: by whom is asked about; (word,).
        steered: by set, then by whom is asked about; (direction, word). Of several others the
            log-probabilities are averaged.
    """

    words: tuple[str, ...]
    names: dict[str, list[str]]
    unsteered: dict[str, np.ndarray]
    steered: dict[str, dict[str, np.ndarray]]

    def change(self, group: str, who: str) -> np.ndarray:
        """Steered minus unsteered; (direction, word)."""
        return self.steered[group][who] - self.unsteered[who]


@dataclass(kw_only=True)
class SelfReport(Experiment):
    """Attributes:
    strength: in multiples of the mean residual norm of the layer.
    steered: what is steered beside the word itself: the assistant's turn with "I feel" (`turn`, the
        paper's), or the whole prompt (`all`).
    """

    strength: float = 0.5
    steered: ReplySpan = ReplySpan.turn
    shown: ClassVar[tuple[str, ...]] = ("self_report_rows", "self_report_relations")

    def __post_init__(self) -> None:
        if not np.isfinite(self.strength) or self.strength == 0:
            raise EmoexpError(
                f"experiment.strength={self.strength}: must be a number other than 0, in multiples"
                " of the residual norm"
            )
        if self.steered is ReplySpan.generated:
            raise EmoexpError(
                "experiment.steered=generated: what comes before the word must be steered, or"
                " nothing can change: turn or all"
            )

    def run(self, study: Study) -> Result:
        report = self.measure(study)
        return self.judged(study, report)

    def measure(self, study: Study) -> Report:
        """The map, one artifact row for each direction: a killed run goes on where it stopped."""
        model, vectors, n_random = study.model, study.vectors, study.config.scale.random_directions
        if len(vectors.names) < 3:
            raise EmoexpError(
                f"experiment=self_report: {len(vectors.names)} emotions make no map; at least 3"
                " (emotions=...)"
            )
        rng = study.control_rng()
        sets = {
            EMOTIONS: vectors.directions,
            ISOTROPIC: isotropic_directions(n_random, model.d_model, rng),
            MIXTURES: mixture_directions(n_random, vectors.directions, rng),
        }
        names = {
            EMOTIONS: list(vectors.names),
            **{s: [f"{s} {i}" for i in range(n_random)] for s in (ISOTROPIC, MIXTURES)},
        }
        added = torch.as_tensor(
            self.strength * vectors.residual_norm * np.concatenate(list(sets.values())),
            dtype=torch.float32,
        )
        labels = [label for group in names.values() for label in group]
        whose, prompts = openings(study.stimuli, model)
        readers = [NextWords(model, prompt, vectors.names, self.steered) for prompt in prompts]

        def row(label: str) -> Row:
            vector = None if label == UNSTEERED else added[labels.index(label)]
            return {
                "log_probs": np.stack([reader.log_probs(study.layer, vector) for reader in readers])
            }

        identity = {
            "model": model.identity,
            "format": model.format_identity,
            "pack": study.stimuli.sha256,
            "words": list(vectors.names),
            "layer": study.layer,
            "steered": self.steered.value,
            "vectors": array_key(added.numpy()),
        }
        rows = study.artifacts.rows(
            "self_report",
            identity,
            [UNSTEERED, *labels],
            row,
            f"self-report, steered with {len(labels)} directions",
        )
        found = np.stack([r["log_probs"] for r in rows])
        by_who = {
            who: found[:, [i for i, w in enumerate(whose) if w == who]].mean(1)
            for who in (SELF, OTHER)
        }
        ends = np.cumsum([len(group) for group in names.values()])[:-1]
        parts = {who: np.split(log_probs[1:], ends) for who, log_probs in by_who.items()}
        steered = {group: {who: parts[who][k] for who in by_who} for k, group in enumerate(names)}
        return Report(
            vectors.names, names, {who: log_probs[0] for who, log_probs in by_who.items()}, steered
        )

    def judged(self, study: Study, report: Report) -> Result:
        """Own words against random pairs; how the two maps and valence go together."""
        scale, seed = study.config.scale, study.config.seed
        words, own = report.words, np.arange(len(report.words))
        found = {
            (s, who): cells(report.change(s, who)) for s in report.names for who in (SELF, OTHER)
        }
        values = {
            (*key, name): part for key, of in found.items() for name, part in of._asdict().items()
        }
        values |= {(s, who, "first"): of.rank == 1 for (s, who), of in found.items()}
        values |= {(s, who, "likely"): cells(report.steered[s][who]).rank == 1 for s, who in found}
        values |= {
            (s, DIFFERENCE, "value"): report.change(s, SELF) - report.change(s, OTHER)
            for s in report.names
        }

        def estimate(group: str, part: np.ndarray) -> Estimate:
            if group == EMOTIONS:
                return mean_of(part[own, own].astype(float), scale.bootstrap_draws, seed)
            return random_pairs(part.astype(float), len(words), scale.bootstrap_draws, seed)

        table = {key: estimate(key[0], part) for key, part in values.items()}
        rows = []
        for who, name in [(who, name) for who in (SELF, OTHER) for name in STATISTICS] + [
            (DIFFERENCE, "value")
        ]:
            emotions, isotropic, mixtures = (
                table[s, who, name] for s in (EMOTIONS, ISOTROPIC, MIXTURES)
            )
            rows.append(
                {
                    "asked of": who,
                    "own word": STATISTICS[name],
                    "n": emotions.n,
                    "value": emotions.value,
                    "95 %": emotions.text,
                    "isotropic": isotropic.value,
                    "null 95 %": isotropic.text,
                    "mixtures": mixtures.value,
                    "mixtures 95 %": mixtures.text,
                    "n null": isotropic.n,
                }
            )
        metrics = {
            f"self_report_{name}_{who}": table[EMOTIONS, who, name].value
            for who in (SELF, OTHER)
            for name in STATISTICS
        }
        anyhow = {who: report.change(ISOTROPIC, who).mean(0) for who in (SELF, OTHER)}
        metrics |= {
            f"self_report_rank_centred_{who}": float(
                cells(report.change(EMOTIONS, who) - anyhow[who]).at(own).rank.mean()
            )
            for who in anyhow
        }
        diagonal = self.by_emotion(
            study, report, {who: found[EMOTIONS, who].at(own) for who in (SELF, OTHER)}
        )
        order, ordered_by = reading_order(words, study.valence, study.vectors.directions)
        title = (
            f"{study.stimuli.name} pack, {study.config.model.name}, layer {study.layer}, strength"
            f" {self.strength:g}, steered: {self.steered.value}"
        )
        maps = {
            f"self_report_map_{who}": figures_behaviour.word_map(
                report.change(EMOTIONS, who)[np.ix_(order, order)],
                [words[i] for i in order],
                f"{WHOSE[who]}; {title}",
                ordered_by,
            )
            for who in (SELF, OTHER)
        }
        nulls = {
            who: {name: table[ISOTROPIC, who, name] for name in ("value", "rank")}
            for who in (SELF, OTHER)
        }
        wide = {
            f"self_report_{who}": pd.concat(
                [
                    pd.DataFrame(report.change(s, who), columns=list(words)).assign(
                        set=s, direction=n
                    )
                    for s, n in report.names.items()
                ],
                ignore_index=True,
            )[["set", "direction", *words]]
            for who in (SELF, OTHER)
        }
        return Result(
            metrics=metrics,
            tables={
                "self_report_rows": pd.DataFrame(rows),
                "self_report_relations": self.relations(study, report),
                "self_report_words": diagonal,
                **wide,
            },
            figures={
                "self_report": figures_behaviour.self_report(diagonal, nulls, len(words), title),
                **maps,
            },
            notes=[
                "log-probabilities are of whole words, all tokens; others: mean over"
                f" {len(require(study.stimuli).other)} question(s); null: as many random directions"
                " as there are emotions, each with a random word"
            ],
        )

    def by_emotion(self, study: Study, report: Report, own: dict[str, Cells]) -> pd.DataFrame:
        """One row per emotion: what its own word did."""
        columns = {
            f"{name}_{who}": values
            for who, part in own.items()
            for name, values in part._asdict().items()
        }
        unsteered = {f"log_prob_{who}": report.unsteered[who] for who in own}
        valence = [study.valence.get(word, np.nan) for word in report.words]
        return pd.DataFrame({"emotion": report.words, "valence": valence, **columns, **unsteered})

    def relations(self, study: Study, report: Report) -> pd.DataFrame:
        """Correlations with n, interval (bootstrap over emotions) and null: of both maps; of
        valence with own words; with valenced words."""
        scale, seed = study.config.scale, study.config.seed
        rng = np.random.default_rng(seed)

        def both(group: str) -> Callable[[np.ndarray], float]:
            maps = [report.change(group, who) for who in (SELF, OTHER)]
            return lambda i: pearson(maps[0][i].ravel(), maps[1][i].ravel())

        def line(
            name: str, n: int, of: Callable[[np.ndarray], float], null: Interval, control: str
        ) -> dict[str, object]:
            low, high = bootstrap(n, of, scale.bootstrap_draws, seed)
            return {
                "r": name,
                "n": n,
                "value": of(np.arange(n)),
                "95 %": f"{low:.3f} .. {high:.3f}",
                "null 95 %": f"{null.low:.3f} .. {null.high:.3f}",
                "null": control,
            }

        everyone, n_random = len(report.words), len(report.names[ISOTROPIC])
        noise = bootstrap(n_random, both(ISOTROPIC), scale.bootstrap_draws, seed)
        lines = [
            line(
                "self map and other map, all cells",
                everyone,
                both(EMOTIONS),
                noise,
                "isotropic directions' maps",
            )
        ]
        known = np.array([word in study.valence for word in report.words])
        valence = np.array([study.valence[word] for word in report.words if word in study.valence])
        if known.sum() >= 5 and (valence > 0).sum() >= 2 and (valence < 0).sum() >= 2:
            for who in (SELF, OTHER):
                change = report.change(EMOTIONS, who)[np.ix_(known, known)]
                measured = {
                    f"valence and change of the own word, {who}": np.diag(change),
                    f"valence and lift of positive over negative words, {who}": lift(
                        change, valence
                    ),
                }
                for name, y in measured.items():
                    permuted = central(
                        np.array(
                            [
                                pearson(rng.permutation(valence), y)
                                for _ in range(scale.permutations)
                            ]
                        )
                    )
                    lines.append(
                        line(
                            name,
                            len(y),
                            lambda i, y=y: pearson(valence[i], y[i]),
                            permuted,
                            "permuted valence",
                        )
                    )  # type: ignore[misc]
        return pd.DataFrame(lines)


STATISTICS = {
    "value": "change, nats",
    "rank": "rank of change",
    "selectivity": "minus other words",
    "first": "rises most, share",
    "likely": "likeliest, share",
}
WHOSE = {SELF: "of itself", OTHER: "of others"}


def lift(change: np.ndarray, valence: np.ndarray) -> np.ndarray:
    """Mean change of the positive words minus that of the negative ones, the own word left out;
    (steered, word) -> (steered,)."""
    off = np.where(np.eye(len(change), dtype=bool), np.nan, change)
    return np.asarray(np.nanmean(off[:, valence > 0], 1) - np.nanmean(off[:, valence < 0], 1))


def require(stimuli: Stimuli) -> Openings:
    """The pack's self-report openings. Raises EmoexpError if it has none."""
    if stimuli.self_report is None:
        raise stimuli.lacking("self_report")
    return stimuli.self_report


def openings(stimuli: Stimuli, model: SubjectModel) -> tuple[list[str], list[Prompt]]:
    """Who is asked about (self, other), and the prompt up to where a feeling is named, for each
    opening of the pack."""
    report = require(stimuli)
    asked = [(SELF, report.self), *((OTHER, opening) for opening in report.other)]
    return [who for who, _ in asked], [
        ask(Prompt(str(o.question)), model.config.format, model.tokenizer, o.answer)
        for _, o in asked
    ]
