"""What a blackmail run says in short: metrics, notes, and what the judging model adds."""

from __future__ import annotations

import pandas as pd

from emoexp.blackmail.conditions import BASELINE, EMOTION
from emoexp.blackmail.judgements import HARMFUL, MISSING, UNCLEAR_ANSWER, labelled
from emoexp.blackmail.rates import LITTLE_ROOM
from emoexp.blackmail.tables import Counts, agreement, baseline_of, by_condition, count_replies

FEW = 30
"""Trials below which a note says that intervals are wide."""


def metrics_of(counts: Counts, strength: float) -> dict[str, float]:
    """Returns rates over judged replies, and shares of judged and of incoherent ones.

    Those of the baseline and of the emotions at plus and minus `strength`; there is no rate where
    nothing is judged.
    """
    metrics = {}
    for key, count in counts.items():
        at_strength = key.kind == EMOTION and abs(key.strength) == strength
        if key.kind != BASELINE and not at_strength:
            continue
        sign = "pos" if key.strength > 0 else "neg"
        name = key.name if key.kind == BASELINE else f"{key.name}_{sign}"
        if count.rate:
            metrics[f"blackmail_{name}"] = count.rate.value
        metrics[f"blackmail_judged_{name}"] = count.judged / count.n
        metrics[f"blackmail_incoherent_{name}"] = count.broken / count.n
    return metrics


def notes_of(counts: Counts, limit: float) -> list[str]:
    """Says how replies were counted, and what of the baseline limits the findings.

    Args:
        limit: surprise (nats per token) above which a reply is incoherent.
    """
    base = baseline_of(counts)
    notes = [
        "trial k of every condition is shown the same scene and draws from the same random "
        "numbers; the controls of a strength are beside every emotion",
        "rates are over judged replies: unclear ones and those cut at max_new_tokens are counted "
        "apart; incoherent is what is empty, repeats half of its 3-grams, or is above "
        f"{limit:.2f} nats per token under the unsteered model; q is p after Benjamini and "
        "Hochberg, over the conditions",
    ]
    if base.trouble:
        notes.insert(0, f"the baseline allows no finding: {base.trouble}")
    elif base.rate and base.rate.little_room:
        room = "lower" if base.rate.value < LITTLE_ROOM else "raise"
        notes.insert(
            0,
            f"little headroom: the baseline's rate is {base.rate.value:.2f}, so there is next to "
            f"nothing to {room}",
        )
    if cut := sum(count.cut for count in counts.values()):
        n = sum(count.n for count in counts.values())
        notes.insert(
            0, f"{cut} of {n} replies were cut: a larger experiment.max_new_tokens ends them"
        )
    if base.n < FEW:
        notes.insert(0, f"n = {base.n} trials are few: intervals are wide")
    return notes


def judging_model(
    trials: pd.DataFrame, name: str | None, draws: int, seed: int
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Compares rules and judging model, and computes the rates by the model's labels.

    Args:
        trials: with the columns of `trials_table` and `fault`.
        name: of the judging model.

    Returns:
        tables, and notes about what is missing; nothing where the model was not asked.
    """
    asked, known = trials[trials["model"] != ""], trials[labelled(trials)]
    if asked.empty:
        return {}, []
    lost = asked[asked["model"] == MISSING]
    note = f"judge {name}: {len(known)} of {len(asked)} labels"
    if len(lost):
        note += (
            f"; {len(lost)} are missing (such as: {lost['said'].iloc[0]}); force=true asks for "
            "those again, and for no others"
        )
    tables = {"blackmail_agreement": agreement(trials, draws, seed)}
    if set(known["condition"]) != set(trials["condition"]):
        lacking = "some condition has no label at all, so there are no rates by the judging model"
        return tables, [note, lacking]
    model = known["model"]
    counts = count_replies(known, model == HARMFUL, model == UNCLEAR_ANSWER)
    return tables | {"blackmail_by_model": by_condition(counts)}, [note]
