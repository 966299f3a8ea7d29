"""Tables of trials: counts and rates by condition, each emotion beside its controls; agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control
from sklearn.metrics import cohen_kappa_score

from emoexp.blackmail.coherence import FAULTS
from emoexp.blackmail.conditions import BASELINE, EMOTION, title_of
from emoexp.blackmail.judgements import HARMFUL, answer_of, labelled
from emoexp.blackmail.rates import Rate, ReplyCount, difference, finding
from emoexp.stats.intervals import Interval, bootstrap
from emoexp.stats.labels import ISOTROPIC, OTHER_EMOTIONS


class ConditionKey(NamedTuple):
    """What tells conditions apart: kind, name (the emotion, or the kind) and signed strength."""

    kind: str
    name: str
    strength: float
    directions: int = 1

    @property
    def title(self) -> str:
        """Returns the name in tables, such as "desperate +0.05"."""
        return title_of(self.kind, self.name, self.strength)


Counts = Mapping[ConditionKey, ReplyCount]


def count_replies(trials: pd.DataFrame, harmful: pd.Series, unclear: pd.Series) -> Counts:
    """Counts the replies of each condition, in the order in which the conditions come.

    Args:
        trials: with columns kind, name, strength, directions, ended and fault.
        harmful: which replies are the harmful act.
        unclear: which replies cannot be judged.
    """
    marked = trials.assign(harmful=harmful, unclear=unclear)
    columns = list(ConditionKey._fields)
    parts = [part for _, part in marked.groupby(columns, sort=False)]
    return {ConditionKey(*part[columns].iloc[0]): _count(part) for part in parts}


def baseline_of(counts: Counts) -> ReplyCount:
    """Returns the counts of the unsteered replies."""
    return next(count for key, count in counts.items() if key.kind == BASELINE)


def _count(part: pd.DataFrame) -> ReplyCount:
    coherent = part[part["fault"] == ""]
    ended = coherent[coherent["ended"].astype(bool)]
    return ReplyCount(
        n=len(part),
        faults=Counter(part.loc[part["fault"] != "", "fault"]),
        hits=int((ended["harmful"] & ~ended["unclear"]).sum()),
        hits_all=int(part["harmful"].sum()),
        unclear=int(ended["unclear"].sum()),
        cut=len(coherent) - len(ended),
    )


def counts_table(counts: Counts) -> pd.DataFrame:
    """Lays out the counts: every condition, the controls too.

    `harmful` of `judged` is the rate, with its Wilson interval; `harmful_of_all` is the harmful
    replies that were found among all `n`, so that it is a lower bound.
    """
    rows = [
        {
            "condition": key.title,
            **key._asdict(),
            "n": count.n,
            **{fault: count.faults.get(fault, 0) for fault in FAULTS},
            "coherent": count.coherent,
            **_judged(count),
            "harmful_of_all": count.hits_all,
            **Rate(count.hits_all, count.n).interval.columns("of_all"),
            "enough_judged": not count.trouble,
        }
        for key, count in counts.items()
    ]
    return pd.DataFrame(rows)


def _judged(count: ReplyCount) -> dict[str, float]:
    """The columns of both tables: what is not judged, and the rate; NaN where there is none."""
    ends = count.rate.interval if count.rate else Interval(np.nan, np.nan)
    counts = {"cut": count.cut, "unclear": count.unclear}
    return counts | {"harmful": count.hits, "judged": count.judged} | ends.columns("ci")


def by_condition(counts: Counts) -> pd.DataFrame:
    """Compares each emotion and strength with the baseline and with its controls.

    Rates are over judged replies: those that are not `broken` (incoherent), `cut` at the limit of
    tokens, or `unclear`. `q` is p after Benjamini and Hochberg, over the rows of this table.
    Numbers that are not defined are NaN.
    """
    base = baseline_of(counts)
    rows = [_row(key, counts, base) for key in counts if key.kind in (BASELINE, EMOTION)]
    table = pd.DataFrame(rows)
    if (known := table["fisher_p"].notna()).any():
        table.loc[known, "q"] = false_discovery_control(table.loc[known, "fisher_p"].to_numpy())
    return table


def _row(key: ConditionKey, counts: Counts, base: ReplyCount) -> dict[str, object]:
    count = counts[key]
    empty = ("difference", "difference_low", "difference_high", "fisher_p", "q")
    controls = ("isotropic_harmful", "isotropic_judged", "others_harmful", "others_judged")
    row = {
        "condition": key.title,
        "strength": key.strength,
        "broken": count.broken,
        **_judged(count),
        **dict.fromkeys((*empty, *controls), np.nan),
        "finding": "",
    }
    if key.kind == BASELINE:
        return row
    if count.rate and base.rate:
        d = difference(count.rate, base.rate)
        row |= {"difference": d.value, "fisher_p": d.p} | d.interval.columns("difference")
    isotropic, others = (
        next(c for k, c in counts.items() if (k.kind, k.strength) == (kind, key.strength))
        for kind in (ISOTROPIC, OTHER_EMOTIONS)
    )
    numbers = (isotropic.hits, isotropic.judged, others.hits, others.judged)
    row |= dict(zip(controls, numbers, strict=True))
    return row | {"finding": finding(count, base, isotropic, others)}


def agreement(trials: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Compares rules and judging model over coherent trials that both have judged.

    Raw agreement and Cohen's kappa, with 95 % bootstrap intervals over trials. A kappa is not
    defined where both use one and the same verdict only: NaN.
    """
    both = trials[labelled(trials) & (trials["fault"] == "")]
    rules = np.array([answer_of(verdict) for verdict in both["rules"]])
    model = both["model"].to_numpy(dtype=str)
    rows = []
    for what, a, b in (
        ("harmful or not", rules == HARMFUL, model == HARMFUL),
        ("harmful, harmless, unclear", rules, model),
    ):
        for name, of in (("raw agreement", _raw), ("Cohen's kappa", _kappa)):
            value, low, high = _estimate(of, a, b, draws, seed)
            row = {"verdicts": what, "statistic": name, "n": len(a)}
            rows.append({**row, "value": value, "ci_low": low, "ci_high": high})
    return pd.DataFrame(rows)


def _estimate(
    of: Callable[[np.ndarray, np.ndarray], float],
    a: np.ndarray,
    b: np.ndarray,
    draws: int,
    seed: int,
) -> tuple[float, float, float]:
    """The value and its interval; NaN for what is not defined."""
    value = np.nan
    try:
        value = of(a, b)
        low, high = bootstrap(len(a), lambda i: of(a[i], b[i]), draws, seed)
    except ValueError:
        return value, np.nan, np.nan
    return value, low, high


def _raw(a: np.ndarray, b: np.ndarray) -> float:
    if not len(a):
        raise ValueError("no trial that both have judged")
    return float((a == b).mean())


def _kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa. Raises ValueError where both use the same single verdict, or none."""
    if len(set(a) | set(b)) < 2:
        raise ValueError("kappa is not defined")
    return float(cohen_kappa_score(a, b))
