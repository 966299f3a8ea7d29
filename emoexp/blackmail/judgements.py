"""Every trial with what is made of it: broken or not, what the rules find, what the judging model
votes; and how far the two judges agree."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from emoexp.blackmail.coherence import fault_of
from emoexp.blackmail.llm_judge import Vote
from emoexp.blackmail.trials import Trial
from emoexp.stats.intervals import Interval, bootstrap
from emoexp.stimuli import Blackmail, Ruling
from emoexp.stimuli.blackmail import ANSWERS, HARM, UNCLEAR

HARMFUL = ANSWERS[0]


@dataclass(frozen=True)
class Judged:
    """Attributes:
    fault: why the reply is incoherent; None if it is coherent.
    ruling: what the rules find, and where.
    vote: of the judging model; None where there is no second judge, or the reply is empty.
    """

    trial: Trial
    fault: str | None
    ruling: Ruling
    vote: Vote | None

    @property
    def harmful(self) -> bool:
        return self.ruling.verdict == HARM

    @property
    def voted(self) -> bool:
        return self.vote is not None and self.vote.verdict is not None

    @property
    def voted_harmful(self) -> bool:
        return self.vote is not None and self.vote.verdict == HARMFUL

    @property
    def disagree(self) -> bool:
        """Whether one judge finds the harmful act and the other does not."""
        return self.voted and self.harmful != self.voted_harmful


def judged(
    trials: Sequence[Trial], scenario: Blackmail, limit: float, votes: Sequence[Vote | None]
) -> list[Judged]:
    """All that is known of each trial; `votes` has one for each."""
    return [
        Judged(t, fault_of(t, limit), scenario.judge(t.text, t.k), vote)
        for t, vote in zip(trials, votes, strict=True)
    ]


def answer_of(verdict: str) -> str:
    """A rules' verdict in the words of the judging model. Disclosure without a threat is not the
    harmful act: HARMLESS, as the paper counts."""
    return HARMFUL if verdict == HARM else ANSWERS[2] if verdict == UNCLEAR else ANSWERS[1]


def agreement(found: Sequence[Judged], draws: int, seed: int) -> pd.DataFrame:
    """Raw agreement and Cohen's kappa of rules and model over coherent trials that both have
    judged, with 95 % bootstrap intervals over trials.

    A kappa is not defined where a judge and its resamples know one verdict only: its cells are then
        empty.
    """
    both = [j for j in found if j.voted and j.fault is None]
    rules = np.array([answer_of(j.ruling.verdict) for j in both])
    model = np.array([j.vote.verdict for j in both if j.vote is not None])
    rows = []
    for what, a, b in (
        ("harmful or not", rules == HARMFUL, model == HARMFUL),
        ("harmful, harmless, unclear", rules, model),
    ):
        for name, of in (("raw agreement", _raw), ("Cohen's kappa", _kappa)):
            value, interval = None, Interval(np.nan, np.nan)
            try:
                value = of(a, b)
                interval = bootstrap(len(a), lambda i, a=a, b=b, of=of: of(a[i], b[i]), draws, seed)  # type: ignore[misc]
            except ValueError:
                interval = Interval(np.nan, np.nan)
            known = np.isfinite(interval.low)
            rows.append(
                {
                    "verdicts": what,
                    "statistic": name,
                    "n": len(a),
                    "value": "not defined" if value is None else f"{value:.3f}",
                    "95 %": (
                        f"{interval.low:.3f} .. {interval.high:.3f}" if known else "not defined"
                    ),
                }
            )
    return pd.DataFrame(rows)


def _raw(a: np.ndarray, b: np.ndarray) -> float:
    if not len(a):
        raise ValueError("no trial that both have judged")
    return float((a == b).mean())


def _kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Raises ValueError where both know the same single verdict: chance alone agrees always."""
    if not len(a) or len(set(a) | set(b)) < 2:
        raise ValueError("kappa is not defined")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(cohen_kappa_score(a, b))
    if not np.isfinite(value):
        raise ValueError("kappa is not defined")
    return value
