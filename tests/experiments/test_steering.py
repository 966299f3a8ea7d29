"""What the steering experiment adds, which emotions it takes, and how its controls decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emoexp.errors import NotApplicableError
from emoexp.experiments.implicit import Implicit
from emoexp.experiments.steering import SteeredPreference
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES, SHUFFLED
from emoexp.steering.preference import Preferences
from emoexp.steering.subset import spread
from emoexp.study.experiment import Bootstrap
from emoexp.study.study import SHUFFLES, Study
from emoexp.vectors.controls import direction_rng, shuffled_directions
from emoexp.vectors.extraction import load_groups
from emoexp.vectors.vectors import NEUTRAL_VARIANCE, neutral_components
from tests.helpers.studies import composed


def study(store: Path, *overrides: str) -> Study:
    return composed("steering", store, *overrides)


def test_every_direction_is_added_at_strength_times_the_residual_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emotions and controls alike, at each layer of the band: else the effect ratio compares sizes,
    not directions."""
    seen: dict[str, Any] = {}

    def capture(
        self: Preferences,
        artifacts: Any,
        baseline: np.ndarray,
        span: Any,
        band: tuple[int, ...],
        vectors: np.ndarray,
    ) -> np.ndarray:
        seen.update(band=band, vectors=vectors)
        return np.repeat(baseline[None], len(vectors), 0)

    monkeypatch.setattr(Preferences, "steer", capture)
    here = study(
        tmp_path,
        "layer=4",
        "experiment.band=[3,4]",
        "experiment.strength=0.3",
        "experiment.n_emotions=5",
    )
    table = here.config.experiment.measure(here)["steering"]
    assert seen["band"] == (3, 4)
    norms = np.linalg.norm(seen["vectors"], axis=2)
    wanted = [0.3 * here.vectors_at(layer).residual_norm for layer in (3, 4)]
    np.testing.assert_allclose(norms, np.tile(wanted, (len(norms), 1)), rtol=1e-6)
    assert wanted[0] != pytest.approx(wanted[1]), "each layer has its own norm"
    assert list(table["set"].unique()) == [EMOTIONS, ISOTROPIC, MIXTURES, SHUFFLED]
    assert {"blissful", "hostile"} <= set(table["direction"])
    assert (table["delta_elo"] == 0).all(), "unchanged margins are a delta of exactly zero"


def test_the_last_block_is_refused(tmp_path: Path) -> None:
    here = study(tmp_path, "layer=7")
    with pytest.raises(NotApplicableError, match="cannot reach the answer"):
        here.config.experiment.measure(here)


def test_emotions_are_spread_over_the_range_and_exemplars_are_never_replaced() -> None:
    """The top |r| would leave out the middle and inflate V10; a missing exemplar must not become
    another emotion."""
    names = tuple(f"e{i}" for i in range(50))
    r = np.random.default_rng(0).permutation(np.linspace(-0.8, 0.8, 50))
    chosen = spread(r, names, 10, ["e7", "e23"])
    assert {"e7", "e23"} <= set(chosen)
    picked = np.sort([r[names.index(e)] for e in chosen if e not in ("e7", "e23")])
    assert np.diff(picked).max() < 0.4
    assert np.abs(picked).min() < 0.15, "the middle of the range is there"
    assert spread(r, names, 99, []) == names


def table_of(emotion_scale: float, random_scale: float) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for name, scale in (
        (EMOTIONS, emotion_scale),
        (ISOTROPIC, random_scale),
        (MIXTURES, random_scale),
    ):
        r = rng.uniform(-0.8, 0.8, 24)
        delta = scale * r + 0.05 * scale * rng.standard_normal(24)
        parts.append(
            pd.DataFrame(
                {
                    "set": name,
                    "direction": [f"{name} {i}" for i in range(24)],
                    "r": r,
                    "delta_elo": delta,
                    "delta_bradley_terry": delta,
                    "valence": 1.0,
                    "exemplar": False,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("emotion", "random", "informative"),
    [(100.0, 10.0, True), (100.0, 100.0, False), (0.5, 0.05, False)],
    ids=["larger than noise", "as large as noise", "larger than noise, and next to nothing"],
)
def test_a_perfect_correlation_is_informative_only_by_its_size(
    emotion: float, random: float, informative: bool
) -> None:
    tables = {"steering": table_of(emotion, random)}
    result = SteeredPreference().judge(tables, Bootstrap(draws=200))
    assert all(v.passed for v in result.verdicts)
    assert [v.informative for v in result.verdicts] == [informative, informative]


def test_shuffled_labels_are_shuffled_alike_at_each_layer_of_a_band(tmp_path: Path) -> None:
    """The emotion of each shuffled group is the same at every layer, so the vectors of a draw at
    two layers are of the same stories; another seed shuffles otherwise."""
    here = study(tmp_path, "layer=4", "seed=1")
    lower, own = here.shuffled_by_layer((3, 4)) or []
    assert own is here.shuffled
    groups = {layer: load_groups(here.means, here.artifacts, layer) for layer in (3, 4)}
    again = direction_rng(1, 4, here.model.identity, SHUFFLES)
    components = neutral_components(here.means.neutral[:, 3], NEUTRAL_VARIANCE)
    wanted = shuffled_directions(groups[3], components, len(lower), again)
    assert np.array_equal(lower, wanted)
    other = Study.of(replace(here.config, seed=2), first=here)
    assert not np.allclose(other.shuffled_at(3), lower)


def test_vectors_from_a_file_have_no_shuffled_labels_and_the_result_says_so(
    tmp_path: Path,
) -> None:
    here = study(tmp_path, "layer=4")
    here.vectors.save(path := tmp_path / "mine.safetensors")
    there = study(tmp_path, "layer=4", f"vectors={path}")
    result = Implicit().run(there)
    assert SHUFFLED not in set(result.tables["nulls"]["null"])
    assert "not measured: shuffled labels, since vectors= holds no stories" in result.notes
    assert SHUFFLED in set(Implicit().run(here).tables["nulls"]["null"])


def test_the_neutral_components_of_a_layer_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, computed = study(tmp_path, "layer=4"), []

    def count(neutral: np.ndarray, variance: float) -> np.ndarray:
        computed.append(variance)
        return neutral_components(neutral, variance)

    monkeypatch.setattr("emoexp.vectors.vectors.neutral_components", count)
    assert here.vectors.n_neutral_components > 0 and here.shuffled is not None
    assert computed == [NEUTRAL_VARIANCE]
    here.vectors_at(3)
    assert computed == [NEUTRAL_VARIANCE] * 2, "each layer has its own"
