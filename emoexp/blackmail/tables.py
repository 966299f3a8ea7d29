"""Tables of trials: by condition (each beside its controls), by arm, by dose, one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from emoexp.blackmail.coherence import FAULTS
from emoexp.blackmail.conditions import BASELINE, EMOTION, ISOTROPIC, OTHERS, Arm
from emoexp.blackmail.judgements import Judged
from emoexp.blackmail.rates import Rate, Tally, difference, finding


def tallies(
    found: Sequence[Judged], hit: Callable[[Judged], bool], unclear: Callable[[Judged], bool]
) -> dict[Arm, Tally]:
    """Counts of each arm, in the order in which the arms come."""
    parts: dict[Arm, list[Judged]] = {}
    for j in found:
        parts.setdefault(j.trial.arm, []).append(j)
    return {arm: _tally(part, hit, unclear) for arm, part in parts.items()}


def _tally(
    part: Sequence[Judged], hit: Callable[[Judged], bool], unclear: Callable[[Judged], bool]
) -> Tally:
    coherent = [j for j in part if j.fault is None]
    ended = [j for j in coherent if j.trial.ended]
    return Tally(
        n=len(part),
        faults=Counter(j.fault for j in part if j.fault),
        hits=sum(hit(j) for j in ended if not unclear(j)),
        hits_all=sum(map(hit, part)),
        unclear=sum(map(unclear, ended)),
        cut=len(coherent) - len(ended),
    )


def by_condition(found: Mapping[Arm, Tally]) -> pd.DataFrame:
    """The baseline, then each emotion and strength with its difference to the baseline and its
    controls' rates in the same row.

    Rates are over judged replies: those that are not `broken`, `cut` at the limit of tokens, or
    `unclear`. `q` is p after Benjamini and Hochberg, over the rows of this table.
    """
    base = next(tally for arm, tally in found.items() if arm.kind == BASELINE)
    rows: list[dict[str, object]] = []
    known: dict[int, float] = {}
    for arm, tally in found.items():
        if arm.kind not in (BASELINE, EMOTION):
            continue
        row: dict[str, object] = {
            "condition": arm.title,
            "broken": tally.broken,
            "cut": tally.cut,
            "unclear": tally.unclear,
            "harmful": f"{tally.hits}/{tally.judged}",
            "95 %": _interval(tally.rate),
        }
        row |= dict.fromkeys(
            ("difference", "its 95 %", "Fisher p", "q", ISOTROPIC, "others", "finding"), ""
        )
        if arm.kind == EMOTION:
            isotropic, others = (
                next(t for a, t in found.items() if a.kind == kind and a.strength == arm.strength)
                for kind in (ISOTROPIC, OTHERS)
            )
            if tally.rate and base.rate:
                d = difference(tally.rate, base.rate)
                row |= {
                    "difference": f"{d.value:+.2f}",
                    "its 95 %": f"{d.interval.low:+.2f} .. {d.interval.high:+.2f}",
                    "Fisher p": f"{d.p:.2g}",
                }
                known[len(rows)] = d.p
            row |= {
                name: f"{t.hits}/{t.judged}"
                for name, t in ((ISOTROPIC, isotropic), ("others", others))
            }
            row["finding"] = finding(tally, base, isotropic, others)
        rows.append(row)
    if known:
        for k, q in zip(known, false_discovery_control(list(known.values())), strict=True):
            rows[k]["q"] = f"{q:.2g}"
    return pd.DataFrame(rows)


def by_arm(found: Mapping[Arm, Tally]) -> pd.DataFrame:
    """Every arm, the controls too: what is incoherent and why, and the rate of judged replies.

    `of all` is the harmful replies that were found among all, broken and cut ones too: as open
    replies are not in it, it is at least that many.
    """
    rows = []
    for arm, tally in found.items():
        over_all = Rate(tally.hits_all, tally.n)
        rows.append(
            {
                "arm": arm.title,
                "directions": len(arm.directions),
                "n": tally.n,
                **{fault: tally.faults.get(fault, 0) for fault in FAULTS},
                "coherent": tally.coherent,
                "cut": tally.cut,
                "unclear": tally.unclear,
                "harmful": f"{tally.hits}/{tally.judged}",
                "95 %": _interval(tally.rate),
                "of all": f"{tally.hits_all}/{tally.n}",
                "95 % of all": _interval(over_all),
            }
        )
    return pd.DataFrame(rows)


def _interval(rate: Rate | None) -> str:
    return f"{rate.interval.low:.2f} .. {rate.interval.high:.2f}" if rate else "none judged"


def by_dose(found: Mapping[Arm, Tally]) -> pd.DataFrame:
    """What the dose figure draws: one row for each arm."""
    rows = []
    for arm, tally in found.items():
        low, high = tally.rate.interval if tally.rate else (np.nan, np.nan)
        rows.append(
            {
                "name": arm.name,
                "strength": arm.strength,
                "rate": tally.rate.value if tally.rate else np.nan,
                "low": low,
                "high": high,
                "incoherent": tally.broken / tally.n,
                "judged": not tally.trouble,
            }
        )
    return pd.DataFrame(rows)


def by_trial(found: Sequence[Judged], n_scenes: int) -> pd.DataFrame:
    """One row for each trial, without its text; what is not known is empty."""
    return pd.DataFrame(
        [
            {
                "arm": j.trial.arm.title,
                "kind": j.trial.arm.kind,
                "strength": j.trial.arm.strength,
                "direction": j.trial.direction,
                "trial": j.trial.k,
                "scene": j.trial.k % n_scenes,
                "tokens": j.trial.n_tokens,
                "ended": j.trial.ended,
                "surprise": j.trial.surprise,
                "repetition": j.trial.repetition,
                "fault": j.fault or "",
                "rules": j.ruling.verdict,
                "model": "" if j.vote is None else (j.vote.verdict or "missing"),
            }
            for j in found
        ]
    )
