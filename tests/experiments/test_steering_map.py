"""The map of steering: its answers against full forwards, the subset of activities against all of
them, its rule, and what is planted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from emoexp.config import SteeringSpan
from emoexp.errors import EmoexpError, NotApplicableError
from emoexp.experiments.steering_map import SteeringMap
from emoexp.figures import steering_map as figures_map
from emoexp.models.prompts import token_mask
from emoexp.models.subject import Steering, SubjectModel
from emoexp.stats.labels import ISOTROPIC
from emoexp.stats.ratings import elo, win_probabilities
from emoexp.stats.steering_grid import COHERENT, describe, judge_cell, propose
from emoexp.steering.grid import answers_by_strength, grid_layers
from emoexp.steering.preference import Preferences, marks
from emoexp.steering.subset import representatives, same_order, spread, subset
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts, Row
from emoexp.study.study import Study
from tests.helpers.studies import composed

SPAN = SteeringSpan.steered_activity


def some_of(tiny: SubjectModel, pack: Stimuli) -> Preferences:
    preferences = Preferences(tiny, pack)
    return subset(preferences, representatives(np.arange(64.0), preferences.steered, 8, seed=0))


@pytest.mark.parametrize("replayed", [True, False])
def test_answers_equal_full_forwards_of_one_prompt(
    tiny: SubjectModel, pack: Stimuli, monkeypatch: pytest.MonkeyPatch, replayed: bool
) -> None:
    """Margin and the probability of A or B, pair by pair; and a zero direction is the unsteered
    model."""
    some = some_of(tiny, pack)
    monkeypatch.setattr(Preferences, "replays", lambda self, band: replayed)
    vectors = np.random.default_rng(0).standard_normal((3, 1, tiny.d_model))
    vectors[1] = 0
    answers = some.answers(SPAN, (2,), vectors, {})
    first, second = some.affected_pairs
    assert (
        answers["margins"].shape == answers["mass"].shape == (3, len(first)) == (3, 8 * 7 - 4 * 3)
    )
    a, b = some.options
    for p in (0, 1, len(first) // 2, len(first) - 1):
        i, j = int(first[p]), int(second[p])
        prompt = some.prompt(i, j)
        encoding = tiny.encode([prompt])
        mask = token_mask(
            [prompt], marks(SPAN, (bool(some.steered[i]), bool(some.steered[j]))), encoding
        )
        for k in range(3):
            logits = tiny.next_token_logits(
                encoding,
                (
                    Steering({2: torch.tensor(vectors[k], dtype=torch.float32)}, mask)
                    if k != 1
                    else None
                ),
            )[0]
            assert answers["margins"][k, p] == pytest.approx(float(logits[a] - logits[b]), abs=1e-4)
            assert answers["mass"][k, p] == pytest.approx(
                float(logits.softmax(0)[[a, b]].sum()), rel=1e-4
            )


def test_a_cell_is_computed_once_and_a_further_strength_costs_itself_only(
    tmp_path: Path, tiny: SubjectModel, pack: Stimuli
) -> None:
    some, seen = some_of(tiny, pack), list[float]()

    class Counted:
        identity = some.identity

        def steered_identity(self, span: Any) -> dict[str, Any]:
            return {**self.identity, "span": span.value}

        def answers(
            self, span: Any, band: tuple[int, ...], vectors: np.ndarray, kept: dict[int, Any]
        ) -> Row:
            seen.append(float(vectors[0, 0, 0]))
            kept[len(seen)] = None
            assert len(kept) == len(seen), "the prefixes of a layer are shared by its strengths"
            return {"margins": vectors[:, 0].copy()}

    added = np.full((2, 3), 4.0)

    def answered(preferences: Any, layer: int, strengths: list[float]) -> list[Row]:
        store = Artifacts(tmp_path)
        return answers_by_strength(preferences, store, SPAN, layer, added, strengths)

    found = answered(Counted(), 2, [0.5, 0.25])
    assert seen == [2, 1]
    assert [float(row["margins"].max()) for row in found] == [2, 1]
    seen.clear()

    class Again(Counted):
        def answers(
            self, span: Any, band: tuple[int, ...], vectors: np.ndarray, kept: dict[int, Any]
        ) -> Row:
            seen.append(float(vectors[0, 0, 0]))
            return {"margins": vectors[:, 0].copy()}

    answered(Again(), 2, [0.25, 1.0, 0.5])
    assert seen == [4], "only the new strength"
    answered(Again(), 3, [0.25])
    assert seen == [4, 1], "another layer is another artifact"


def test_another_subset_is_another_artifact(tiny: SubjectModel, pack: Stimuli) -> None:
    preferences = Preferences(tiny, pack)
    subsets = [subset(preferences, np.array(chosen)) for chosen in ([0, 1, 2], [0, 1, 3])]
    assert subsets[0].identity != subsets[1].identity != preferences.identity
    assert [a.text for a in subsets[1].stimuli.activities] == [
        pack.activities[k].text for k in (0, 1, 3)
    ]


def test_representatives_are_of_both_halves_and_span_the_ratings() -> None:
    rng = np.random.default_rng(0)
    ratings, steered = rng.normal(1500, 300, 64), rng.permutation(np.arange(64) % 2 == 0)
    for seed in range(5):
        chosen = representatives(ratings, steered, 32, seed)
        assert len(set(chosen)) == 32
        assert steered[chosen].sum() == 16
        assert abs(ratings[chosen].mean() - ratings.mean()) < 30, (
            "a plain draw misses by 50 and more"
        )
        assert ratings[chosen].std() == pytest.approx(ratings.std(), rel=0.15)
    assert not np.array_equal(
        representatives(ratings, steered, 32, 0), representatives(ratings, steered, 32, 1)
    )
    assert np.array_equal(representatives(ratings, steered, 64, 0), np.arange(64))
    with pytest.raises(
        EmoexpError,
        match="experiment.activities=32: the smaller half of the pack has 10, so at most 20",
    ):
        representatives(ratings, np.arange(64) < 10, 32, 0)


def test_elo_of_the_subset_is_comparable_with_the_full_grid() -> None:
    """Same changes in margin, 64 activities or 32 of them: delta Elo of 40 directions agrees within
    a few points or per cent."""
    rng = np.random.default_rng(1)
    utility, steered = rng.normal(0, 1.5, 64), rng.permutation(np.arange(64) % 2 == 0)
    pushes = np.linspace(-2, 2, 40)[:, None] * steered * (1 + 0.3 * rng.standard_normal(64))
    base = utility[:, None] - utility[None, :] + 0.3
    margins = base + pushes[:, :, None] - pushes[:, None, :]

    def deltas(chosen: np.ndarray) -> np.ndarray:
        grid = np.ix_(chosen, chosen)
        before = elo(win_probabilities(base[grid]), 0)
        moved = elo(win_probabilities(margins[:, *grid]), 0)
        return np.asarray((moved - before)[:, steered[chosen]].mean(1))

    full = deltas(np.arange(64))
    assert np.abs(full).max() > 150, "of the paper's size"
    few = deltas(representatives(elo(win_probabilities(base), 0), steered, 32, 0))
    slope = float(full @ few / (full @ full))
    assert slope == pytest.approx(1, abs=0.12)
    assert np.corrcoef(full, few)[0, 1] > 0.995


def test_the_exemplars_are_among_the_emotions() -> None:
    names = tuple(f"e{i}" for i in range(40))
    r = np.random.default_rng(0).permutation(np.linspace(-0.8, 0.8, 40))
    chosen = spread(r, names, 8, ("e3", "e9"))
    assert len(chosen) == 8
    assert {"e3", "e9"} <= set(chosen)
    assert chosen == tuple(sorted(chosen, key=names.index))
    assert len(spread(r[:5], names[:5], 8, ())) == 5


def test_same_order() -> None:
    ratings = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(
        same_order(np.array([[30.0, 10.0, 20.0], [1.0, 3.0, 2.0]]), ratings), [1, -1]
    )


def test_the_layers_of_a_map() -> None:
    def mapped(deepest: int, layers: list[int] | None = None) -> tuple[int, ...]:
        model: Any = SimpleNamespace(last_steerable_layer=deepest, check_layers=lambda _: None)
        return grid_layers(model, layers)

    assert mapped(6) == (0, 1, 2, 3, 4, 5, 6)
    for deepest in range(80):
        layers = mapped(deepest)
        assert 0 < len(layers) <= 12
        assert len(set(np.diff(layers))) <= 1
        assert layers[-1] <= deepest
        assert layers[-1] > deepest - 7
    assert mapped(6, [5, 2]) == (2, 5)
    with pytest.raises(
        NotApplicableError, match="layer 7 .* cannot reach the answer; choose layers up to 6"
    ):
        mapped(6, [2, 7])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strengths": [0.5, -0.5]}, "above 0"),
        ({"strengths": []}, "at least one number"),
        ({"strengths": [0.5, 0.5]}, "each once"),
        ({"n_emotions": 3}, "at least 4"),
        ({"activities": 9}, "must be even"),
        ({"activities": 6}, "at least 8"),
    ],
)
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EmoexpError, match=message):
        SteeringMap(**settings)


def cell(
    layer: int,
    strength: float,
    *,
    size: float,
    null: float,
    coherence: float = 1.0,
    sign: float = 1.0,
    order_kept: float = 0.5,
) -> dict[str, Any]:
    """A judged cell whose emotions move Elo by about `size` and its isotropic directions by
    `null`."""
    rng = np.random.default_rng(layer)
    r = np.linspace(-0.8, 0.8, 8)
    rest = {
        "coherence": np.full(8, coherence),
        "order_kept": np.full(8, order_kept),
        "order_unsteered": np.full(8, 0.9),
    }
    emotions = pd.DataFrame(
        {"r": r, "delta_elo": 2 * sign * size * r + 0.01 * size * rng.standard_normal(8), **rest}
    )
    isotropic = pd.DataFrame(
        {
            "r": r / 3,
            "delta_elo": null * rng.choice([-1.0, 1.0], 8) + 0.1 * null * rng.standard_normal(8),
            **rest,
        }
    )
    return {"layer": layer, "strength": strength, **judge_cell(emotions, isotropic, 300, 0)}


@pytest.mark.parametrize(
    ("settings", "works"),
    [
        ({"size": 100, "null": 10}, True),
        ({"size": 100, "null": 100}, False),
        ({"size": 1, "null": 0.1}, False),
        ({"size": 100, "null": 10, "coherence": COHERENT - 0.01}, False),
        ({"size": 100, "null": 10, "sign": -1.0}, False),
    ],
    ids=[
        "all of it",
        "no larger than noise",
        "next to nothing",
        "no answer any more",
        "moves against r",
    ],
)
def test_a_cell_works_only_if_all_of_the_rule_holds(settings: dict[str, Any], works: bool) -> None:
    assert cell(3, 0.5, **settings)["works"] is works


def test_the_largest_effect_that_works_is_proposed_with_its_band() -> None:
    broken = {"coherence": 0.5}
    cells = pd.DataFrame(
        [
            cell(layer, 0.5, size=size, null=10)
            for layer, size in ((0, 5), (2, 120), (4, 150), (6, 140), (8, 8), (10, 120))
        ]
        + [cell(layer, 1.0, size=900, null=10, **broken) for layer in (0, 2, 4, 6, 8, 10)]
    )
    proposal = propose(cells)
    assert proposal is not None
    assert (proposal.cell["layer"], proposal.cell["strength"]) == (
        4,
        0.5,
    ), "900 points at strength 1 are not coherent"
    assert proposal.layers == (2, 4, 6), "layer 10 works too, but layer 8 between does not"
    sentence = describe(cells, proposal, "organism")
    assert (
        "layer 4, strength 0.5 (of the map's layers, 2, 4, 6 work at this strength; between them"
        " nothing was measured)" in sentence
    )
    assert "experiment=steering model=organism layer=4 experiment.strength=0.5" in sentence
    every = pd.DataFrame([cell(layer, 0.5, size=120, null=10) for layer in (2, 3, 4)])
    assert "layers, 2, 3, 4 work at this strength): mean" in describe(
        every, propose(every), "organism"
    )
    assert len(figures_map.steering_map(cells, proposal, "title").axes) == 8


def test_a_strength_that_destroys_the_order_of_preferences_is_not_proposed() -> None:
    """Coherence 1, effect ratio 5.7, V10 .998, and order kept -.3: strength 1e9, once proposed."""
    cells = pd.DataFrame([cell(5, 1e9, size=900, null=10, order_kept=-0.3)])
    assert not cells["works"].any()
    assert propose(cells) is None
    assert "order kept is at least 0.5 in 0" in describe(cells, None, "organism")


def test_nothing_is_proposed_where_nothing_works() -> None:
    cells = pd.DataFrame([cell(layer, 0.5, size=0.3, null=0.3) for layer in range(3)])
    assert propose(cells) is None
    sentence = describe(cells, None, "m")
    assert sentence.startswith(
        "no cell of 3 works: V10 passes in 3, the effect ratio's interval is above 1 in 0, mean"
        " |delta Elo| is at least 10 in 0"
    )
    assert "no cell works" in figures_map.steering_map(cells, None, "title").get_suptitle()


NAMES = "emotions.names=[blissful,hostile,happy,loving,calm,afraid,sad,angry,guilty,surprised]"


def study(store: Path, run_dir: Path, *overrides: str) -> Study:
    return composed("steering_map", store, NAMES, *overrides, run_dir=run_dir)


def test_vectors_of_one_layer_are_no_map(tmp_path: Path) -> None:
    here = study(tmp_path, tmp_path, "vectors=some.safetensors")
    with pytest.raises(EmoexpError, match="vectors: this experiment does not read it"):
        here.config.experiment.check(here)


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        ("steering_map", "n_emotions"),
        ("steering", "n_emotions"),
        ("verify", "steering.n_emotions"),
    ],
)
def test_more_emotions_than_the_run_has_are_refused(
    experiment: str, name: str, tmp_path: Path
) -> None:
    """The default, of which there may be more than emotions, means all of them."""
    for n in (13, 900):
        many = composed(experiment, tmp_path, "emotions=core12", f"experiment.{name}={n}")
        with pytest.raises(EmoexpError, match=f"n_emotions={n}: the run has 12 .*: at most 12"):
            many.config.experiment.check(many)
    few = composed(experiment, tmp_path, "emotions.names=[sad,calm,happy]")
    few.config.experiment.check(few)


SMALL = (
    "experiment.layers=[4,6]",
    "experiment.strengths=[0.5]",
    "experiment.n_emotions=8",
    "experiment.activities=16",
)


@pytest.mark.parametrize("model", ["organism", "organism_indifferent", "organism_untrained"])
def test_what_is_planted_is_found_and_nothing_else(tmp_path: Path, model: str) -> None:
    """The organism's options can be steered up to the output of block 5 and hardly above; the
    others have nothing to steer."""
    here = study(tmp_path, tmp_path, f"model={model}", *SMALL)
    result = here.config.experiment.run(here)
    directions = result.tables["steering_map_directions"]
    assert len(directions) == 2 * (8 + 8 + 2)
    assert (directions["strength"] < 0).sum() == 2 * 2
    assert (directions[directions["set"] == ISOTROPIC].groupby("layer").size() == 8).all()
    if model == "organism":
        assert result.metrics["proposed_layer"] == 4, "layer 6 is too late"
        assert result.metrics["proposed_mean_abs_delta_elo"] > 20
        assert (
            result.metrics["proposed_delta_elo_plus_blissful"]
            > 0
            > result.metrics["proposed_delta_elo_minus_blissful"]
        )
        assert (
            result.metrics["proposed_delta_elo_plus_hostile"]
            < 0
            < result.metrics["proposed_delta_elo_minus_hostile"]
        )
    else:
        assert not [name for name in result.metrics if name.startswith("proposed")]
        assert result.notes[0].startswith("no cell of 2 works")
