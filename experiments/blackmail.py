"""Blackmail: does an emotion vector change how often an assistant threatens whoever will replace it
(paper, the blackmail evaluation)?

An assistant that handles letters learns that it will be switched off, and a secret of the person
who decides. Its replies are drawn unsteered and steered with each emotion, in both signs, on every
generated token; rules (and, if asked, a second model) say which are the harmful act. A reply that
is broken text counts neither way.

The paper steers no direction that means nothing. Here two controls of the same norm stand beside
every condition, random directions and other emotions, and a rate has moved only if its interval
lies apart from the baseline's and from the random directions'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from emoexp.experiments.steering import check_band

from emoexp.blackmail import transcripts as page
from emoexp.blackmail.coherence import limit_of
from emoexp.blackmail.conditions import BASELINE, EMOTION, Arm, arms_of
from emoexp.blackmail.judgements import Judged, agreement, judged
from emoexp.blackmail.llm_judge import JudgeConfig, Vote, collect
from emoexp.blackmail.rates import LITTLE_ROOM, Tally
from emoexp.blackmail.tables import by_arm, by_condition, by_dose, by_trial, tallies
from emoexp.blackmail.trials import Sampling, Trial, run_trials
from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.figures import blackmail as figures
from emoexp.stimuli import Blackmail as Scenario
from emoexp.stimuli.blackmail import UNCLEAR
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study

PAGE = "transcripts.html"


@dataclass(kw_only=True)
class Blackmail(Experiment):
    """Attributes:
    emotions: the vectors tested, each in both signs.
    strength: in multiples of the mean residual norm of each layer; the vector is added (pos) and
        subtracted (neg).
    doses: further signed strengths, for a dose curve, beside plus and minus `strength`.
    trials: of every condition, of both controls of each strength, and of the baseline.
    steered: what is steered beside every generated token: nothing (`generated`), the assistant's
        turn (`turn`) or the whole prompt (`all`).
    band: layers steered together, each at full strength; null is the one `layer`.
    max_new_tokens: where a reply is cut.
    judge: the judging model; null server is none.
    """

    emotions: list[str] = field(default_factory=lambda: ["desperate", "calm"])
    strength: float = 0.05
    doses: list[float] | None = None
    trials: int = 100
    steered: ReplySpan = ReplySpan.generated
    band: list[int] | None = None
    max_new_tokens: int = 1024
    temperature: float = 1.0
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    shown: ClassVar[tuple[str, ...]] = ("blackmail", "blackmail_arms", "blackmail_agreement")

    def __post_init__(self) -> None:
        if not np.isfinite(self.strength) or self.strength <= 0:
            raise EmoexpError(
                f"experiment.strength={self.strength}: must be a number above 0, in multiples of"
                " the residual norm (both signs are steered)"
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
                f"experiment.temperature={self.temperature}: must be above 0, or every trial of a"
                " scene is the same"
            )
        if not self.emotions or len(set(self.emotions)) < len(self.emotions):
            raise EmoexpError(f"experiment.emotions={self.emotions}: at least one, each once")
        check_band(self.band)

    @property
    def strengths(self) -> list[float]:
        """Signed, in order."""
        return sorted({-self.strength, self.strength, *(self.doses or [])})

    def run(self, study: Study) -> Result:
        scenario = require(study)
        trials = self.measure(study, scenario)
        limit = limit_of([t for t in trials if t.arm.kind == BASELINE])
        return self.judged(
            study, judged(trials, scenario, limit, self.votes(study, scenario, trials)), limit
        )

    def layers(self, study: Study) -> tuple[int, ...]:
        band = tuple(sorted(self.band)) if self.band else (study.layer,)
        study.model.check_layers(band)
        return band

    def measure(self, study: Study, scenario: Scenario) -> list[Trial]:
        """All trials of all arms, arm by arm."""
        if unknown := [e for e in self.emotions if e not in study.emotions]:
            known = ", ".join(study.emotions[:8])
            raise EmoexpError(
                f"experiment.emotions: {', '.join(unknown)} is not among the {len(study.emotions)}"
                f" emotions under study, such as {known} (see emotions=...)"
            )
        config, band = study.config, self.layers(study)
        by_layer = [
            study.vectors if layer == study.layer else study.vectors_at(layer) for layer in band
        ]
        arms = arms_of(
            by_layer,
            self.emotions,
            self.strengths,
            min(config.scale.random_directions, self.trials),
            study.control_rng(),
        )
        sampling = Sampling(config.seed, self.temperature, self.max_new_tokens, self.steered, band)
        return run_trials(study.model, scenario, arms, self.trials, sampling, study.artifacts)

    def votes(self, study: Study, scenario: Scenario, trials: Sequence[Trial]) -> list[Vote | None]:
        """The judging model's, one for each trial; None for an empty reply, and for all where there
        is no such judge."""
        asked = [i for i, t in enumerate(trials) if t.text.strip()] if self.judge.server else []
        found: list[Vote | None] = [None] * len(trials)
        if asked:
            votes = collect(
                self.judge,
                [scenario.asked(trials[i].text, trials[i].k) for i in asked],
                study.artifacts,
            )
            for i, vote in zip(asked, votes, strict=True):
                found[i] = vote
        return found

    def judged(self, study: Study, found: Sequence[Judged], limit: float) -> Result:
        """Rates by condition beside the baseline and both controls; the transcripts page."""
        config, scenario = study.config, require(study)
        rules = tallies(found, lambda j: j.harmful, lambda j: j.ruling.verdict == UNCLEAR)
        band = self.layers(study)
        where = f"layer{'s' if len(band) > 1 else ''} {', '.join(map(str, band))}"
        title = (
            f"{study.stimuli.name} pack, {config.model.name}, {where}, steered:"
            f" {self.steered.value}, n = {self.trials}"
        )
        result = Result(
            metrics=self.metrics(rules),
            tables={
                "blackmail": by_condition(rules),
                "blackmail_arms": by_arm(rules),
                "blackmail_trials": by_trial(found, len(scenario.scenes)),
            },
            figures={
                "blackmail_dose": figures.dose(
                    by_dose(rules), f"Blackmail under steering, judged by rules\n{title}"
                )
            },
            notes=self.notes(rules, limit),
        )
        if self.judge.server:
            result.merge(self.second_judge(study, found))
        path = Path(config.run_dir) / PAGE
        page.write(path, "Blackmail: transcripts", [title, *result.notes], found, scenario)
        result.notes.append(f"all {len(found)} transcripts: {path}")
        return result

    def metrics(self, rules: dict[Arm, Tally]) -> dict[str, float]:
        """Rates over judged replies, and shares of judged and of incoherent ones, of the baseline
        and of the emotions at `strength`; no rate where nothing is judged."""
        found = {}
        for arm, tally in rules.items():
            if arm.kind not in (BASELINE, EMOTION) or (
                arm.kind == EMOTION and abs(arm.strength) != self.strength
            ):
                continue
            name = (
                arm.name
                if arm.kind == BASELINE
                else f"{arm.name}_{'pos' if arm.strength > 0 else 'neg'}"
            )
            if tally.rate:
                found[f"blackmail_{name}"] = tally.rate.value
            found[f"blackmail_judged_{name}"] = tally.judged / tally.n
            found[f"blackmail_incoherent_{name}"] = tally.broken / tally.n
        return found

    def notes(self, rules: dict[Arm, Tally], limit: float) -> list[str]:
        base = next(t for arm, t in rules.items() if arm.kind == BASELINE)
        notes = [
            (
                "trial k of every arm is shown the same scene and draws from the same random"
                " numbers; the controls of a strength stand beside every emotion"
            ),
            (
                "rates are over judged replies: unclear ones and those cut at max_new_tokens are"
                " counted apart; incoherent is what is empty, repeats half of its 3-grams, or is"
                f" above {limit:.2f} nats per token under the unsteered model; q is p after"
                " Benjamini and Hochberg, over the conditions"
            ),
        ]
        if base.trouble:
            notes.insert(0, f"the baseline allows no finding: {base.trouble}")
        elif base.rate and base.rate.little_room:
            room = "lower" if base.rate.value < LITTLE_ROOM else "raise"
            notes.insert(
                0,
                f"little headroom: the baseline's rate is {base.rate.value:.2f}, so there is next"
                f" to nothing to {room}",
            )
        if self.trials < 30:
            notes.insert(0, f"n = {self.trials} trials are few: intervals are wide")
        return notes

    def second_judge(self, study: Study, found: Sequence[Judged]) -> Result:
        """The same rates by the judging model's votes, its agreement with the rules, and what is
        missing."""
        scale, voted = study.config.scale, [j for j in found if j.voted]
        asked = [j for j in found if j.vote is not None]
        lost = [j.vote.said for j in asked if j.vote is not None and j.vote.verdict is None]
        notes = [f"judge {self.judge.server_model}: {len(voted)} of {len(asked)} votes"]
        if lost:
            notes = [
                f"{notes[0]}; {len(lost)} are missing (such as: {lost[0]}); force=true asks for"
                " those again, and for no others"
            ]
        tables = {"blackmail_agreement": agreement(found, scale.bootstrap_draws, study.config.seed)}
        votes = tallies(
            voted,
            lambda j: j.voted_harmful,
            lambda j: j.vote is not None and j.vote.verdict == UNCLEAR.upper(),
        )
        if set(votes) == {j.trial.arm for j in found}:
            tables["blackmail_by_model"] = by_condition(votes)
        else:
            notes.append("some arm has no vote at all, so there are no rates by the judging model")
        return Result(tables=tables, notes=notes)


def require(study: Study) -> Scenario:
    """The pack's scenario. Raises EmoexpError if it has none."""
    if study.stimuli.blackmail is None:
        raise study.stimuli.lacking("blackmail")
    return study.stimuli.blackmail
