"""The comparison of saved runs: the same geometry is found, another is not, mistakes are one
line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoexp.compare import main
from emoexp.compare.layout import shown
from emoexp.errors import EmoexpError
from emoexp.geometry.between import BEST, SAME_DEPTH, TWO_THIRDS_DEPTH, compare, same_depth
from emoexp.geometry.cosines import FILE, Cosines, save_cosines
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus
from emoexp.vectors.extraction import extract
from emoexp.vectors.vectors import fit_vectors
from tests.helpers.records import saved

NAMES = tuple(f"e{i}" for i in range(14))
ADVICE = "run python -m emoexp experiment=geometry with this model first, which writes it"


def geometry(
    layers: int, seed: int, *, shared: int | None = 1, model: str = "one", names: int = 14
) -> Cosines:
    """Vectors that are near those of the seed `shared` in the middle of the depth, and noise at its
    ends."""
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(seed if shared is None else shared)
    core, matrices = own.standard_normal((14, 40))[:names], []
    for layer in range(layers):
        depth = (layer + 1) / layers
        noise = 0.3 + 4 * abs(depth - 0.5)
        x = core + noise * rng.standard_normal((names, 40))
        x -= x.mean(0)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        matrices.append(x @ x.T)
    identity = {"model": {"files": model, "dtype": "float32"}, "corpus": "c0", "stories": None}
    return Cosines(NAMES[:names], tuple(range(layers)), np.array(matrices), layers, model, identity)


def run_of(folder: Path, cosines: Cosines) -> Path:
    """A saved run of experiment=geometry."""
    saved(folder, {}, experiment="geometry", model=cosines.model)
    save_cosines(folder / FILE, cosines)
    return folder


def test_layers_of_one_geometry_are_found_at_their_depth() -> None:
    found = compare(geometry(8, 0), geometry(6, 5, model="two"), draws=200, seed=0)
    assert len(found.layers) == 48
    summary = found.summary.set_index("pair")
    best = summary.loc[BEST]
    assert best["rho"] == found.layers["rho"].max()
    at_best = found.layers.loc[found.layers["rho"].idxmax()]
    assert (best["layer_a"], best["layer_b"]) == (at_best["layer_a"], at_best["layer_b"])
    assert 0.3 < at_best["depth_a"] < 0.7
    assert 0.3 < at_best["depth_b"] < 0.7
    assert best["p"] == pytest.approx(1 / 201)
    assert best["rho"] > best["null_high"]
    assert best["low"] < best["rho"] < best["high"]
    fixed = summary.loc[TWO_THIRDS_DEPTH]
    assert (fixed["layer_a"], fixed["layer_b"]) == (5, 4), "as layer=auto"
    mean = found.layers["rho"][found.layers["same_depth"]].mean()
    assert summary.loc[SAME_DEPTH, "rho"] == pytest.approx(mean)
    assert found.layers["same_depth"].sum() == 6
    assert np.isnan(summary.loc[SAME_DEPTH, "layer_a"])
    assert (found.summary["n"] == 14).all()


def test_the_best_of_many_pairs_of_unrelated_runs_is_within_its_null() -> None:
    """A null of single pairs would call the best one beyond chance most times."""
    p, single = [], []
    for seed in range(25):
        a, b = geometry(6, seed, shared=None), geometry(6, seed + 100, shared=None)
        found = compare(a, b, draws=99, seed=seed).summary.set_index("pair")
        p.append(found.loc[BEST, "p"])
        single.append(found.loc[BEST, "rho"] > found.loc[TWO_THIRDS_DEPTH, "null_high"])
    assert np.mean(np.array(p) <= 0.05) <= 0.17
    assert np.mean(single) > 0.15, "2.5 % of single pairs would be"


def test_same_depth_pairs_the_fewer_layers_with_the_nearest() -> None:
    here, there = same_depth(np.arange(1, 4) / 3, np.arange(1, 7) / 6)
    assert list(zip(here, there, strict=True)) == [(0, 1), (1, 3), (2, 5)]
    there, here = same_depth(np.arange(1, 7) / 6, np.arange(1, 4) / 3)
    assert list(zip(here, there, strict=True)) == [(0, 1), (1, 3), (2, 5)]
    assert shown(np.arange(1, 31) / 30) == [2, 5, 8, 11, 14, 17, 20, 23, 26, 29]
    assert shown(np.arange(1, 5) / 4) == [0, 1, 2, 3]


def model_geometry(
    model: SubjectModel, corpus: Corpus, store: Path, name: str, stories: int
) -> Cosines:
    """The geometry of a model, as the experiment saves it."""
    names = tuple(corpus.by_emotion)[:10]
    means = extract(model, corpus, names, Artifacts(store), stories)
    layers = range(model.n_layers)
    vectors = [fit_vectors(means, layer).directions for layer in layers]
    matrices = np.array([v @ v.T for v in vectors])
    return Cosines(names, tuple(layers), matrices, model.n_layers, name, means.identity)


def test_the_command_on_runs_of_a_model(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (
        run_of(tmp_path / name, model_geometry(tiny, corpus, tmp_path / "store", "tiny", stories))
        for name, stories in (("a", 8), ("b", 16))
    )
    main([str(a), str(b), "--out", str(tmp_path / "out"), "--draws", "100"])
    shown_text = capsys.readouterr().out
    for text in (
        "tiny, per emotion 8",
        "tiny, per emotion 16",
        "10 common emotions",
        BEST,
        "note:",
    ):
        assert text in shown_text
    assert "both read the same stories" in shown_text
    layers = pd.read_csv(tmp_path / "out" / "similarity.csv")
    assert len(layers) == 25
    assert layers["run_a"].unique().tolist() == ["tiny, per emotion 8"]
    summary = pd.read_csv(tmp_path / "out" / "similarity_summary.csv")
    assert summary["pair"].tolist() == [BEST, TWO_THIRDS_DEPTH, SAME_DEPTH]
    assert summary["rho"].min() > 0.3, "half of the stories are the same"
    assert (tmp_path / "out" / "similarity.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_gives_every_pair_and_one_measurement_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, layers, seed in (("one", 4, 0), ("two", 5, 1), ("three", 6, 2)):
        for layer in (1, 2):
            folder = tmp_path / "sweep" / f"model={model}" / f"layer={layer}"
            run_of(folder, geometry(layers, seed, model=model))
    main([str(tmp_path / "sweep"), "--draws", "100"])
    layers = pd.read_csv(tmp_path / "sweep" / "similarity.csv")
    pairs = layers[["run_a", "run_b"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["one", "three"], ["one", "two"], ["three", "two"]]
    assert len(list((tmp_path / "sweep").glob("similarity_?_*.png"))) == 3
    assert "written:" in capsys.readouterr().out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(run_of(tmp_path / "good", geometry(4, 0)))
    saved(tmp_path / "other", {}, experiment="reliability")
    (tmp_path / "empty").mkdir()
    few = str(run_of(tmp_path / "few", geometry(4, 1, model="two", names=5)))
    broken = run_of(tmp_path / "broken", geometry(4, 1))
    (broken / FILE).write_bytes(b"no")
    for arguments, wanted in (
        ([], "the following arguments are required: RUN"),
        ([good, str(tmp_path / "nowhere")], "nowhere is not a directory"),
        ([good, str(tmp_path / "empty")], "no result.json below"),
        ([good, str(tmp_path / "other")], f"(it is of experiment=reliability): {ADVICE}"),
        ([good], "one geometry and no other to compare it with"),
        ([good, good], "one geometry and no other to compare it with"),
        ([good, few], "one and two have 5 emotion(s) in common, of 14 and 5: at least 6"),
        ([good, str(broken)], FILE),
        ([good, few, "--draws", "5"], "--draws 5 is too few: at least 100"),
        ([good, few, "--draws", "many"], "invalid int value: 'many'"),
    ):
        assert wanted in refused(arguments, capsys)


def test_an_unwritable_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_of(tmp_path / "a", geometry(3, 0))
    b = run_of(tmp_path / "b", geometry(3, 1, model="two"))
    (tmp_path / "file").write_text("")
    main_arguments = [str(a), str(b), "--draws", "100", "--out", str(tmp_path / "file")]
    with pytest.raises(SystemExit):
        main(main_arguments)
    assert "give --out a folder that can be written to" in capsys.readouterr().err


def test_other_corpora_and_emotions_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = geometry(3, 0), geometry(3, 1, names=9)
    second.identity["corpus"] = "c1"
    a, b = run_of(tmp_path / "a", first), run_of(tmp_path / "b", second)
    main([str(a), str(b), "--draws", "100", "--seed", "3"])
    text = capsys.readouterr().out
    assert "the stories differ" in text
    assert "5 emotion(s) that only one of them has are left out" in text
    assert "one, stories c0" in text


def test_a_pair_needs_common_emotions() -> None:
    with pytest.raises(EmoexpError, match=r"5 emotion\(s\) in common"):
        compare(geometry(3, 0), geometry(3, 1, names=5), draws=100, seed=0)
