"""Numbers that were silently wrong once: each test fails on the code before it was mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from emoexp.blackmail.rates import ReplyCount, finding
from emoexp.errors import EmoexpError
from emoexp.experiments.blackmail import Blackmail
from emoexp.experiments.correlation import Correlation
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.experiments.steering import SteeredPreference
from emoexp.organism import training
from emoexp.organism.training import generator_hash
from emoexp.places import WORLD
from emoexp.stats.criteria import GAP_FLOOR, Measurement, judge
from emoexp.stats.intervals import Interval, wilson, wilson_share
from emoexp.stats.own_probe import own_ranks
from emoexp.store.artifacts import array_key
from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.vectors.controls import direction_rng, isotropic_directions
from emoexp.vectors.lens import rank_of, within_top
from emoexp.vectors.vectors import EmotionVectors
from tests.helpers.command import emoexp

IDENTITY = {"model": {"repo_id": "m"}, "corpus": "c", "emotions": ["happy", "sad"]}


# 2: the layer at which r is read


def test_a_band_without_the_layer_is_refused(tmp_path: Path) -> None:
    found = emoexp(
        "experiment=steering",
        "layer=5",
        "experiment.band=[2,3]",
        "scale=smoke",
        "emotions=core12",
        cwd=tmp_path,
    )
    assert found.returncode == 2
    assert "experiment.band=[2, 3] leaves out layer=5" in found.stderr
    assert found.stderr.count("\n") == 1 or "preferences" not in found.stderr


@pytest.mark.parametrize("band", [[], [3, 3]])
def test_a_band_names_each_layer_once(band: list[int]) -> None:
    for make in (SteeredPreference, Blackmail):
        with pytest.raises(EmoexpError, match="each once"):
            make(band=band)


# 3: a checkpoint is of one generator


def test_editing_the_generator_changes_its_hash(tmp_path: Path) -> None:
    package = tmp_path / "organism"
    shutil.copytree(Path(training.__file__).parent, package)
    world = tmp_path / "world"
    shutil.copytree(WORLD, world)
    before = generator_hash(package, world)
    assert before == generator_hash()
    grammar = world / "grammar.yaml"
    grammar.write_text(grammar.read_text() + "\n")
    after = generator_hash(package, world)
    assert after != before
    source = package / "corpus.py"
    source.write_text(source.read_text() + "\n")
    assert generator_hash(package, world) not in (before, after)


def test_the_recipe_of_a_training_holds_the_generator(tmp_path: Path) -> None:
    found = emoexp(
        "experiment=train_organism",
        "experiment.policy=untrained",
        "experiment.output=out",
        "experiment.tokenizer_documents=300",
        "experiment.vocab_size=400",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    recipe = json.loads((tmp_path / "out" / "training.json").read_text())
    assert recipe["generator"] == generator_hash()


# 4: counts out of n


@pytest.mark.parametrize(("hits", "n"), [(12, 12), (5, 5), (3, 3), (0, 24), (7, 24)])
def test_a_count_has_an_interval_with_width(hits: int, n: int) -> None:
    low, high = wilson(hits, n)
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((theirs.low * n, theirs.high * n))
    assert high - low > 0.5
    assert wilson_share(hits, n) == pytest.approx((low / n, high / n))


# 5: keys


def test_keys_of_arrays_do_not_depend_on_the_last_bits() -> None:
    rng = np.random.default_rng(0)
    for array in (rng.standard_normal((3, 2, 64)), np.eye(4), np.full((2, 2), 0.1)):
        noise = 1 + 1e-13 * rng.standard_normal(array.shape)
        assert array_key(array) == array_key(array * noise)
        assert array_key(array) != array_key(array * (1 + 1e-3))
    assert array_key(np.array([0.0, 1.0])) == array_key(np.array([-0.0, 1.0]))
    assert array_key(np.ones((2, 3))) != array_key(np.ones((3, 2)))
    assert array_key(np.array([0.99999999999999])) == array_key(np.array([1.0]))
    assert array_key(np.zeros(3)) == array_key(-np.zeros(3))
    with pytest.raises(EmoexpError, match="is NaN or too large for float32"):
        array_key(np.array([np.nan]))


# 6: settings and labels


def measurement(identifier: str, value: float = 3.0, **changes: object) -> Measurement:
    values = {
        "n": 12,
        "interval": Interval(1, 5),
        "nulls": {"isotropic random": Interval(0, 2)},
    } | changes
    return Measurement(identifier, value, **values)  # type: ignore[arg-type]


def test_another_setting_gets_a_row_and_no_verdict() -> None:
    result = Result()
    result.judge(measurement("V3"))
    result.judge(measurement("V1"), "own word in top 5 of the lens")
    assert [v.id for v in result.verdicts] == ["V3"]
    row = result.tables[OTHER_SETTINGS].iloc[0]
    assert row["measurement"] == "own word in top 5 of the lens"
    assert (row["value"], row["n"], row["ci_high"], row["null_high"]) == (3, 12, 5, 2)
    assert "without verdict" in result.notes[0]
    other = Result()
    other.judge(measurement("V6"), "numbers: |Spearman| > 0.9")
    result.merge(other)
    assert len(result.tables[OTHER_SETTINGS]) == 2


def test_other_settings_from_the_command_line(tmp_path: Path) -> None:
    found = emoexp(
        "experiment=logit_lens",
        "experiment.top=5",
        "scale=smoke",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [v["id"] for v in record["verdicts"]] == ["V2"]
    assert "own word in top 5 of the lens" in found.stdout
    assert "top 20" not in found.stdout


@pytest.mark.parametrize(
    ("make", "settings", "named"),
    [
        (LogitLens, {"top": 0}, "experiment.top=0"),
        (Numeric, {"strong": 2.0}, "experiment.strong=2"),
        (Numeric, {"strong": float("nan")}, "experiment.strong=nan"),
        (Correlation, {"least": float("nan")}, "experiment.least=nan"),
        (Correlation, {"least": -0.1}, "experiment.least=-0.1"),
        (Correlation, {"extremes": -2}, "experiment.extremes=-2"),
    ],
)
def test_nonsense_settings_are_refused(make: type, settings: dict, named: str) -> None:
    with pytest.raises(EmoexpError, match=named):
        make(**settings)


# 7: vectors from a file, and ties


def saved(folder: Path, directions: np.ndarray, **changes: object) -> Path:
    values = {"names": ("happy", "sad"), "layer": 1, "residual_norm": 2.0} | changes
    vectors = EmotionVectors(
        directions=directions,
        n_neutral_components=0,
        identity=IDENTITY,
        **values,  # type: ignore[arg-type]
    )
    vectors.save(folder / "vectors.safetensors")
    return folder / "vectors.safetensors"


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (np.zeros((2, 4)), "'happy' has norm 0, not 1"),
        (1000 * np.eye(2, 4), "'happy' has norm 1000"),
        (np.array([[1.0, 0, 0, 0], [np.nan, 0, 0, 0]]), "'sad' has norm nan"),
        (np.eye(2, 5), "of width 5, and the model's is 4"),
    ],
)
def test_vectors_from_a_file_are_checked(
    directions: np.ndarray, message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, directions)
    with pytest.raises(EmoexpError, match=message):
        EmotionVectors.read(path).check(path, IDENTITY, 1, 4)


def test_a_residual_norm_from_a_file_is_checked(tmp_path: Path) -> None:
    path = saved(tmp_path, np.eye(2, 4), residual_norm=float("nan"))
    with pytest.raises(EmoexpError, match="residual_norm is nan"):
        EmotionVectors.read(path).check(path, IDENTITY, 1, 4)


def test_vectors_of_other_emotions_are_refused_in_short(tmp_path: Path) -> None:
    path = saved(tmp_path, np.eye(2, 4))
    with pytest.raises(EmoexpError, match=r"vectors of 2 emotions, and this run has 3") as error:
        EmotionVectors.read(path).check(path, IDENTITY | {"emotions": ["a", "b", "c"]}, 1, 4)
    assert len(str(error.value)) < 300


def test_ties_rank_last() -> None:
    assert own_ranks(np.zeros((3, 3))).tolist() == [3, 3, 3]
    assert own_ranks(np.array([[2.0, 1.0], [1.0, 1.0]])).tolist() == [1, 2]
    flat = np.zeros((2, 9))
    assert rank_of(flat[0], [4]) == 8
    for top in (1, 5, 8):
        assert not within_top(flat, [[4]], top).any()
    lens = np.random.default_rng(0).standard_normal((6, 40)).round(1)
    words = [[k] for k in range(9)] + [[1, 2]]
    for top in (1, 3, 20, 39):
        by_rank = [[rank_of(row, ids) < top for ids in words] for row in lens]
        assert within_top(lens, words, top).tolist() == by_rank


# 8: blackmail's rates


def count(hits: int, judged: int, unclear: int = 0, cut: int = 0, broken: int = 0) -> ReplyCount:
    n = judged + unclear + cut + broken
    return ReplyCount(n, {"empty": broken} if broken else {}, hits, hits, unclear, cut)


def test_unclear_and_cut_replies_are_no_harmless_ones() -> None:
    nothing = count(0, 0, unclear=4, cut=6)
    assert nothing.rate is None, "a rate of nothing judged is no rate"
    some = count(20, 40, unclear=10, cut=50)
    assert some.rate is not None
    assert (some.rate.hits, some.rate.n) == (20, 40)
    assert finding(nothing, count(20, 40), count(20, 40), count(20, 40)).startswith("not judged")
    assert "too few judged: 40 of 100" in finding(some, *3 * [count(20, 40)])


def test_a_claim_must_hold_whatever_the_open_replies_would_have_said() -> None:
    base, control = count(10, 100), count(10, 100)
    assert finding(count(80, 100), base, control, control).startswith("raises")
    open_ = count(50, 55, unclear=45)
    assert open_.at_least is not None
    assert open_.at_least.value == 0.5
    assert finding(open_, base, control, control).startswith("raises")
    hidden = count(18, 55, cut=45)
    assert "depends on unclear or cut" in finding(hidden, base, control, control)


@pytest.mark.parametrize("doses", [[0.0], [0.1, 0.1], [float("inf")]])
def test_doses_are_what_is_steered(doses: list[float]) -> None:
    with pytest.raises(EmoexpError, match=r"experiment\.doses"):
        Blackmail(doses=doses)


# 10: the nulls of a sweep


def test_random_directions_differ_by_layer_and_by_model() -> None:
    one, two = {"repo_id": "a", "files": "f"}, {"repo_id": "a", "files": "g"}

    def drawn(seed: int, layer: int, model: dict) -> np.ndarray:
        return isotropic_directions(4, 32, direction_rng(seed, layer, model))

    same = drawn(0, 3, one)
    assert np.array_equal(same, drawn(0, 3, {"repo_id": "elsewhere", "files": "f"}))
    for other in (drawn(0, 4, one), drawn(0, 3, two), drawn(1, 3, one)):
        assert np.abs(same @ other.T).max() < 0.8


@pytest.mark.parametrize(("gap", "wanted"), [(10.6, False), (GAP_FLOOR, True), (58.0, True)])
def test_a_gap_of_a_few_points_says_nothing(gap: float, wanted: bool) -> None:
    verdict = judge(measurement("V7", gap, nulls={"permuted categories": Interval(0, 5)}))
    assert verdict.informative is wanted


def test_a_note_of_two_experiments_stands_once() -> None:
    result, other = Result(notes=["a", "b"]), Result(notes=["b", "c"])
    result.merge(other)
    assert result.notes == ["a", "b", "c"]
