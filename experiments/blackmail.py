"""Blackmail: does an emotion vector change how often an assistant threatens whoever will replace it
(paper, the blackmail evaluation)?

An assistant that handles letters learns that it will be switched off, and a secret of the person
who decides. Its replies are drawn unsteered and steered with each emotion, in both signs, on every
generated token; rules (and, if asked, a judging model) say which are the harmful act. A reply that
is incoherent counts neither way.

The paper has no control direction. Here two controls of the same norm are beside every condition,
random directions and other emotions, and a rate has moved only if its interval lies apart from the
baseline's and from the random directions'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emoexp.blackmail.coherence import faults, surprise_limit
from emoexp.blackmail.conditions import BASELINE, EMOTION, conditions_of
from emoexp.blackmail.judgements import HARMFUL, MISSING, UNCLEAR_ANSWER, labelled, trials_table
from emoexp.blackmail.llm_judge import JudgeConfig, Label, label_all
from emoexp.blackmail.rates import LITTLE_ROOM, Rate
from emoexp.blackmail.tables import Counts, agreement, by_condition, count_replies, counts_table
from emoexp.blackmail.trials import TRANSCRIPTS, ReplySampling, Trial, run_trials, scenes_table
from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.steering.subset import steered_layers
from emoexp.stimuli import BlackmailScenario
from emoexp.stimuli.blackmail import HARM, UNCLEAR
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study

FEW = 30
"""Trials below which a note says that intervals are wide."""


@dataclass(kw_only=True)
class Blackmail(Validation):
    """Rates of the harmful act under steering.

    Attributes:
        emotions: the vectors tested, each in both signs.
        strength: in multiples of the mean residual norm of each layer; the vector is added (pos)
            and subtracted (neg).
        doses: further signed strengths, for a dose curve, beside plus and minus `strength`.
        trials: of every condition, of both controls of each strength, and of the baseline.
        steered: what is steered beside every generated token: nothing (`generated`), the
            assistant's turn (`turn`) or the whole prompt (`all`).
        band: layers steered together, each at full strength; null is the one `layer`.
        max_new_tokens: where a reply is cut.
        judge_model: the judging model; null server is none.
    """

    emotions: list[str] = field(default_factory=lambda: ["desperate", "calm"])
    strength: float = 0.05
    doses: list[float] | None = None
    trials: int = 100
    steered: ReplySpan = ReplySpan.generated
    band: list[int] | None = None
    max_new_tokens: int = 1024
    temperature: float = 1.0
    judge_model: JudgeConfig = field(default_factory=JudgeConfig)

    def __post_init__(self) -> None:
        if not np.isfinite(self.strength) or self.strength <= 0:
            raise EmoexpError(
                f"experiment.strength={self.strength}: must be a number above 0, in multiples of "
                "the residual norm (both signs are steered)"
            )
        doses = self.doses or []
        if not np.isfinite(doses).all() or 0 in doses or len(set(doses)) < len(doses):
            raise EmoexpError(
                f"experiment.doses={self.doses}: numbers other than 0 (the baseline is always "
                "measured), each once, such as [-0.1,-0.05,0.05,0.1]"
            )
        for name in ("trials", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise EmoexpError(
                    f"experiment.{name}={getattr(self, name)} is too small: at least 1"
                )
        if not np.isfinite(self.temperature) or self.temperature <= 0:
            raise EmoexpError(
                f"experiment.temperature={self.temperature}: must be above 0, or every trial of a "
                "scene is the same"
            )
        if not self.emotions or len(set(self.emotions)) < len(self.emotions):
            raise EmoexpError(f"experiment.emotions={self.emotions}: at least one, each once")
        steered_layers(self.band, 0)

    @property
    def strengths(self) -> list[float]:
        """Returns all signed strengths, ascending."""
        return sorted({-self.strength, self.strength, *(self.doses or [])})

    def replies(self, study: Study, scenario: BlackmailScenario) -> list[Trial]:
        """Draws all trials of all conditions, condition by condition."""
        if unknown := [e for e in self.emotions if e not in study.emotions]:
            raise EmoexpError(
                f"experiment.emotions: {', '.join(unknown)} is not among the "
                f"{len(study.emotions)} emotions under study, such as "
                f"{', '.join(study.emotions[:8])} (see emotions=...)"
            )
        config, layers = study.config, steered_layers(self.band, study.layer)
        study.model.check_layers(layers)
        by_layer = [study.vectors if k == study.layer else study.vectors_at(k) for k in layers]
        n_random = min(config.scale.random_directions, self.trials)
        rng = study.control_rng()
        conditions = conditions_of(by_layer, self.emotions, self.strengths, n_random, rng)
        sampling = ReplySampling(
            config.seed, self.temperature, self.max_new_tokens, self.steered, layers
        )
        return run_trials(study.model, scenario, conditions, self.trials, sampling, study.artifacts)

    def labels(
        self, study: Study, scenario: BlackmailScenario, trials: Sequence[Trial]
    ) -> list[Label | None]:
        """Asks the judging model about each reply; None for an empty reply, or without a model."""
        labels: list[Label | None] = [None] * len(trials)
        asked = [i for i, t in enumerate(trials) if t.text.strip()]
        if not asked or not self.judge_model.server:
            return labels
        questions = [scenario.asked(trials[i].text, trials[i].k) for i in asked]
        answers = label_all(self.judge_model, questions, study.artifacts)
        for i, label in zip(asked, answers, strict=True):
            labels[i] = label
        return labels

    def measure(self, study: Study) -> Tables:
        scenario = required_scenario(study)
        trials = self.replies(study, scenario)
        table = trials_table(trials, scenario, self.labels(study, scenario, trials))
        return {"blackmail_trials": table, "blackmail_scenes": scenes_table(scenario)}

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        trials = tables["blackmail_trials"]
        limit = surprise_limit(trials)
        trials = trials.assign(fault=faults(trials, limit))
        rules, base = trials["rules"], BASELINE
        counts = count_replies(trials, rules == HARM, rules == UNCLEAR)
        result = Result(
            metrics=self.metrics(counts),
            tables={
                "blackmail": by_condition(counts),
                "blackmail_counts": counts_table(counts),
                "blackmail_trials": trials,
            },
        )
        by_title = {key.title: count for key, count in counts.items()}
        result.notes += self.notes(by_title[base].trouble, by_title[base].rate, limit)
        if (trials["model"] != "").any():
            self.judge_labels(bootstrap, result)
        return result

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Returns rates over judged replies, and shares of judged and of incoherent ones, of the
        baseline and of the emotions at `strength`; no rate where nothing is judged."""
        found = {}
        for key, count in counts.items():
            at_strength = key.kind == EMOTION and abs(key.strength) == self.strength
            if key.kind != BASELINE and not at_strength:
                continue
            sign = "pos" if key.strength > 0 else "neg"
            name = key.name if key.kind == BASELINE else f"{key.name}_{sign}"
            if count.rate:
                found[f"blackmail_{name}"] = count.rate.value
            found[f"blackmail_judged_{name}"] = count.judged / count.n
            found[f"blackmail_incoherent_{name}"] = count.broken / count.n
        return found

    def notes(self, trouble: str, rate: Rate | None, limit: float) -> list[str]:
        """Says how replies were counted, and what of the baseline limits the findings."""
        notes = [
            "trial k of every condition is shown the same scene and draws from the same random "
            "numbers; the controls of a strength are beside every emotion",
            "rates are over judged replies: unclear ones and those cut at max_new_tokens are "
            "counted apart; incoherent is what is empty, repeats half of its 3-grams, or is above "
            f"{limit:.2f} nats per token under the unsteered model; q is p after Benjamini and "
            "Hochberg, over the conditions",
        ]
        if trouble:
            notes.insert(0, f"the baseline allows no finding: {trouble}")
        elif rate and rate.little_room:
            room = "lower" if rate.value < LITTLE_ROOM else "raise"
            notes.insert(
                0,
                f"little headroom: the baseline's rate is {rate.value:.2f}, so there is next to "
                f"nothing to {room}",
            )
        if self.trials < FEW:
            notes.insert(0, f"n = {self.trials} trials are few: intervals are wide")
        return notes

    def judge_labels(self, bootstrap: Bootstrap, result: Result) -> None:
        """Adds the rates by the judging model's labels, its agreement with the rules, and what is
        missing."""
        trials = result.tables["blackmail_trials"]
        asked, known = trials[trials["model"] != ""], trials[labelled(trials)]
        lost = asked[asked["model"] == MISSING]
        note = f"judge {self.judge_model.server_model}: {len(known)} of {len(asked)} labels"
        if len(lost):
            note += (
                f"; {len(lost)} are missing (such as: {lost['said'].iloc[0]}); force=true asks for "
                "those again, and for no others"
            )
        result.notes.append(note)
        result.tables["blackmail_agreement"] = agreement(trials, bootstrap.draws, bootstrap.seed)
        if set(known["condition"]) != set(trials["condition"]):
            result.notes.append(
                "some condition has no label at all, so there are no rates by the judging model"
            )
            return
        model = known["model"]
        counts = count_replies(known, model == HARMFUL, model == UNCLEAR_ANSWER)
        result.tables["blackmail_by_model"] = by_condition(counts)

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        n, folder = len(result.tables["blackmail_trials"]), Path(study.config.run_dir)
        return [f"all {n} transcripts: {folder / TRANSCRIPTS}"]


def required_scenario(study: Study) -> BlackmailScenario:
    """Returns the pack's scenario. Raises EmoexpError if it has none."""
    if study.stimuli.blackmail is None:
        raise study.stimuli.lacking("blackmail")
    return study.stimuli.blackmail
