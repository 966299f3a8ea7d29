"""The UMAP map: optional, the same for the same seed, neighbours stay together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emoexp.geometry import embedding
from emoexp.geometry.embedding import umap_coordinates, umap_notes, why_not, with_umap, without_umap

NAMES = [f"e{i}" for i in range(20)]


def test_without_the_package_a_note_says_how_to_get_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "find_spec", lambda name: None)
        assert why_not(20) == "not drawn: UMAP (pip install 'emoexp[geometry]')"
        assert with_umap(table := pd.DataFrame({"emotion": NAMES}), np.zeros((20, 3)), 0) is table
        patch.setattr(embedding, "find_spec", lambda name: True)
        assert why_not(20) is None
        assert why_not(4) == "not drawn: UMAP of 4 emotions (at least 5)"


@pytest.mark.slow
def test_groups_stay_together_and_the_seed_decides() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    group = np.arange(20) % 2
    vectors = 3 * rng.standard_normal((2, 30))[group] + rng.standard_normal((20, 30))
    table = umap_coordinates(NAMES, vectors, 0)
    assert list(table.columns) == ["emotion", "x", "y", "method"]
    assert (table["method"] == "UMAP").all()
    places = table[["x", "y"]].to_numpy(dtype=float)
    centres = np.array([places[group == k].mean(0) for k in (0, 1)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(1)
    assert (nearest == group).all()
    assert table.equals(umap_coordinates(NAMES, vectors, 0))
    assert not table.equals(umap_coordinates(NAMES, vectors, 1))


def test_a_table_of_coordinates_gets_the_map_below_or_a_note() -> None:
    columns = {"emotion": NAMES, "x": 0.5, "y": 0.5, "method": "PCA", "valence": 1.0}
    table = pd.DataFrame(columns)
    places = pd.DataFrame({"emotion": NAMES, "x": range(20), "y": 7.0, "method": "UMAP"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "why_not", lambda n: None)
        patch.setattr(embedding, "umap_coordinates", lambda *_: places)
        both = with_umap(table, np.zeros((20, 3)), 0)
        patch.setattr(embedding, "why_not", lambda n: embedding.MISSING)
        assert with_umap(table, np.zeros((20, 3)), 0) is table
    assert both["method"].tolist() == ["PCA"] * 20 + ["UMAP"] * 20
    assert both["x"].tolist()[20:] == list(range(20))
    assert both["valence"].tolist() == [1.0] * 40
    assert without_umap(both).equals(table)
    assert umap_notes(both) == []
    assert umap_notes(table) == ["not drawn: UMAP (pip install 'emoexp[geometry]')"]
    assert umap_notes(table[:3]) == ["not drawn: UMAP of 3 emotions (at least 5)"]
