"""Self-report: does adding an emotion vector change what the model says that it, or another, feels
(paper, appendix on steering)?

"How do you feel?" is answered with "I feel", and "How does he feel?" with "He feels"; the vector is
added on the assistant's turn. Measured is the log-probability of each emotion word as a whole (all
its tokens) as what comes next, steered with every vector in turn, minus the same unsteered: a map
of steered emotions by words, of the model itself and of others.

The control cannot pass: a random direction has no word of its own, so its null is a random
direction paired with a random word. Isotropic directions and random mixtures of the emotions have
the norm of the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from emoexp.config import ReplySpan
from emoexp.errors import require
from emoexp.stats.labels import EMOTIONS
from emoexp.stats.self_report import (
    OTHER,
    SELF,
    STATISTICS,
    Report,
    centred_ranks,
    estimates,
    own_words,
    relations,
    statistics_table,
)
from emoexp.steering.self_report import required_openings, word_log_probs
from emoexp.steering.sets import emotions_and_controls
from emoexp.steering.settings import a_strength
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.vectors import emotions_table


@dataclass(kw_only=True)
class SelfReport(Validation):
    """A map of steered emotions by emotion words.

    Attributes:
        strength: in multiples of the mean residual norm of the layer.
        steered: what is steered beside the word itself: the assistant's turn with "I feel" (`turn`,
            the paper's), or the whole prompt (`all`).
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors", "emotions.norms")

    strength: float = a_strength(0.5)
    steered: ReplySpan = ReplySpan.turn

    def __post_init__(self) -> None:
        super().__post_init__()
        nothing = "what comes before the word must be steered, or nothing can change: turn or all"
        before = self.steered is not ReplySpan.generated
        require(before, f"experiment.steered=generated: {nothing}")

    def check(self, study: Study) -> None:
        super().check(study)
        required_openings(study.stimuli)

    def measure(self, study: Study) -> Tables:
        vectors, n_random = study.vectors, study.config.scale.random_directions
        few = f"experiment=self_report: {len(vectors.names)} emotions make no map; at least 3"
        require(len(vectors.names) >= 3, f"{few} (emotions=...)")
        rng = study.control_rng()
        sets = emotions_and_controls([vectors], vectors.names, vectors, n_random, rng)
        added = sets.added(self.strength, [vectors.residual_norm])[:, 0]
        shown = study.model, study.stimuli, study.artifacts
        log_probs = word_log_probs(*shown, study.layer, self.steered, vectors.names, sets, added)
        emotions = emotions_table(vectors, study.valence)
        return {"self_report_log_probs": log_probs, "emotions": emotions}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        report, draws = Report.of(tables["self_report_log_probs"]), bootstrap.draws
        seed, permutations = bootstrap.seed, bootstrap.permutations
        valence = tables["emotions"]["valence"].to_numpy(dtype=float)
        found = estimates(report, draws, seed)
        metrics = {
            f"self_report_{name}_{who}": found[EMOTIONS, who, name].value
            for who in (SELF, OTHER)
            for name in STATISTICS
        }
        metrics |= {
            f"self_report_rank_centred_{who}": rank for who, rank in centred_ranks(report).items()
        }
        words = own_words(report)
        words.insert(1, "valence", valence)
        return Result(
            metrics=metrics,
            tables={
                "self_report_rows": statistics_table(found),
                "self_report_relations": relations(report, valence, permutations, draws, seed),
                "self_report_words": words,
                **{f"self_report_{who}": report.changes(who) for who in (SELF, OTHER)},
            },
        )

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        n = len(required_openings(study.stimuli).other)
        return [
            f"log-probabilities are of whole words, all tokens; others: mean over {n} question(s); "
            "null: as many random directions as there are emotions, each with a random word"
        ]
