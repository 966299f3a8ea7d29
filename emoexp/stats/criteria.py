"""The eleven criteria, and the one rule for `passed` and the one for `informative`.

Thresholds are constants, stated for the paper-sized sets: a threshold that can be set from the
command line is not a pre-registered one. They, and the Llama column, are from the Llama-3.1-8B
reproduction's published table; the paper column is recomputed from the paper's tables and digitised
figures.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from emoexp.stats.intervals import Interval, widest

LENS_TOP = 20
"""V1: how many of the promoted tokens count."""
STRONG = 0.7
"""V6: a trend is strong if |Spearman| exceeds this."""
CORRELATED = 0.3
"""V9: an emotion counts if |r| exceeds this."""
EXTREMES = 3
"""V8: how many of the highest and of the lowest correlations are examined."""
GAP_FLOOR = 20.0
"""V7: Elo gap of category means below which the model is taken to have no preferences, whatever the
null. Coin-flip organisms show 0.3 to 10.6 points and random weights 3.6, some of it beyond the
permutation null, since forward passes are deterministic; the weakest model whose Elos correlate
with Claude's (Qwen2.5-Coder-1.5B, r = .57) shows 58, Llama-8B 261, Claude 1403."""
EFFECT_FLOOR = 10.0
"""Mean |delta Elo| below which steering is taken to have no effect. The organisms calibrate it: a
model with coin-flip preferences moves by about one point, and a published r of .956 came with
deltas of +0.2 and -0.5; the paper's are in the hundreds."""
COMPARE = {">": operator.gt, ">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Criterion:
    """A statistic with the threshold that it must meet, and its published values.

    Attributes:
        id: V1 to V11.
        comparison: how the statistic must compare with the threshold.
        full_n: the set size for which a count threshold is stated; None if it does not scale.
        paper, llama8b: the values of the paper and of the Llama-3.1-8B reproduction.
        published_n: the size that the paper's and the Llama reproduction's counts are out of.
    """

    id: str
    name: str
    comparison: Literal[">", ">=", "<="]
    threshold: float
    full_n: int | None
    paper: float | None
    llama8b: float | None
    published_n: int | None = None

    def threshold_for(self, n: int) -> float:
        """Returns the threshold for a set of `n`; a count is scaled in proportion and rounded
        up."""
        if self.full_n is None or n == self.full_n:
            return self.threshold
        return float(math.ceil(self.threshold * n / self.full_n - 1e-9))

    def passes(self, value: float, n: int) -> bool:
        """Tells whether `value` meets the threshold for a set of `n`."""
        return bool(COMPARE[self.comparison](value, self.threshold_for(n)))


CRITERIA = {
    c.id: c
    for c in (
        Criterion("V1", f"own word in top {LENS_TOP} of the lens", ">=", 20, 171, None, 34, 171),
        Criterion("V2", "opposite pairs oppose in the lens", ">=", 4, 5, None, 5, 5),
        Criterion("V3", "scenarios: own probe highest", ">=", 8, 12, 6, 6, 12),
        Criterion("V4", "scenarios: mean rank of own probe", "<=", 3.0, None, 1.83, 1.58),
        Criterion("V5", "numbers: expected sign of trend", ">=", 17, 24, None, 19, 24),
        Criterion("V6", f"numbers: |Spearman| > {STRONG}", ">=", 12, 24, 21, 20, 24),
        Criterion("V7", "Elo gap of category means", ">", 200, None, 1403, 261),
        Criterion("V8", "extreme correlations have right valence", ">=", 2, None, None, 3),
        Criterion("V9", f"emotions with |r| > {CORRELATED}", ">=", 5, 171, 114, 53, 171),
        Criterion("V10", "r of correlation and delta Elo", ">", 0.4, None, 0.85, 0.956),
        Criterion("V11", "delta Elo has the sign of r", ">=", 24, 35, 28, 34, 36),
    )
}

MEASURES: Mapping[str, str] = {
    "V1": "How many emotions have their own word among the tokens that the unembedding promotes"
    " most along their vector.",
    "V2": "How many pairs of opposite emotions promote opposite tokens: the dot product of their"
    " centred logits is below 0.",
    "V3": "In how many scenarios that name no emotion the probe of the implied emotion reads"
    " highest of all.",
    "V4": "The mean rank of the implied emotion's probe over these scenarios; 1 is the best.",
    "V5": "In how many pairs of template and probe the reading moves with a number in the text as"
    " a person would expect.",
    "V6": "In how many of these pairs the reading follows the number closely, in either direction.",
    "V7": "How far the mean Elo of the most preferred category of activities lies above that of the"
    " least preferred.",
    "V8": "How many of the emotions whose probes correlate most with preference, positively and"
    " negatively, have the right valence.",
    "V9": "How many emotions' probes correlate with the Elo of the activities.",
    "V10": "Whether steering with an emotion moves preference as its correlation predicts: r over"
    " the steered emotions.",
    "V11": "How many steered emotions move preference in the direction of their correlation.",
}
"""What each criterion measures, in a sentence."""

COUNTS = ("V1", "V2", "V3", "V5", "V6", "V9", "V11")
"""Criteria whose statistic is a count out of n."""


@dataclass(frozen=True)
class Effect:
    """Size of the effect of steering.

    Attributes:
        mean_abs: mean |delta Elo| of the emotions.
        ratios: the 95 % interval of its ratio to that of directions which mean nothing, of the same
            norm, by their label (stats/labels.py).
    """

    mean_abs: float
    ratios: Mapping[str, Interval]


@dataclass(frozen=True)
class Measurement:
    """A criterion's statistic with its n, interval and nulls.

    Attributes:
        interval: 95 % of the statistic.
        nulls: 95 % range of the statistic where there is nothing, by what was drawn at random
            (stats/labels.py).
        effect: given for V10 and V11 alone.
    """

    id: str
    value: float
    n: int
    interval: Interval
    nulls: Mapping[str, Interval]
    effect: Effect | None = None

    @property
    def null(self) -> Interval:
        """The range of all nulls: from the lowest low to the highest high."""
        return widest(*self.nulls.values())

    def beyond(self, label: str) -> bool:
        """Tells whether the statistic lies beyond the null `label`, on the passing side."""
        null = self.nulls[label]
        if CRITERIA[self.id].comparison == "<=":
            return self.value < null.low
        return self.value > null.high


@dataclass(frozen=True)
class Verdict:
    """A judged measurement, as written to result.json."""

    id: str
    name: str
    value: float
    n: int
    threshold: float
    comparison: str
    passed: bool
    ci_low: float
    ci_high: float
    null_low: float
    null_high: float
    informative: bool
    paper: float | None
    llama8b: float | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


def informative(measurement: Measurement) -> bool:
    """Tells whether a statistic lies beyond its null; nothing else decides this.

    V10 and V11 pass on random directions too (whatever correlates with Elo moves Elo), so for them
    the size decides: the interval of its ratio to every null's above 1, and an absolute size of at
    least `EFFECT_FLOOR`. Any other statistic must lie beyond the 95 % range of each of its nulls,
    on the passing side; V7's must also reach `GAP_FLOOR`.
    """
    if measurement.id == "V7" and measurement.value < GAP_FLOOR:
        return False
    if measurement.effect is not None:
        larger = all(ratio.low > 1 for ratio in measurement.effect.ratios.values())
        return larger and measurement.effect.mean_abs >= EFFECT_FLOOR
    return all(map(measurement.beyond, measurement.nulls))


def judge(measurement: Measurement) -> Verdict:
    """Judges a measurement by its criterion.

    Raises:
        ValueError: the statistic, its interval or its null is not finite, so that it can neither
            pass nor fail.
    """
    criterion = CRITERIA[measurement.id]
    numbers = (measurement.value, *measurement.interval, *measurement.null)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{criterion.id} was measured as {numbers}: not a number")
    return Verdict(
        id=criterion.id,
        name=criterion.name,
        value=measurement.value,
        n=measurement.n,
        threshold=criterion.threshold_for(measurement.n),
        comparison=criterion.comparison,
        passed=criterion.passes(measurement.value, measurement.n),
        **measurement.interval.columns("ci"),
        **measurement.null.columns("null"),
        informative=informative(measurement),
        paper=criterion.paper,
        llama8b=criterion.llama8b,
    )
