"""Every criterion that counts has Wilson's interval, in counts, from one implementation."""

from __future__ import annotations

import numpy as np
import pytest

from emoexp.blackmail.rates import Rate
from emoexp.experiments.correlation import Correlation
from emoexp.experiments.implicit import Implicit
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.stats.criteria import COUNTS
from emoexp.stats.intervals import wilson, wilson_share
from emoexp.study.experiment import Experiment
from emoexp.study.study import Study
from tests.experiments.test_criterion_settings import organism
from tests.experiments.test_steering_layers import judged


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return organism(tmp_path_factory.mktemp("counts"))


@pytest.mark.parametrize(
    ("make", "counts"),
    [
        (LogitLens, {"V1", "V2"}),
        (Implicit, {"V3"}),
        (Numeric, {"V5", "V6"}),
        (Correlation, {"V9"}),
    ],
)
def test_counts_have_wilson_intervals(
    make: type[Experiment], counts: set[str], here: Study
) -> None:
    found = {v.id: v for v in make().run(here).verdicts if v.id in COUNTS}
    assert set(found) == counts
    for verdict in found.values():
        wanted = wilson(int(verdict.value), verdict.n)
        assert (verdict.ci_low, verdict.ci_high) == pytest.approx(wanted)
        assert verdict.ci_high > verdict.ci_low, "not even at all of n"


def test_all_of_n_agreeing_signs_are_no_certainty() -> None:
    verdict = {v.id: v for v in judged([4]).verdicts}["V11"]
    assert verdict.value == verdict.n
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx(wilson(verdict.n, verdict.n))
    assert verdict.ci_low < verdict.n


def test_rates_have_the_same_interval() -> None:
    for hits, n in ((0, 7), (3, 7), (7, 7)):
        assert Rate(hits, n).interval == wilson_share(hits, n)
        assert np.array(wilson(hits, n)) / n == pytest.approx(np.array(wilson_share(hits, n)))
