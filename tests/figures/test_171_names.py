"""Figures of 171 emotions, the paper's number: no text covers another, and none is cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from emoexp.figures.behaviour import drift_map, self_report, word_map
from emoexp.figures.preferences import correlation_bars, steering_scatter
from emoexp.figures.reliability import reliability_dots
from emoexp.figures.style import styled
from emoexp.stats.labels import ISOTROPIC
from tests.helpers.figures import faults
from tests.helpers.geometry_tables import names_of

N = 171
NAMES = names_of(N)
WHERE = "model: a-name-as-models-have-it-1.5b, pack: emoexp, corpus: starter, layer 22"
rng = np.random.default_rng(0)
VALUES, VALENCE = (
    rng.normal(size=N),
    np.where(np.arange(N) % 9, np.sign(rng.normal(size=N)), np.nan),
)


def correlations() -> Figure:
    r = np.tanh(VALUES)
    table = pd.DataFrame({"emotion": NAMES, "valence": VALENCE, "r": r})
    ends = table.assign(ci_low=r - 0.1, ci_high=r + 0.1)
    return correlation_bars(ends, (-0.5, 0.5), 0.3, WHERE, found="V9: 100/171 (null 0 .. 90)")


def steering() -> Figure:
    columns = {"r": np.tanh(VALUES), "delta_elo": 30 * VALUES + rng.normal(size=N)}
    emotions = pd.DataFrame({"direction": NAMES, "valence": VALENCE, **columns})
    controls = pd.DataFrame(columns).iloc[::4].assign(set=ISOTROPIC)
    return steering_scatter(emotions, controls, WHERE)


def reliability() -> Figure:
    half = 1 / (1 + np.exp(-VALUES))
    ends = {"low": half - 0.1, "high": half + 0.05, "null_low": -0.1, "null_high": 0.1}
    table = pd.DataFrame({"emotion": NAMES, "split_half": half, "all_stories": half + 0.1})
    return reliability_dots(table.assign(**ends), WHERE)


def words() -> Figure:
    return word_map(rng.normal(size=(N, N)), NAMES, "of itself", WHERE, "valence")


def drift() -> Figure:
    return drift_map(rng.normal(size=(N, N)), NAMES, NAMES, WHERE, "valence")


def own_words() -> Figure:
    ranks = rng.integers(1, N, N)
    table = pd.DataFrame({"emotion": NAMES, "valence": VALENCE})
    for who in ("self", "other"):
        table = table.assign(**{f"value_{who}": VALUES, f"rank_{who}": ranks})
    rows = pd.DataFrame({"asked": "self", "statistic": ["value", "rank"]})
    return self_report(table, rows.assign(isotropic_low=-0.1, isotropic_high=[0.1, 80.0]), WHERE)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("draw", [correlations, steering, reliability, words, drift, own_words])
def test_nothing_overlaps(draw: Callable[[], Figure]) -> None:
    with styled():
        assert faults(draw()) == []
