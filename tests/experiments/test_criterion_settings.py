"""A setting other than the published one is another measurement, and is called so everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.experiments.correlation import Correlation
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.stats.criteria import EXTREMES, LENS_TOP
from emoexp.store.record import save_tables
from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.study.study import Study
from tests.experiments.test_steering import study
from tests.helpers.records import record


def organism(folder: Path) -> Study:
    """The organism at layer 4, with Elos that nothing was asked for."""
    made = study(folder, "layer=4")
    activities = len(made.stimuli.activities)
    vars(made)["baseline_elo"] = np.random.default_rng(0).normal(1500, 100, activities)
    return made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return organism(tmp_path_factory.mktemp("settings"))


def named(result: Result) -> list[str]:
    """What the measurements at other settings are called."""
    return list(result.tables[OTHER_SETTINGS]["measurement"])


@pytest.mark.parametrize("strong", [0.5, 0.7000001])
def test_numbers_above_another_limit(here: Study, strong: float) -> None:
    result = Numeric(strong=strong).run(here)
    assert [v.id for v in result.verdicts] == ["V5"]
    assert named(result) == [f"numbers: |Spearman| > {strong}"]
    counts = [name for name in result.metrics if name.startswith("V5")]
    assert counts == [f"V5_and_above_{strong}"], "strong is 0.7 and nothing else"


def test_the_published_settings_have_their_names(here: Study) -> None:
    result = Numeric().run(here)
    assert [v.id for v in result.verdicts] == ["V5", "V6"]
    assert OTHER_SETTINGS not in result.tables
    assert [name for name in result.metrics if name.startswith("V5")] == ["V5_and_strong"]


def test_correlations_at_other_settings(here: Study) -> None:
    result = Correlation(least=0.3000001, extremes=5).run(here)
    assert result.verdicts == []
    assert named(result) == [
        "5 highest and 5 lowest correlations of the right valence, the smaller",
        "emotions with |r| > 0.3000001",
    ]
    rows = result.tables[OTHER_SETTINGS]
    assert np.isfinite(rows[["value", "ci_low", "ci_high", "null_low", "null_high"]]).all(axis=None)
    assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for _, row in rows.iterrows())


def test_what_could_not_be_measured_is_not_called_v8(here: Study) -> None:
    notes = [n for n in Correlation(extremes=33).run(here).notes if n.startswith("not measured")]
    assert len(notes) == 1
    assert "V8" not in notes[0]
    assert notes[0].startswith("not measured: 33 highest and 33 lowest correlations")
    assert "needs 66 emotions" in notes[0]
    assert EXTREMES != 33


def test_a_top_of_the_whole_vocabulary_is_refused(here: Study) -> None:
    vocabulary = here.model.unembed(here.vectors.directions[:1]).shape[1]
    with pytest.raises(EmoexpError, match=f"the vocabulary has {vocabulary} tokens") as error:
        LogitLens(top=vocabulary).run(here)
    assert f"V1's is {LENS_TOP}" in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_of_it_is_saved_twice(here: Study, tmp_path: Path) -> None:
    result = Numeric(strong=0.5).run(here)
    result.merge(LogitLens(top=5).run(here))
    assert named(result) == ["numbers: |Spearman| > 0.5", "own word in top 5 of the lens"]
    save_tables(record(), result.tables, tmp_path)
    assert len((tmp_path / f"{OTHER_SETTINGS}.csv").read_text().splitlines()) == 3
