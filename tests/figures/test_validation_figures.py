"""What the validations' figures draw: labels, how many points, limits of axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from emoexp.figures.style import SETS, VALENCE
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES, SHUFFLED
from tests.helpers.records import drawn, saved

NAMES = ["happy", "sad", "calm"]


def figures(folder: Path, **tables: pd.DataFrame) -> dict[str, Figure]:
    return drawn(saved(folder, tables))


def labels(axes: Axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def test_scenarios_are_a_map_with_each_cosine_and_the_highest_of_a_row_in_bold(
    tmp_path: Path,
) -> None:
    matrix = np.array([[0.9, 0.1, -0.2], [0.3, 0.2, 0.1], [-0.5, 0.0, 0.4]])
    table = pd.DataFrame(matrix, columns=NAMES)
    table.insert(0, "scenario", NAMES)
    axes = figures(tmp_path, implicit=table)["implicit"].axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == NAMES
    assert [t.get_text() for t in axes.texts] == [f"{x:.2f}" for x in matrix.ravel()]
    bold = [t.get_text() for t in axes.texts if t.get_fontweight() == "bold"]
    assert bold == ["0.90", "0.30", "0.40"]
    assert axes.images[0].get_clim() == (-0.9, 0.9)


def curves() -> pd.DataFrame:
    rows = [
        (t, v, v * slope, -v) for t, slope in (("a", 0.1), ("b", 2.0), ("c", 0)) for v in (1, 3)
    ]
    table = pd.DataFrame(rows, columns=["template", "value", "happy", "sad"])
    return table.astype({"happy": float, "sad": float})


def test_numbers_have_a_panel_per_template_and_a_line_per_probe(tmp_path: Path) -> None:
    figure = figures(tmp_path, numeric_curves=curves())["numeric"]
    first, second, _, empty = figure.axes
    assert [a.get_title() for a in figure.axes] == ["a", "b", "c", ""]
    assert labels(first) == ["happy", "sad"]
    assert list(second.lines[0].get_ydata()) == [2, 6]
    assert [t.get_text() for t in first.get_xticklabels()] == ["1", "3"]
    assert not empty.axison, "no frame where there is no template"


def test_centred_numbers_have_a_mean_of_zero_and_one_scale(tmp_path: Path) -> None:
    figure = figures(tmp_path, numeric_curves=curves())["numeric_centred"]
    first, second, third, _ = figure.axes
    assert list(first.lines[0].get_ydata()) == pytest.approx([-0.1, 0.1])
    assert list(second.lines[0].get_ydata()) == [-2, 2]
    assert list(third.lines[0].get_ydata()) == [0, 0]
    assert first.get_ylim() == second.get_ylim() == third.get_ylim()
    assert first.get_ylabel() == "cosine minus its mean"


def test_the_elo_of_each_activity_is_a_point_and_categories_are_sorted(tmp_path: Path) -> None:
    table = pd.DataFrame({"category": list("xxyyy"), "elo": [1400, 1420, 1600, 1610, 1650.0]})
    table = table.assign(activity=list("abcde"), steered=[True, False, True, False, True])
    axes = figures(tmp_path, elo=table)["elo"].axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["y", "x"]
    points = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    assert [p[:, 1].tolist() for p in points] == [[1400, 1600, 1650], [1420, 1610]]
    assert sorted(text.get_text() for text in axes.texts) == list("abcde")


def test_correlations_are_sorted_bars_over_the_null(tmp_path: Path) -> None:
    table = pd.DataFrame({"emotion": NAMES, "valence": [1.0, -1.0, np.nan], "r": [0.6, -0.4, 0.1]})
    null = pd.DataFrame(np.linspace(-0.2, 0.2, 300).reshape(100, 3), columns=NAMES).assign(
        null=ISOTROPIC
    )
    table = table.assign(ci_low=table["r"] - 0.1, ci_high=table["r"] + 0.1)
    axes = figures(tmp_path, correlations=table, correlations_null=null)["correlations"].axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["sad", "calm", "happy"]
    assert {round(p.get_height(), 1): p.get_x() + p.get_width() / 2 for p in axes.patches[1:]} == (
        pytest.approx({0.6: 2, -0.4: 0, 0.1: 1})
    )
    valences = ["positive valence", "negative valence", "valence not known"]
    lines = ["isotropic directions, 95 %", "|r| = 0.3, from which V9 counts"]
    assert labels(axes) == [*lines, *valences]
    colours = [to_hex(patch.get_facecolor()) for patch in axes.patches[1:]]
    assert colours == [VALENCE[name].colour for name in valences]


def test_steering_is_a_point_per_direction_with_its_controls(tmp_path: Path) -> None:
    n = {EMOTIONS: 3, ISOTROPIC: 5, MIXTURES: 4, SHUFFLED: 6}
    table = pd.DataFrame(
        [
            (name, f"{name} {k}", k / 10, 10.0 * k, 0.0, 1.0 if name == EMOTIONS else np.nan, False)
            for name, count in n.items()
            for k in range(count)
        ],
        columns=[
            "set",
            "direction",
            "r",
            "delta_elo",
            "delta_bradley_terry",
            "valence",
            "exemplar",
        ],
    )
    run = saved(
        tmp_path,
        {"steering": table, "steering_rows": pd.DataFrame({"directions": list(n)})},
        experiment="steering",
        settings={"strength": 0.5, "band": None},
    )
    axes = drawn(run)["steering"].axes[0]
    points = {c.get_label(): len(c.get_offsets()) for c in axes.collections}
    for part in axes.collections:
        if part.get_label() in SETS:
            assert to_hex(part.get_edgecolor()[0]) == SETS[part.get_label()].colour
    assert points == {ISOTROPIC: 5, MIXTURES: 4, SHUFFLED: 6, "emotions, positive valence": 3}
    assert f"{ISOTROPIC}, 95 %" in labels(axes)
    assert axes.get_xlabel() == "r of probe and Elo, unsteered"
