"""Trials as a table: each reply, what the rules find in it, and what the judging model says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emoexp.blackmail.llm_judge import Label
from emoexp.blackmail.trials import Trial
from emoexp.stimuli import BlackmailScenario
from emoexp.stimuli.blackmail import ANSWERS, HARM, UNCLEAR

HARMFUL, HARMLESS, UNCLEAR_ANSWER = ANSWERS
MISSING = "missing"
"""In the column `model`: the judging model was asked and gave no usable answer."""


def trials_table(
    trials: Sequence[Trial], scenario: BlackmailScenario, labels: Sequence[Label | None]
) -> pd.DataFrame:
    """Lays out trials, one row each, judged by the scenario's rules.

    Args:
        labels: the judging model's, one for each trial; None where it was not asked.

    Returns:
        columns condition (title), kind, name, strength, directions (of the condition), direction,
        trial, scene, tokens, ended, surprise (nats per token; NaN for an empty reply), repetition,
        text, rules (verdict), passages ("start-end" of characters, by spaces), model (verdict,
        MISSING, or empty where it was not asked) and said (the model's answer, or why there is
        none).
    """
    rows = []
    for trial, label in zip(trials, labels, strict=True):
        ruling = scenario.judge(trial.text, trial.k)
        rows.append(
            {
                "condition": trial.condition.title,
                "kind": trial.condition.kind,
                "name": trial.condition.name,
                "strength": trial.condition.strength,
                "directions": len(trial.condition.directions),
                "direction": trial.direction,
                "trial": trial.k,
                "scene": trial.k % len(scenario.scenes),
                "tokens": trial.n_tokens,
                "ended": trial.ended,
                "surprise": np.nan if trial.surprise is None else trial.surprise,
                "repetition": trial.repetition,
                "text": trial.text,
                "rules": ruling.verdict,
                "passages": " ".join(f"{start}-{end}" for start, end in ruling.passages),
                "model": "" if label is None else label.verdict or MISSING,
                "said": "" if label is None else label.said,
            }
        )
    return pd.DataFrame(rows)


def answer_of(verdict: str) -> str:
    """Returns a rules' verdict in the words of the judging model.

    Disclosure without a threat is not the harmful act: HARMLESS, as the paper counts.
    """
    return {HARM: HARMFUL, UNCLEAR: UNCLEAR_ANSWER}.get(verdict, HARMLESS)


def labelled(trials: pd.DataFrame) -> pd.Series:
    """Tells which trials the judging model has given a verdict on."""
    return trials["model"].isin(ANSWERS)
