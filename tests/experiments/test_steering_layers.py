"""A band of layers: checked against the layer that r is read at, and named in what is reported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emoexp.config import SpanConfig
from emoexp.errors import EmoexpError
from emoexp.experiments.steering import SteeredPreference
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES
from emoexp.steering.sets import reaching_layers
from emoexp.study.experiment import Bootstrap
from emoexp.study.result import Result
from tests.helpers.records import drawn, saved


def at(layer: int, model: Any = None) -> Any:
    """A study that knows its layer and its model, and has nothing to compute with."""
    model = model or SimpleNamespace(check_layers=lambda layers: None, last_steerable_layer=6)
    return SimpleNamespace(layer=layer, model=model)


def made_up() -> pd.DataFrame:
    """Changes of Elo that follow r."""
    rng, names = np.random.default_rng(0), (EMOTIONS, ISOTROPIC, MIXTURES)
    r = np.concatenate([np.linspace(-0.9, 0.9, 12), rng.normal(0, 0.1, 24)])
    delta = 40 * r + np.concatenate([np.zeros(12), rng.normal(0, 3, 24)])
    return pd.DataFrame(
        {
            "set": np.repeat(names, 12),
            "direction": [f"d{k}" for k in range(36)],
            "r": r,
            "delta_elo": delta,
            "delta_bradley_terry": delta,
            "valence": np.nan,
            "exemplar": False,
        }
    )


def judged(band: list[int] | None, layer: int = 4) -> Result:
    """What is reported of them."""
    experiment, study = SteeredPreference(band=band), at(layer)
    study.config = SimpleNamespace(span=SpanConfig())
    result = experiment.judge({"steering": made_up()}, Bootstrap(draws=100))
    result.notes += experiment.remarks(study, result)
    return result


def title(band: list[int] | None, folder: Path) -> str:
    """Of the figure of a saved run."""
    tables = {"steering": made_up(), **judged(band).tables}
    settings = {"strength": 0.5, "band": band}
    run = saved(folder, tables, experiment="steering", settings=settings)
    return drawn(run)["steering"].get_suptitle().replace("\n", " ")


@pytest.mark.parametrize(("band", "layers"), [([2, 3], "2, 3"), ([3, 2], "2, 3"), ([1], "1")])
def test_a_band_without_the_layer_is_refused_before_anything(
    band: list[int], layers: str, tiny: SubjectModel
) -> None:
    study = at(4, tiny)
    with pytest.raises(EmoexpError, match=r"leaves out layer=4, at which r is read") as error:
        SteeredPreference(band=band).measure(study)
    assert str(error.value).startswith(f"experiment.band={sorted(band)}")
    assert f"set layer to one of {layers}, or add 4 to the band" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unsorted_band_is_sorted(tiny: SubjectModel) -> None:
    assert reaching_layers(tiny, [3, 1, 2], 2) == (1, 2, 3)
    assert reaching_layers(tiny, None, 2) == (2,)


def test_a_band_is_named_in_the_figure_and_in_a_note(tmp_path: Path) -> None:
    result = judged([4, 3])
    assert "layers 3, 4 together, r at layer 4" in title([4, 3], tmp_path)
    assert result.notes == ["steered at layers 3, 4 together, r at layer 4"]


@pytest.mark.parametrize("band", [None, [4]])
def test_one_layer_is_no_band(band: list[int] | None, tmp_path: Path) -> None:
    result = judged(band)
    assert "layer 4, span" in title(band, tmp_path)
    assert "together" not in title(band, tmp_path)
    assert result.notes == []
