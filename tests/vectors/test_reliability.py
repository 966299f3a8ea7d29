"""How many stories a vector needs: planted signal and noise come back, identical stories agree,
noise is not estimable."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emoexp.config import Config, ScaleConfig
from emoexp.errors import EmoexpError
from emoexp.experiments import EXPERIMENTS
from emoexp.experiments.reliability import Reliability
from emoexp.figures.reliability import reliability_dots, stability_curve
from emoexp.models.subject import SubjectModel
from emoexp.stats.reliability import (
    AT_MOST,
    EXTRAPOLATED,
    MEASURED,
    NOT_ESTIMABLE,
    Splits,
    by_emotion,
    own_half_ranks,
    spearman_brown,
    stability,
    stories_for,
    stories_needed,
)
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus
from emoexp.study.study import Study
from emoexp.vectors.extraction import StoryGroups, extract, load_groups
from emoexp.vectors.reliability import check_groups, curve, draw_parts, split
from emoexp.vectors.vectors import fit_vectors, neutral_components
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import drawn, saved

WIDTH = 300
NOTHING = np.zeros((0, WIDTH))


def planted(
    signal: float, *, emotions: int = 20, counts: np.ndarray | None = None, seed: int = 0
) -> StoryGroups:
    """A direction of power signal^2 for each emotion, and noise of power 1 for each story; groups
    of 3 stories unless told."""
    rng = np.random.default_rng(seed)
    counts = np.full((emotions, 16), 3) if counts is None else counts
    noise = rng.standard_normal((emotions, 16, WIDTH)) / np.sqrt(np.maximum(counts, 1))[:, :, None]
    means = (
        (signal * rng.standard_normal((emotions, 1, WIDTH)) + noise)
        / np.sqrt(WIDTH)
        * (counts > 0)[:, :, None]
    )
    return StoryGroups(tuple(f"e{i}" for i in range(emotions)), means.astype(np.float32), counts, 0)


def expected(signal: float, n: float) -> float:
    return signal**2 / (signal**2 + 1 / n)


@pytest.mark.parametrize("signal", [0.3, 0.7])
def test_planted_signal_and_noise_give_the_expected_curve(signal: float) -> None:
    points = curve(planted(signal), NOTHING, 50, 0)
    assert [p.groups for p in points] == [1, 2, 4, 8]
    for point, n in zip(points, (3, 6, 12, 24), strict=True):
        np.testing.assert_allclose(point.stories, n)
        assert point.own.mean() == pytest.approx(expected(signal, n), abs=0.02)
        assert point.others.mean() == pytest.approx(-expected(signal, n) / 19, abs=0.02), (
            "centring over 20 emotions"
        )
    table = stability(points)
    assert (table["cosine"] - table["spearman_brown"]).abs().max() < 0.02


def test_the_whole_set_is_estimated_and_the_own_half_is_found() -> None:
    groups = planted(0.3)
    table = by_emotion(split(groups, NOTHING, None, 50, 0), groups.emotions, groups.counts)
    assert table["split_half"].mean() == pytest.approx(expected(0.3, 24), abs=0.02)
    assert table["all_stories"].mean() == pytest.approx(expected(0.3, 48), abs=0.02)
    assert (table["identified"] == 1).all()
    assert (table["mean_rank"] == 1).all()
    assert (table["low"] <= table["split_half"]).all()
    assert (table["split_half"] <= table["high"]).all()


def test_stories_needed_are_measured_inside_extrapolated_beyond_and_bounded_below() -> None:
    needed = stories_needed(curve(planted(0.3), NOTHING, 50, 0), [0.1, 0.5, 0.8], 200, 0)
    assert needed["how"].tolist() == [AT_MOST, MEASURED, EXTRAPOLATED]
    assert needed["stories"][0] == 3
    for count, target in zip(needed["stories"][1:], (0.5, 0.8), strict=True):
        assert count == pytest.approx(target / (1 - target) / 0.3**2, rel=0.12)
    assert needed[["low", "high"]].isna().all(axis=1).tolist() == [True, False, False]
    assert needed["low"][2] <= needed["stories"][2] <= needed["high"][2]


def test_stories_are_read_off_by_hand() -> None:
    stories, cosines = np.array([2.0, 4.0, 8.0]), np.array([0.2, 0.4, 0.6])
    assert stories_for(stories, cosines, 0.5) == (6, MEASURED)  # 4 x sqrt(2), rounded up
    assert stories_for(stories, cosines, 0.6) == (8, MEASURED)
    assert stories_for(stories, cosines, 0.2) == (2, AT_MOST)
    assert stories_for(stories, cosines, 0.75) == (16, EXTRAPOLATED)
    with pytest.raises(ValueError, match="not estimable"):
        stories_for(stories, cosines, 0.97)  # 172 stories, beyond 16 x 8
    with pytest.raises(ValueError, match="not estimable"):
        stories_for(stories, -cosines, 0.5)
    assert spearman_brown(0.6, 2) == pytest.approx(0.75)
    for r in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="Spearman-Brown needs"):
            spearman_brown(r, 2)


def test_identical_groups_agree_wholly() -> None:
    groups = planted(1)
    groups = replace(groups, means=np.repeat(groups.means[:, :1], 16, 1))
    points = curve(groups, NOTHING, 20, 0)
    assert all(np.allclose(p.own, 1) for p in points)
    assert stories_needed(points, [0.95], 100, 0)[["stories", "how"]].values.tolist() == [
        [3, AT_MOST]
    ]
    assert by_emotion(points[-1], groups.emotions, groups.counts)[
        "all_stories"
    ].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_about_nothing_and_not_estimable(seed: int) -> None:
    groups = planted(0, seed=seed)
    points = curve(groups, NOTHING, 40, seed)
    assert all(abs(p.own.mean()) < 0.03 for p in points)
    assert own_half_ranks(points[-1].cosines).mean() == pytest.approx(10.5, abs=2)
    needed = stories_needed(points, [0.8, 0.9], 100, 0)
    assert needed["how"].tolist() == [NOT_ESTIMABLE] * 2
    assert needed["stories"].isna().all()
    assert "spearman_brown" not in stability(points)
    table = by_emotion(points[-1], groups.emotions, groups.counts)
    assert table["all_stories"].isna().all()
    assert stability_curve(stability(points), needed, "noise").axes
    assert reliability_dots(table, "noise").axes


def test_parts_are_disjoint_weigh_by_stories_and_share_their_topics() -> None:
    counts = np.array([[2] * 8 + [1] * 8, [3] * 16, [1] * 5 + [0] * 11])
    for m in (1, 2, None):
        first, second = draw_parts(counts, m, np.random.default_rng(3))
        assert not ((first > 0) & (second > 0)).any()
        np.testing.assert_allclose(first.sum(1), 1)
        assert (first > 0).sum(1).tolist() == [m or 8, m or 8, m or 2]
        np.testing.assert_array_equal(first[0] > 0, first[1] > 0)
        for weights, held in zip(first, counts, strict=True):
            np.testing.assert_allclose(weights, held * (weights > 0) / held[weights > 0].sum())
    with pytest.raises(ValueError, match="two disjoint parts of 3 groups cannot be drawn from 5"):
        draw_parts(counts, 3, np.random.default_rng(0))


def test_uneven_groups_still_meet_the_formula() -> None:
    counts = np.tile([2] * 8 + [1] * 8, (20, 1))
    half = split(planted(0.4, counts=counts), NOTHING, None, 50, 0)
    np.testing.assert_allclose(half.stories, 12)
    assert half.own.mean() == pytest.approx(expected(0.4, 12), abs=0.02)


def test_an_emotion_with_few_stories_shortens_the_curve_and_too_few_is_one_line() -> None:
    counts = np.full((20, 16), 3)
    counts[7, 6:] = 0
    groups = planted(0.5, counts=counts)
    assert [p.groups for p in curve(groups, NOTHING, 20, 0)] == [1, 2, 3]
    assert split(groups, NOTHING, None, 20, 0).stories[[0, 7]].tolist() == [24, 9]
    counts[7, 3:] = 0
    with pytest.raises(
        EmoexpError,
        match=(
            r"'e7' has 3 group\(s\) of stories longer than the skip: reliability needs at least 4"
        ),
    ) as caught:
        check_groups(groups)
    assert "\n" not in str(caught.value)
    with pytest.raises(EmoexpError, match="at least 3 emotions"):
        check_groups(planted(1, emotions=2))


def test_neutral_components_are_projected_out_of_both_halves() -> None:
    """A strong nuisance that every story of an emotion shares would look reliable; it is taken out
    before the cosine."""
    groups = planted(0)
    nuisance = np.zeros((1, WIDTH))
    nuisance[0, 0] = 1
    shared = np.random.default_rng(1).standard_normal((20, 1, 1)) * 10 * nuisance
    groups = replace(groups, means=groups.means + shared.astype(np.float32))
    assert split(groups, NOTHING, None, 20, 0).own.mean() > 0.9
    assert abs(split(groups, nuisance, None, 20, 0).own.mean()) < 0.03


def test_all_of_the_groups_give_the_vectors_themselves(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    """The same method: parts that hold all stories of an emotion are what fit_vectors fits."""
    names = tuple(corpus.by_emotion)[:5]
    means = extract(tiny, corpus, names, Artifacts(tmp_path), 8)
    groups = load_groups(means, Artifacts(tmp_path), 2)
    doubled = StoryGroups(
        names,
        np.concatenate([groups.means[:, :8]] * 2, 1),
        np.concatenate([groups.counts[:, :8]] * 2, 1),
        2,
    )
    components = neutral_components(means.neutral[:, 2], 0.5)
    wanted = fit_vectors(means, 2).directions
    first, second = np.zeros((2, 5, 16))
    first[:, :8], second[:, 8:] = 1 / 8, 1 / 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emoexp.vectors.reliability.draw_parts", lambda *_: (first, second))
        found = split(doubled, components, None, 1, 0)
    np.testing.assert_allclose(found.cosines[0], wanted @ wanted.T, atol=1e-4)


def corpus_splits(model: SubjectModel, corpus: Corpus, folder: Path) -> Splits:
    store = Artifacts(folder)
    means = extract(model, corpus, tuple(corpus.by_emotion)[:10], store, None)
    groups = load_groups(means, store, 3)
    return split(groups, neutral_components(means.neutral[:, 3], 0.5), None, 40, 0)


def test_shuffled_labels_give_what_the_null_gives(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    names = list(corpus.by_emotion)[:10]
    stories = [s for s in corpus.stories if s.emotion in names]
    labels = np.random.default_rng(0).permutation([s.emotion for s in stories])
    shuffled = [replace(s, emotion=str(e)) for s, e in zip(stories, labels, strict=True)]
    true = corpus_splits(tiny, replace(corpus, stories=tuple(stories)), tmp_path)
    null = corpus_splits(tiny, replace(corpus, stories=tuple(shuffled)), tmp_path)
    assert true.above_chance()
    assert not null.above_chance()
    assert true.own.mean() > 0.3
    assert abs(null.own.mean()) < 0.15


def test_the_experiment_reports_tables_figures_and_how_it_knows(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    experiment = Reliability(splits=20, targets=[0.2, 0.99999])
    study = Study(
        Config(
            experiment=experiment,
            artifacts=str(tmp_path),
            scale=ScaleConfig(bootstrap_draws=100),
            layer=3,
        )
    )
    vars(study).update(model=tiny, corpus=corpus, emotions=tuple(corpus.by_emotion)[:8])
    study.config.model.name = "tiny"
    result = experiment.run(study)
    assert set(result.tables) == {"stories_needed", "stability", "reliability"}
    run = saved(tmp_path, result.tables, experiment="reliability", corpus={"name": "stories"})
    check_run_is_shown_whole(run)
    figures = drawn(run)
    assert set(figures) == {"stability", "reliability"}
    assert [t.get_text() for t in figures["reliability"].axes[0].get_xticklabels()] == list(
        result.tables["reliability"].sort_values("split_half")["emotion"]
    )
    assert len(result.tables["reliability"]) == 8
    assert result.tables["stories_needed"]["how"][1] == NOT_ESTIMABLE
    assert "stories_for_0.2" in result.metrics
    assert "stories_for_0.99999" not in result.metrics
    assert any("0.99999 is not reached" in note for note in result.notes)
    assert all(np.isfinite(v) for v in result.metrics.values())
    stories = result.tables["stability"]["stories"]
    assert all(a < b for a, b in pairwise(stories))
    assert EXPERIMENTS["reliability"] is Reliability


def test_hyperparameters_are_checked() -> None:
    with pytest.raises(EmoexpError, match="experiment.splits=3: must be at least 20"):
        Reliability(splits=3)
    for targets in ([], [1.0], [0.5, 0.0]):
        with pytest.raises(EmoexpError, match=r"experiment.targets=\["):
            Reliability(targets=targets)
