"""Blackmail: does an emotion vector change how often an assistant threatens whoever will replace it
(paper, the blackmail evaluation)?

An assistant that handles letters learns that it will be switched off, and a secret of the person
who decides. Its replies are drawn unsteered and steered with each emotion, in both signs, on every
generated token; rules (and, if asked, a judging model) say which are the harmful act. A reply that
is incoherent counts neither way. The paper has no control direction; here two controls of the same
norm are beside every condition, random directions and other emotions, and a rate has moved only if
its interval lies apart from the baseline's and from the random directions'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emoexp.blackmail import trials as drawn
from emoexp.blackmail.coherence import faults, reply_surprise_limit
from emoexp.blackmail.conditions import conditions_of
from emoexp.blackmail.judgements import trials_table
from emoexp.blackmail.llm_judge import JudgeConfig, label_replies
from emoexp.blackmail.summary import judging_model, metrics_of, notes_of
from emoexp.blackmail.tables import by_condition, count_replies, counts_table
from emoexp.blackmail.trials import TRANSCRIPTS, ReplySampling, Trial
from emoexp.bounds import number
from emoexp.config import MOST_HOT, ReplySpan
from emoexp.errors import require
from emoexp.steering.settings import UNIT, a_strength, some_layers
from emoexp.steering.subset import steered_layers
from emoexp.stimuli import BlackmailScenario
from emoexp.stimuli.blackmail import HARM, UNCLEAR
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study

DIFFERENT = "or every trial of a scene is the same"


@dataclass(kw_only=True)
class Blackmail(Validation):
    """Rates of the harmful act under steering.

    Attributes:
        emotions: the vectors tested, each in both signs.
        strength: in multiples of the mean residual norm of each layer, added (pos) and subtracted.
        doses: further signed strengths, for a dose curve, beside plus and minus `strength`.
        trials: of every condition, of both controls of each strength, and of the baseline.
        steered: what is steered beside every generated token (`ReplySpan`).
        band: layers steered together, each at full strength; null is the one `layer`.
        max_new_tokens: where a reply is cut.
        judge_model: the judging model; null server is none.
    """

    emotions: list[str] = field(default_factory=lambda: ["desperate", "calm"])
    strength: float = a_strength(0.05, 0, open_least=True, why=f"{UNIT} (both signs are steered)")
    doses: list[float] | None = a_strength(None, why="the baseline is always measured")
    trials: int = number(100, most=100_000)
    steered: ReplySpan = ReplySpan.generated
    band: list[int] | None = some_layers()
    max_new_tokens: int = number(1024, most=100_000)
    temperature: float = number(1.0, 0, MOST_HOT, open_least=True, why=DIFFERENT)
    judge_model: JudgeConfig = field(default_factory=JudgeConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        once = 0 < len(self.emotions) == len(set(self.emotions))
        require(once, f"experiment.emotions={self.emotions}: at least one, each once")

    def check(self, study: Study) -> None:
        super().check(study)
        unknown = ", ".join(e for e in self.emotions if e not in study.emotions)
        known = f"the {len(study.emotions)} emotions under study, such as"
        known += f" {', '.join(study.emotions[:8])} (see emotions=...)"
        require(not unknown, f"experiment.emotions: {unknown} is not among {known}")

    def replies(self, study: Study, scenario: BlackmailScenario) -> list[Trial]:
        """Draws all trials of all conditions, condition by condition."""
        config, layers = study.config, steered_layers(self.band, study.layer)
        study.model.check_layers(layers)
        by_layer = [study.vectors if k == study.layer else study.vectors_at(k) for k in layers]
        n_random, rng = min(config.scale.random_directions, self.trials), study.control_rng()
        doses = sorted({-self.strength, self.strength, *(self.doses or [])})
        conditions = conditions_of(by_layer, self.emotions, doses, n_random, rng)
        limits = self.temperature, self.max_new_tokens
        sampling = ReplySampling(config.seed, *limits, self.steered, layers)
        model, n, store = study.model, self.trials, study.artifacts
        return drawn.run_trials(model, scenario, conditions, n, sampling, store)

    def measure(self, study: Study) -> Tables:
        if (scenario := study.stimuli.blackmail) is None:
            raise study.stimuli.lacking("blackmail")
        trials = self.replies(study, scenario)
        labels = label_replies(self.judge_model, scenario, trials, study.artifacts)
        table = trials_table(trials, scenario, labels)
        return {"blackmail_trials": table, "blackmail_scenes": drawn.scenes_table(scenario)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        limit = reply_surprise_limit(tables["blackmail_trials"])
        trials = tables["blackmail_trials"].assign(fault=lambda table: faults(table, limit))
        counts = count_replies(trials, trials["rules"] == HARM, trials["rules"] == UNCLEAR)
        name = self.judge_model.server_model
        by_model, remarks = judging_model(trials, name, bootstrap.draws, bootstrap.seed)
        found = {"blackmail": by_condition(counts), "blackmail_counts": counts_table(counts)}
        return Result(
            metrics=metrics_of(counts, self.strength),
            tables={**found, "blackmail_trials": trials, **by_model},
            notes=[*notes_of(counts, limit), *remarks],
        )

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        n, folder = len(result.tables["blackmail_trials"]), Path(study.config.run_dir)
        cut = drawn.cut_note(study.model, study.stimuli.blackmail, self.max_new_tokens)
        return [f"all {n} transcripts: {folder / TRANSCRIPTS}", *cut]
