"""The report over several models: curves over each other, detection against steering, and what is
planted against what is found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer

from emoexp.report import load_runs, report
from emoexp.report.blocks import FigureBlock, Text
from emoexp.report.by_layer import against_blocks, overlay_blocks
from emoexp.report.curves import (
    COLOURS,
    detection_against_steering,
    listed,
    named,
    of_criterion,
    overlay,
)
from emoexp.report.expected import PLANTED, expected_blocks, outcome, outcomes, planted, summary
from emoexp.report.groups import Part, grouped, measured, parts, verdict_rows
from tests.helpers.report_runs import change, verdicts, write_run

FEW = ["V1", "V4", "V10"]


def read(folder: Path, mix: bool = False) -> list[Part]:
    groups = grouped(measured(load_runs([folder])), mix)
    return parts(groups, verdict_rows(groups))


@pytest.fixture
def two(tmp_path: Path) -> list[Part]:
    """A model of 8 blocks, and one of 12 that has the same numbers at half as many layers and half
    the words."""
    for layer in (2, 4):
        write_run(
            tmp_path / f"a{layer}", "organism", layer, verdicts=verdicts("organism", layer, FEW)
        )
        half = [
            (
                v | {"n": v["n"] // 2, "value": v["value"] / 2, "threshold": v["threshold"] / 2}
                if v["id"] == "V1"
                else v
            )
            for v in verdicts("organism", layer, FEW)
        ]
        write_run(tmp_path / f"b{layer}", "deep", 2 * layer, n_layers=12, verdicts=half)
    return read(tmp_path)


def test_one_colour_per_model_and_one_panel_per_criterion(two: list[Part]) -> None:
    panels = [axes for axes in overlay(two, by_depth=False).axes if axes.axison]
    assert [axes.get_title().split()[0] for axes in panels] == FEW
    for axes in panels:
        curves = {
            to_hex(line.get_color()): line
            for line in axes.lines
            if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
        }  # type: ignore[arg-type]
        assert set(curves) == set(COLOURS[:2])
        mine = [[round(float(x)) for x in curves[colour].get_xdata()] for colour in COLOURS[:2]]  # type: ignore[union-attr]
        assert sorted(mine) == [[2, 4], [4, 8]]
    assert panels[1].yaxis_inverted(), "a low rank is a good one"
    assert not panels[0].yaxis_inverted()


def test_counts_of_different_n_stand_as_shares(two: list[Part]) -> None:
    organism, deep = (next(p for p in two if p.model == model) for model in ("organism", "deep"))
    assert of_criterion(organism, "V1")["value"].tolist() == pytest.approx(
        of_criterion(deep, "V1")["value"].tolist()
    )
    assert of_criterion(organism, "V1")["value"].iloc[1] == pytest.approx(50 / 64)
    assert of_criterion(organism, "V4")["value"].iloc[1] == pytest.approx(1.2)
    assert (organism.rows[organism.rows["id"] == "V1"]["value"] > 1).all(), (
        "the part itself is left as it is"
    )


def test_by_depth_where_models_differ_in_depth(two: list[Part]) -> None:
    names = [block.name for block in overlay_blocks(two) if isinstance(block, FigureBlock)]
    assert names == ["layers_models.png", "layers_models_by_depth.png"]
    axes = overlay(two, by_depth=True).axes[0]
    curves = sorted(
        [round(float(x), 2) for x in line.get_xdata()]
        for line in axes.lines
        if line.get_linestyle() == "-" and line.get_color() in COLOURS
    )  # type: ignore[union-attr]
    assert curves == [
        pytest.approx([0.25, 0.5], abs=0.02),
        pytest.approx([4 / 12, 8 / 12], abs=0.02),
    ]


def test_an_unknown_depth_is_said_and_not_guessed(tmp_path: Path) -> None:
    for layer in (2, 4):
        write_run(tmp_path / f"a{layer}", "organism", layer)
        change(write_run(tmp_path / f"b{layer}", "other", layer), n_layers=None)
    blocks = overlay_blocks(read(tmp_path))
    assert [block.name for block in blocks if isinstance(block, FigureBlock)] == [
        "layers_models.png"
    ]
    assert any(
        "not every result.json says how many layers" in block.text
        for block in blocks
        if isinstance(block, Text)
    )


def test_nulls_are_drawn_of_one_model_and_left_to_the_own_figures_of_several(
    two: list[Part],
) -> None:
    def bands(found: list[Part]) -> int:
        return sum(
            isinstance(artist, BarContainer)
            for axes in detection_against_steering(found, by_depth=False).axes
            for artist in axes.containers
        )

    assert bands(two) == 0
    assert bands(two[:1]) == 2, "V4 and V10 were measured"


def test_one_model_or_one_layer_has_nothing_to_lay_over(tmp_path: Path, two: list[Part]) -> None:
    assert overlay_blocks(two[:1]) == []
    for model in ("x", "y"):
        write_run(tmp_path / "one" / model, model)
    assert overlay_blocks(read(tmp_path / "one")) == []


def test_detection_without_steering_says_so(tmp_path: Path) -> None:
    for layer in (2, 3):
        change(
            write_run(
                tmp_path / "a" / str(layer),
                layer=layer,
                verdicts=verdicts("organism", layer, ["V3"]),
            ),
            metrics={},
        )
        write_run(
            tmp_path / "b" / str(layer), layer=layer, verdicts=verdicts("organism", layer, ["V10"])
        )
    assert [
        block.text for block in against_blocks(read(tmp_path / "a")) if isinstance(block, Text)
    ] == ["organism: this needs V3 or V4 and steering, and steering was not measured."]
    assert [
        block.text for block in against_blocks(read(tmp_path / "b")) if isinstance(block, Text)
    ] == ["organism: this needs V3 or V4 and steering, and neither V3 nor V4 was measured."]


def test_a_small_effect_is_hollow_however_large_its_ratio(tmp_path: Path) -> None:
    for layer, size in ((2, 60.0), (3, 3.7)):
        metrics = {
            "effect_ratio": 4.0,
            "effect_ratio_low": 2.0,
            "effect_ratio_high": 6.0,
            "mean_abs_delta_elo": size,
        }
        write_run(tmp_path / str(layer), layer=layer, metrics=metrics)
    axes = next(
        a
        for a in detection_against_steering(read(tmp_path), by_depth=False).axes
        if a.get_title().startswith("effect ratio: ")
    )
    faces = [
        to_hex(colour)
        for artist in axes.collections
        for colour in artist.get_facecolor()
        if len(artist.get_offsets()) == 2
    ]  # type: ignore[arg-type]
    assert faces == [COLOURS[0], "#ffffff"]


def test_layers_at_one_place_share_a_label(two: list[Part]) -> None:
    sizes = two[0].sizes.assign(layer=[3, 2], value=0.5, effect_ratio=[4.0, 4.01])
    assert named(sizes) == [((0.5, 4.0), [2, 3])]
    assert len(named(sizes.assign(effect_ratio=[1.0, 4.0]))) == 2
    assert [listed(layers) for layers in ([2], [2, 3], [2, 3, 4], [2, 4, 5])] == [
        "2",
        "2, 3",
        "2..4",
        "2, 4, 5",
    ]


@pytest.mark.parametrize(
    ("holds", "passed", "informative", "kind"),
    [
        (True, True, True, "good"),
        (True, True, False, "weak"),
        (True, False, True, "bad"),
        (True, False, False, "bad"),
        (False, True, True, "bad"),
        (False, True, False, "good"),
        (False, False, True, "good"),
        (False, False, False, "good"),
    ],
)
def test_what_is_planted_must_say_something_and_what_is_not_must_not(
    holds: bool, passed: bool, informative: bool, kind: str
) -> None:
    assert outcome(holds, {"passed": passed, "informative": informative}).kind == kind


def test_a_planted_model_is_held_against_what_was_planted(tmp_path: Path) -> None:
    """The indifferent organism with the organism's numbers has steering where none is planted."""
    write_run(tmp_path / "a", "organism", 5)
    write_run(tmp_path / "b", "organism_indifferent", 5, verdicts=verdicts("organism", 4))
    write_run(tmp_path / "c", "organism_untrained", 4)
    organism, indifferent, untrained = read(tmp_path)
    assert {
        v
        for v, told in outcomes(organism, PLANTED["bundled:organism"]).items()
        if told.kind == "bad"
    } == {"V5"}
    told = summary(indifferent)
    assert told is not None
    assert (
        told.text
        == "organism_indifferent, layer 5: 4 of 11 as planted, 3 cannot tell, 4 not as planted (V7,"
        " V9, V10, V11)."
    )
    assert summary(untrained) == Text(
        "organism_untrained, layer 4: 11 of 11 as planted, 0 cannot tell, 0 not as planted.", "good"
    )
    report([tmp_path])
    page = (tmp_path / "report.html").read_text()
    table = page.split("<h2>Expected against found</h2>")[1].split("<h2>")[0]
    assert re.search(
        r'V10 [^<]*</td><td class="">holds</td><td class="good">0.93 \*</td><td'
        r' class="">nothing</td><td class="bad">0.97 \*</td>',
        table,
    )


OTHERS: list[dict[str, Any]] = [
    {"provenance": {"model": {"repo_id": "meta-llama/Llama-3.1-8B"}}},
    {"stimuli": {"name": "emoexp"}},
    {"span": "both_activities"},
]


@pytest.mark.parametrize("changes", OTHERS)
def test_nothing_is_expected_of_another_model_pack_or_span(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    write_run(tmp_path / "a", **changes)
    (part,) = read(tmp_path)
    assert planted(part) is None
    assert summary(part) is None
    assert expected_blocks([part]) == []


def test_each_bundled_model_is_expected_something_of() -> None:
    models = Path(__file__).parents[2] / "emoexp/data/models"
    assert {f"bundled:{path.parent.name}" for path in models.glob("*/config.json")} == set(PLANTED)
