"""Clusters: planted ones come back and agree with the pack's, those of noise do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from emoexp.geometry.clusters import (
    BEST,
    HIERARCHICAL,
    KMEANS,
    agreement,
    cluster_agreement,
    cluster_notes,
    cluster_table,
    clusterings,
    coordinates,
    hierarchical,
)
from emoexp.stimuli import Stimuli, load_stimuli

N = 30
NAMES = [f"e{i}" for i in range(N)]


def planted(seed: int, clusters: int = 5, signal: float = 2.0) -> tuple[np.ndarray, dict[str, str]]:
    """Cosines of vectors around `clusters` directions, and the cluster of each by name."""
    rng = np.random.default_rng(seed)
    label = np.arange(N) % clusters
    x = signal * rng.standard_normal((clusters, 40))[label] + rng.standard_normal((N, 40))
    x -= x.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T, {name: f"c{k}" for name, k in zip(NAMES, label, strict=True)}


def test_planted_clusters_come_back_and_agree() -> None:
    cosines, pack = planted(0)
    table = cluster_agreement(
        cosines[None], [3], NAMES, pack, draws=200, seed=0, shuffled=[cosines[None]]
    )
    rows = table.set_index("method")
    assert list(table["layer"]) == [3, 3, 3]
    assert rows.loc[BEST, "k"] == 5
    assert rows.loc[BEST, "ari"] == pytest.approx(1)
    assert rows.loc[BEST, "nmi"] == pytest.approx(1)
    for method in (KMEANS, BEST, HIERARCHICAL):
        row = rows.loc[method]
        assert row["ari"] > row["ari_high"]
        assert row["nmi"] > row["nmi_high"]
        assert row["ari_p"] == row["nmi_p"] == pytest.approx(1 / 201)
    assert (table["n"] == N).all()


def test_clusters_that_cross_the_packs_are_not_beyond_the_null() -> None:
    cosines, _ = planted(0)
    crossed = {name: f"c{i // 6}" for i, name in enumerate(NAMES)}
    table = cluster_agreement(
        cosines[None], [3], NAMES, crossed, draws=200, seed=0, shuffled=[cosines[None]]
    )
    best = table.set_index("method").loc[BEST]
    assert best["ari"] < 0
    assert best["ari_p"] > 0.5
    assert best["nmi_p"] > 0.5


def test_random_vectors_agree_with_no_clusters_beyond_the_null() -> None:
    """5 % of p values are below .05, within what 40 seeds allow; the ranges hold about 95 %."""
    p, inside = [], []
    for seed in range(40):
        cosines, _ = planted(seed, signal=0)
        pack = {name: f"c{i % 5}" for i, name in enumerate(NAMES)}
        tree, wanted = hierarchical(cosines, 10), np.array([int(pack[n][1]) for n in NAMES])
        rng = np.random.default_rng(seed)
        orders = np.array([wanted, *(rng.permutation(wanted) for _ in range(200))])
        ari, _ = agreement(tree, orders)
        p.append((1 + (ari[1:] >= ari[0]).sum()) / 201)
        inside.append(np.quantile(ari[1:], 0.025) <= ari[0] <= np.quantile(ari[1:], 0.975))
    assert np.mean(np.array(p) < 0.05) <= 0.15
    assert np.mean(inside) >= 0.85
    assert 0.35 < np.mean(p) < 0.65


def test_agreement_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 25)
    others = np.array([*rng.integers(0, 6, (20, 25)), labels, np.zeros(25, int)])
    ari, nmi = agreement(labels, others)
    assert ari == pytest.approx([adjusted_rand_score(labels, o) for o in others])
    assert nmi == pytest.approx([normalized_mutual_info_score(labels, o) for o in others])


def test_shuffled_draws_give_ranges_and_notes_say_what_is_bounded() -> None:
    cosines, pack = planted(1)
    noise = np.array([planted(s, signal=0)[0] for s in range(10)])
    table = cluster_agreement(cosines[None], [0], NAMES, pack, draws=100, seed=0, shuffled=[noise])
    assert (table["ari"] > table["shuffled_ari_high"]).all()
    assert (table["shuffled_nmi_low"] > 0).all(), "NMI is above 0 by chance"
    assert table.set_index("method").loc[HIERARCHICAL, "k"] == 10
    notes = cluster_notes(NAMES, pack)
    assert notes == [
        "hierarchical: 10 clusters and not 15, since 30 emotions are fewer than 3 per cluster"
    ]
    assert len(cluster_notes([f"e{i}" for i in range(45)], pack)) == 0


def test_a_pack_without_clusters_is_not_measured() -> None:
    cosines, _ = planted(2)
    table = cluster_agreement(
        cosines[None], [0], NAMES, {"e1": "x"}, draws=100, seed=0, shuffled=[]
    )
    assert table[["ari", "nmi", "ari_p"]].isna().all(axis=None)
    assert table["silhouette"].notna().all()
    note = cluster_notes(NAMES, {"e1": "x"})[-1]
    assert "not measured: emotions.csv gives a cluster for 1 of the 30 emotions" in note


def test_the_table_names_clusters_in_the_order_of_the_leaves() -> None:
    cosines, pack = planted(0)
    table = cluster_table(NAMES, cosines, {"e0": 1.0}, pack, 0)
    assert list(table.columns) == [
        *("emotion", "valence", "pack_cluster", "kmeans_10", "kmeans_best", "hierarchical", "leaf")
    ]
    assert sorted(table["leaf"]) == list(range(N))
    ordered = table.sort_values("leaf")
    assert ordered["kmeans_best"].is_monotonic_increasing
    assert ordered["hierarchical"].is_monotonic_increasing
    assert table["valence"].notna().sum() == 1


@pytest.mark.parametrize("n", [3, 4, 8])
def test_few_emotions_get_few_clusters(n: int) -> None:
    found = clusterings(planted(0)[0][:n, :n], 0)
    assert all(2 <= c.k < n or n == 3 for c in found.values())
    assert found[KMEANS].k == 2


def test_coordinates_have_the_cosines() -> None:
    cosines, _ = planted(3)
    x = coordinates(cosines)
    np.testing.assert_allclose(x @ x.T, cosines, atol=1e-9)


def test_packs_have_their_clusters(pack: Stimuli) -> None:
    emoexp = load_stimuli("bundled:emoexp")
    assert set(emoexp.clusters) == set(emoexp.emotions)
    assert len(set(emoexp.clusters.values())) == 10
    assert pack.clusters == {}


def test_an_empty_cluster_is_none(tmp_path: Path) -> None:
    from emoexp.stimuli.reader import Reader

    (tmp_path / "emotions.csv").write_text("emotion,valence,cluster\na,1,X\nb,,\nc,0, Y \n")
    reader = Reader(tmp_path)
    names, valence, clusters = reader.emotions()
    assert (names, valence, clusters) == (("a", "b", "c"), {"a": 1, "c": 0}, {"a": "X", "c": "Y"})
    assert reader.faults == []
