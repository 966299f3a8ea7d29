"""The UMAP map: optional, the same for the same seed, neighbours stay together."""

from __future__ import annotations

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.geometry import embedding
from emoexp.geometry.embedding import umap_coordinates, why_not

NAMES = [f"e{i}" for i in range(20)]


def test_without_the_package_a_note_says_how_to_get_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "find_spec", lambda name: None)
        assert why_not(20) == "not drawn: UMAP (pip install 'emoexp[geometry]')"
        with pytest.raises(EmoexpError, match="not drawn: UMAP"):
            umap_coordinates(NAMES, np.zeros((20, 3)), 0)
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
