"""The experiment: its tables and notes on the bundled organism, its views, and mistakes as one
line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emoexp.errors import EmoexpError
from emoexp.experiments import EXPERIMENTS
from emoexp.experiments.geometry import Geometry
from emoexp.geometry.cosines import load_cosines
from emoexp.geometry.findings import axis_note, carriers, metrics, notes
from emoexp.models.subject import SubjectModel
from emoexp.study.experiment import Bootstrap
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.views.terminal import tables_of
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import saved
from tests.helpers.studies import composed

EMOTIONS = (
    *("happy", "joyful", "excited", "proud", "loving", "calm"),
    *("angry", "furious", "panicked", "sad", "lonely", "guilty"),
)
NAMED = f"emotions.names=[{','.join(EMOTIONS)}]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("geometry")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    settings = (
        "experiment.layers=[1,6]",
        "experiment.umap=false",
        "scale.stories_per_emotion=8",
        "layer=4",
    )
    return composed("geometry", folder / "store", NAMED, *settings, run_dir=folder / "run")


@pytest.fixture(scope="module")
def result(study: Study) -> Result:
    found: Result = study.config.experiment.run(study)
    return found


def test_tables_are_of_the_asked_layers_and_the_runs_own(result: Result) -> None:
    columns = {
        "layers": ["layer", "depth", "of_run"],
        "components": ["layer", "depth", "component", "share", "shuffled_low", "shuffled_high"],
        "component_ends": ["layer", "component", "end", "rank", "emotion", "score"],
        "axis_components": ["layer", "axis", "component", "r"],
    }
    for name, wanted in columns.items():
        assert result.tables[name].columns.tolist() == wanted
    for name in (*columns, "axes", "pairs", "sanity_pairs"):
        assert sorted(set(result.tables[name]["layer"])) == [1, 4, 6]
        assert not result.tables[name].isna().any().any()
    assert result.tables["layers"]["of_run"].tolist() == [False, True, False]
    assert result.tables["layers"]["depth"].tolist() == [0.25, 0.625, 0.875]
    assert result.tables["cosines"].columns.tolist() == ["emotion", *EMOTIONS]
    assert len(result.tables["pairs"]) == 3 * 2 * 10
    assert len(result.tables["sanity_pairs"]) == 3 * 4, "disgusted is not in the set"


def test_the_organism_has_valence_on_its_first_component(result: Result) -> None:
    """It was trained on stories of which valence decides much."""
    best = result.tables["axes"]
    assert best["component"].tolist() == [1, 1, 1]
    assert (best["p"] < 0.05).all()
    here = best[best["layer"] == 4].iloc[0]
    assert result.metrics["valence_r"] == here["r"]
    assert result.metrics["valence_component"] == 1
    coordinates = result.tables["coordinates"].set_index("emotion")
    assert coordinates["valence"].to_dict() == {
        e: 1 if e in ("happy", "joyful", "calm", "loving", "excited", "proud") else -1
        for e in EMOTIONS
    }
    assert np.corrcoef(coordinates["x"], coordinates["valence"])[0, 1] == pytest.approx(here["r"])


def test_the_file_of_cosines_is_of_all_layers(result: Result, study: Study, folder: Path) -> None:
    found = load_cosines(folder / "run" / "cosines.safetensors")
    assert (found.names, found.layers, found.n_layers) == (EMOTIONS, (1, 4, 6), 8)
    assert found.model == "organism"
    assert found.identity["corpus"] == study.corpus.sha256
    assert found.identity["model"] == study.model.identity
    assert found.identity["stories"] == 8
    table = result.tables["cosines"][list(EMOTIONS)].to_numpy()
    np.testing.assert_allclose(found.matrices[1], table, atol=1e-6)
    directions = study.vectors_at(6).directions
    np.testing.assert_allclose(found.matrices[2], directions @ directions.T, atol=1e-6)
    assert (folder / "run" / "vectors.safetensors").exists()


def test_shuffles_are_those_of_the_other_experiments(result: Result, study: Study) -> None:
    one = study.shuffled_at(1)
    i, j = EMOTIONS.index("happy"), EMOTIONS.index("joyful")
    cosines = (one[:, i] * one[:, j]).sum(1)
    pairs = result.tables["sanity_pairs"]
    row = pairs[(pairs["layer"] == 1) & (pairs["b"] == "joyful")].iloc[0]
    np.testing.assert_allclose(
        [row["shuffled_low"], row["shuffled_high"]], np.quantile(cosines, [0.025, 0.975])
    )


def test_notes_say_what_the_layers_show_and_what_is_not_measured(result: Result) -> None:
    text = "\n".join(result.notes)
    assert "valence (signs of the pack, n = 12): PC1 carries it at 3 of 3 layers" in text
    assert "arousal is not measured: what gives valence says nothing about it" in text
    assert "angry/furious 3 (3)" in text
    assert "not among the 12 of this run: loving/disgusted" in text
    assert "average about -1/11 = -0.091" in text
    assert all(np.isfinite(x) for x in result.metrics.values())
    assert result.metrics["sanity_pairs_measured"] == 4


def test_judging_saved_tables_again_gives_the_same(
    result: Result, study: Study, tmp_path: Path
) -> None:
    run = saved(tmp_path, result.tables, experiment="geometry", layer=4)
    again = Geometry(umap=False).judge({name: run.table(name) for name in run.names}, Bootstrap())
    assert again.notes == result.notes
    assert again.metrics == result.metrics


def test_the_terminal_shows_the_run_layer(result: Result, tmp_path: Path) -> None:
    tables = dict(tables_of(saved(tmp_path, result.tables, experiment="geometry", layer=4)))
    assert tables["principal components"].columns.tolist() == [
        *("layer", "depth", "PC1", "PC2", "PC3", "top 5", "PC1, shuffled labels")
    ]
    assert tables["principal components"]["depth"].tolist() == ["25%", "62%", "88%"]
    assert len(tables["axes"]) == 3
    assert len(tables["sanity pairs"]) == 4
    assert len(tables["nearest pairs"]) == len(tables["most opposed pairs"]) == 10
    assert tables["ends of the components"]["emotions"].str.count(",").tolist() == [4] * 6


def test_clusters_similarity_and_held_out_accuracy_are_measured_too(
    result: Result, tmp_path: Path
) -> None:
    tables = result.tables
    assert tables["held_out_by_layer"]["layer"].tolist() == [1, 4, 6]
    assert (tables["held_out_by_layer"]["top1"] > 0.5).all()
    assert len(tables["held_out"]) == 3 * 12
    assert len(tables["layer_similarity"]) == 9
    assert len(tables["clusters"]) == 12
    assert tables["cluster_agreement"]["ari"].isna().all(), "the pack has no clusters"
    assert {"held_out_auc", "kmeans_k", "hierarchical_silhouette"} <= set(result.metrics)
    text = "\n".join(result.notes)
    assert "held-out stories: top 1 beyond the range of shuffled labels at 3 of 3 layers" in text
    assert "k-means: 4 clusters and not 10, since 12 emotions are fewer than 3 per cluster" in text
    assert "agreement with the pack's clusters is not measured" in text
    assert "similarity of layers: rho of neighbours" in text
    run = saved(tmp_path, tables, experiment="geometry", layer=4)
    check_run_is_shown_whole(run)
    shown = dict(tables_of(run))
    assert len(shown["held-out stories"]) == 3
    emotions = shown["clusters of the hierarchy"]["emotions"].str.split(", ").sum()
    assert sorted(emotions) == sorted(EMOTIONS)
    assert len(shown["agreement with the pack's clusters"]) == 3


def axes_of(*rows: tuple[int, str, int, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["layer", "axis", "component", "r", "p"])
    return table.assign(n=44, source="norms")


def test_an_axis_is_told_by_component_with_its_shares() -> None:
    table = axes_of(
        (0, "valence", 1, 0.8, 0.01), (1, "valence", 1, 0.7, 0.2), (2, "valence", 1, 0.6, 0.04),
        (3, "valence", 4, 0.6, 0.04), (0, "arousal", 3, 0.6, 0.04), (1, "arousal", 3, 0.2, 0.9),
    )  # fmt: skip
    assert carriers(table, "valence").to_dict() == {0: 1, 1: 0, 2: 1, 3: 4}
    shares = pd.DataFrame({"layer": range(4), "component": 1, "share": [0.4, 0.9, 0.3, 0.8]})
    tables = {"axes": table, "components": shares}
    text = axis_note(tables, "valence")
    assert "valence (norms, n = 44): PC1 carries it at 2 of 4 layers" in text
    assert "|r| 0.60 to 0.80, with shares of the variance of 0.30 to 0.40" in text
    assert "; PC4 at 1; none of the five at 1; gemotions" in text
    text = axis_note(tables, "arousal")
    assert "PC2 carries it at 0 of 2 layers" in text
    assert "; PC3 at 1; none of the five at 1; the paper" in text


def test_without_signs_and_without_sanity_pairs_the_rest_is_measured(
    tiny: SubjectModel, study: Study, tmp_path: Path
) -> None:
    """Emotions of a corpus that no pack rates."""
    some = ("proud", "guilty", "lonely")
    config = replace(
        study.config, run_dir=str(tmp_path), experiment=Geometry(layers=[2], pairs=9, umap=False)
    )
    other = Study.of(
        config,
        model=study.model,
        corpus=study.corpus,
        emotions=some,
        stimuli=replace(study.stimuli, valence={"proud": 1.0}),
    )
    found = config.experiment.run(other)
    assert found.tables["axes"].empty
    assert found.tables["sanity_pairs"].empty
    assert len(found.tables["pairs"]) == 2 * 2 * 3, "three pairs in all"
    text = "\n".join(found.notes)
    assert "valence is not measured: the pack has no two signs, or the sign of fewer than 3" in text
    assert "sanity pairs not measured" in text
    run = saved(tmp_path, found.tables, experiment="geometry", layer=4)
    tables = {name: run.table(name) for name in run.names}
    assert found.notes[: len(notes(tables))] == notes(tables)
    assert metrics(tables).items() <= found.metrics.items()
    assert "layer_similarity" not in tables
    assert "similarity of layers is not measured: it takes at least 6 emotions" in text
    assert {title: len(t) for title, t in tables_of(run)}["axes"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": []}, r"experiment.layers=\[\]: at least one number, each once"),
        ({"layers": [2, 2]}, r"experiment.layers=\[2,2\]: at least one number, each once"),
        ({"pairs": 0}, "experiment.pairs=0: must be"),
        ({"resamples": 20}, "experiment.resamples=20: must be at least 100"),
        ({"splits": 0}, "experiment.splits=0: must be at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EmoexpError, match=message):
        Geometry(**settings)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment.layers=[1,8]"], "layer=8 is out of range: the model has 8 blocks, 0 to 7"),
        (["vectors=some.safetensors"], "vectors: this experiment does not read it"),
        (["emotions.names=[happy,sad]"], r"emotions.names has 2 emotion\(s\): at least 3"),
        (["emotions.norms=none.csv"], "emotions.norms=none.csv cannot be read"),
    ],
)
def test_a_mistake_is_one_line_before_stories_are_read(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    wrong = composed("geometry", tmp_path, *overrides)
    with pytest.raises(EmoexpError, match=message) as caught:
        wrong.config.experiment.check(wrong)
        wrong.config.experiment.run(wrong)
    assert "\n" not in str(caught.value)
    assert not wrong.used("means")
    assert EXPERIMENTS["geometry"] is Geometry
