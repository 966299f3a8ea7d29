"""The figures of the geometry: what they draw, and that no name covers another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from emoexp.figures.geometry.cosines import cosine_map
from emoexp.figures.geometry.emotion_map import cluster_groups, emotion_maps
from emoexp.figures.style import CATEGORIES, SETS, VALENCE, styled
from emoexp.stats.labels import SHUFFLED
from tests.helpers.figures import faults
from tests.helpers.geometry_tables import LAYERS, names_of, tables
from tests.helpers.records import drawn, saved

pytestmark = pytest.mark.filterwarnings("error")
FIGURES = ["axes", "components", "cosines", "emotion_map", "held_out", "layer_similarity", "pairs"]


def figures(folder: Path, n: int, without: tuple[str, ...] = ()) -> dict[str, Figure]:
    kept = {name: table for name, table in tables(n).items() if name not in without}
    facts = {"corpus": {"name": "starter"}, "experiment": "geometry", "layer": LAYERS[-1]}
    return drawn(saved(folder, kept, **facts))


@pytest.fixture(scope="module")
def of_30(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    return figures(tmp_path_factory.mktemp("run"), 30)


@pytest.mark.parametrize("n", [2, 12])
def test_every_figure_is_drawn_and_nothing_overlaps(n: int, tmp_path: Path) -> None:
    found = figures(tmp_path, n)
    assert sorted(found) == FIGURES
    with styled():
        assert [fault for figure in found.values() for fault in faults(figure)] == []


def test_30_names_do_not_overlap(of_30: dict[str, Figure]) -> None:
    assert sorted(of_30) == FIGURES
    with styled():
        assert [fault for figure in of_30.values() for fault in faults(figure)] == []


def test_171_names_do_not_overlap() -> None:
    made = tables(171)
    clusters = made["clusters"].set_index("emotion")["kmeans_10"]
    with styled():
        for figure in (
            cosine_map(made["cosines"], made["clusters"], "somewhere"),
            emotion_maps(made["coordinates"], clusters, ("PC1", "PC2"), "somewhere"),
        ):
            assert faults(figure) == []


def test_all_points_at_one_place_still_have_names_apart() -> None:
    names = names_of(20)
    points = pd.DataFrame({"emotion": names, "x": 0.0, "y": 0.0, "method": "PCA", "valence": 1.0})
    with styled():
        figure = emotion_maps(points, None, ("PC1", "PC2"), "somewhere")
        written = [text.get_text() for text in figure.axes[0].texts]
        assert sorted(written) == sorted(names)
        assert faults(figure) == []


def test_the_map_is_marked_by_valence_and_by_cluster(of_30: dict[str, Figure]) -> None:
    by_valence, by_cluster = of_30["emotion_map"].axes
    colours = {c.get_label(): to_hex(c.get_facecolor()[0]) for c in by_valence.collections}
    known = {name: mark.colour for name, mark in VALENCE.items() if name != "valence zero"}
    assert colours == known
    colours = {c.get_label()[0]: to_hex(c.get_facecolor()[0]) for c in by_cluster.collections}
    assert colours["1"] == CATEGORIES[0].colour
    assert by_valence.get_xlabel() == "PC1 (50% of the variance)"
    umap = tables(12)["coordinates"].assign(method="UMAP")
    both = pd.concat([tables(12)["coordinates"], umap])
    panels = emotion_maps(both, None, ("PC1", "PC2"), "somewhere").axes
    assert [axes.get_title() for axes in panels] == ["PCA, by valence", "UMAP, by valence"]


def test_a_run_without_clusters_has_the_map_by_valence_only(tmp_path: Path) -> None:
    found = figures(tmp_path, 12, ("clusters", "sanity_pairs", "norm_similarity"))
    assert [axes.get_title() for axes in found["emotion_map"].axes] == ["PCA, by valence"]
    assert len(found["pairs"].axes) == 2
    assert "its clusters" not in found["cosines"].get_suptitle()


def test_more_clusters_than_marks_are_refused() -> None:
    n = len(CATEGORIES)
    names = pd.Series(names_of(n + 1))
    assert len({mark for _, _, mark in cluster_groups(names[:n], np.arange(n))}) == n
    with pytest.raises(ValueError, match="16 clusters cannot be told apart"):
        cluster_groups(names, np.arange(n + 1))


def test_cosines_are_in_the_order_of_the_dendrogram_and_symmetric_about_0() -> None:
    names = ["a", "b", "c", "d"]
    matrix = np.eye(4)
    matrix[0, 2] = matrix[2, 0] = 0.8
    matrix[1, 3] = matrix[3, 1] = 0.5
    matrix[0, 1] = matrix[1, 0] = -0.3
    table = pd.DataFrame(matrix, columns=names)
    table.insert(0, "emotion", names)
    figure = cosine_map(table, None, "somewhere")
    _, axes, _ = figure.axes
    order = [text.get_text() for text in axes.get_yticklabels()]
    assert abs(order.index("a") - order.index("c")) == 1
    assert abs(order.index("b") - order.index("d")) == 1
    shown = np.asarray(axes.images[0].get_array())
    assert shown == pytest.approx(table.set_index("emotion").loc[order, order].to_numpy())
    assert axes.images[0].get_clim() == (-0.8, 0.8)


def test_correlations_with_axes_are_sizes_whose_sign_is_not_shown(of_30: dict[str, Figure]) -> None:
    valence, arousal = of_30["axes"].axes
    for axes, component in ((valence, "1"), (arousal, "3")):
        assert list(axes.lines[0].get_ydata()) == pytest.approx([0.8] * 3)
        assert {text.get_text() for text in axes.texts} == {component}
    null = next(part for part in valence.containers if isinstance(part, BarContainer))
    assert [bar.get_height() for bar in null] == pytest.approx([0.3] * 3)


def test_ranges_of_shuffled_labels_have_the_colour_of_their_set(of_30: dict[str, Figure]) -> None:
    for name in ("components", "held_out", "pairs"):
        bars = of_30[name].axes[0].patches
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {SETS[SHUFFLED].colour}


def test_the_sum_of_five_components_has_a_panel(of_30: dict[str, Figure]) -> None:
    panels = of_30["components"].axes
    assert [axes.get_title() for axes in panels] == ["PC1", "PC2", "PC3", "PC1 to PC5, sum"]
    total = sum(0.5 / k**1.2 for k in range(1, 6))
    assert list(panels[-1].lines[0].get_ydata()) == pytest.approx([total] * 3)


def test_one_layer_has_no_similarity_of_layers(tmp_path: Path) -> None:
    made = {"layer_similarity": tables(12, (4,))["layer_similarity"]}
    assert drawn(saved(tmp_path, made, experiment="geometry")) == {}
