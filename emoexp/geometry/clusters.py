"""Clusters of the emotion vectors, and their agreement with the pack's clusters.

k-means with k = 10 (paper, geometry of emotion vectors) and with the k of the best silhouette, and
average linkage on 1 - cosine cut into 15 clusters (as gemotions does). All are computed from the
cosines alone: vectors of unit norm that have these cosines lie at the same distances.

Agreement is the adjusted Rand index (ARI: 0 expected by chance, 1 for the same partition) and the
normalised mutual information (NMI, arithmetic mean: above 0 by chance, the more the more clusters).
Its null is that the pack's clusters are permuted among the emotions; beside it is the agreement of
vectors from shuffled labels, clustered with the same k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.special import xlogy
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from emoexp.stats.intervals import central, p_value

KMEANS, BEST, HIERARCHICAL = "k-means", "k-means, best silhouette", "hierarchical"
"""The methods, as tables name them."""
COLUMNS = {KMEANS: "kmeans_10", BEST: "kmeans_best", HIERARCHICAL: "hierarchical"}
CLUSTERS = {KMEANS: 10, HIERARCHICAL: 15}
MOST = 20
"""Largest k whose silhouette is tried."""
STARTS = 10
"""Starts of each k-means, of which the best stands."""
PER_CLUSTER = 3
"""Fewest emotions per cluster on average: with fewer emotions than PER_CLUSTER x k, k is lower."""
FEWEST = 6
"""Fewest emotions with a cluster of the pack for which agreement is computed."""


def bounded(k: int, n: int) -> int:
    """Returns k, or fewer where `n` emotions are too few for k clusters; at least 2."""
    return max(2, min(k, n // PER_CLUSTER))


@dataclass(frozen=True)
class Clustering:
    """The cluster of each emotion, 1 to k in the order of the leaves; (emotion,).

    Attributes:
        silhouette: mean over emotions of the silhouette by 1 - cosine; -1 to 1.
    """

    labels: np.ndarray
    k: int
    silhouette: float


def coordinates(cosines: np.ndarray) -> np.ndarray:
    """Returns points of n dimensions whose inner products are the cosines; (n, n) -> (n, n)."""
    values, vectors = np.linalg.eigh(np.asarray(cosines, np.float64))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def distances(cosines: np.ndarray) -> np.ndarray:
    """Returns 1 - cosine, with zeros on the diagonal; (n, n)."""
    found = np.maximum(1 - np.asarray(cosines, np.float64), 0)
    np.fill_diagonal(found, 0)
    return (found + found.T) / 2


def kmeans(cosines: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Returns the cluster of each emotion by k-means; (emotion,)."""
    model = KMeans(k, n_init=STARTS, random_state=seed)
    return np.asarray(model.fit_predict(coordinates(cosines)))


def hierarchical(cosines: np.ndarray, k: int) -> np.ndarray:
    """Returns the cluster of each emotion by average linkage on 1 - cosine; (emotion,)."""
    tree = linkage(squareform(distances(cosines), checks=False), "average")
    return np.asarray(fcluster(tree, k, "maxclust"))


def leaves(cosines: np.ndarray) -> np.ndarray:
    """Returns the place of each emotion in the leaf order of the dendrogram; (emotion,)."""
    pairs = squareform(distances(cosines), checks=False)
    return np.argsort(leaves_list(linkage(pairs, "average", optimal_ordering=True)))


def clusterings(cosines: np.ndarray, seed: int) -> dict[str, Clustering]:
    """Clusters the emotions of one layer by each method; cosines of (emotion, emotion)."""
    n, place = len(cosines), leaves(cosines)
    tried = {k: kmeans(cosines, k, seed) for k in range(2, min(MOST, n - 1) + 1)}
    k_means, k_tree = (bounded(CLUSTERS[method], n) for method in (KMEANS, HIERARCHICAL))
    scores = {k: _silhouette(cosines, labels) for k, labels in tried.items()}
    best = max(scores, key=lambda k: np.nan_to_num(scores[k], nan=-np.inf))
    chosen = {
        KMEANS: tried[k_means],
        BEST: tried[best],
        HIERARCHICAL: hierarchical(cosines, k_tree),
    }
    return {method: _clustering(cosines, labels, place) for method, labels in chosen.items()}


def _silhouette(cosines: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean silhouette; NaN where it is not defined, with one cluster or n of them."""
    if not 1 < len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(distances(cosines), labels, metric="precomputed"))


def _clustering(cosines: np.ndarray, labels: np.ndarray, place: np.ndarray) -> Clustering:
    """Numbers the clusters by their mean place among the leaves, from 1."""
    found = np.unique(labels)
    order = sorted(found, key=lambda label: float(place[labels == label].mean()))
    numbers = np.array([order.index(label) + 1 for label in labels])
    return Clustering(numbers, len(found), _silhouette(cosines, labels))


def cluster_table(
    names: Sequence[str],
    cosines: np.ndarray,
    valence: Mapping[str, float],
    pack_clusters: Mapping[str, str],
    seed: int,
) -> pd.DataFrame:
    """Clusters the emotions of one layer.

    Args:
        cosines: (emotion, emotion).
        valence, pack_clusters: of the emotions for which they are known.

    Returns:
        one row per emotion: emotion, valence (NaN where it is not known), pack_cluster (empty where
        there is none), kmeans_10, kmeans_best, hierarchical, and leaf, its place in the dendrogram.
    """
    found = clusterings(cosines, seed)
    columns = {COLUMNS[method]: clustering.labels for method, clustering in found.items()}
    return pd.DataFrame(
        {
            "emotion": list(names),
            "valence": [float(valence.get(name, np.nan)) for name in names],
            "pack_cluster": [pack_clusters.get(name, "") for name in names],
            **columns,
            "leaf": leaves(cosines),
        }
    )


def cluster_agreement(
    matrices: np.ndarray,
    layers: Sequence[int],
    names: Sequence[str],
    pack_clusters: Mapping[str, str],
    *,
    draws: int,
    seed: int,
    shuffled: Sequence[np.ndarray],
) -> pd.DataFrame:
    """Compares the clusters of each layer with the pack's.

    Args:
        matrices: cosines; (layer, emotion, emotion).
        draws: permutations of the pack's clusters.
        shuffled: cosines of vectors from shuffled labels, for each layer (draw, emotion, emotion).

    Returns:
        one row per layer and method: layer, method, k, silhouette, and for `ari` and `nmi` the
        value, the permuted null (_low, _high, _p) and the range of shuffled labels
        (shuffled_<name>_low, _high); n is the emotions that have a cluster in the pack. Where the
        pack has too few clusters, agreement is not measured and NaN.
    """
    known = np.array([i for i, name in enumerate(names) if name in pack_clusters], dtype=int)
    wanted = np.unique([pack_clusters[names[i]] for i in known], return_inverse=True)[1]
    measured = comparable(names, pack_clusters)
    rng = np.random.default_rng(seed)
    orders = np.array([wanted, *(rng.permutation(wanted) for _ in range(draws))])
    rows = []
    for i, layer in enumerate(layers):
        for method, found in clusterings(matrices[i], seed).items():
            row = {"layer": layer, "method": method, "k": found.k, "silhouette": found.silhouette}
            row |= dict.fromkeys(_AGREEMENT, np.nan)
            if measured:
                row |= _against_null(found.labels[known], orders)
                row |= _of_shuffled(shuffled[i], method, found.k, known, wanted, seed)
            rows.append(row | {"n": len(known)})
    return pd.DataFrame(rows)


_AGREEMENT = tuple(
    column
    for name in ("ari", "nmi")
    for column in (name, *(f"{name}_{end}" for end in ("low", "high", "p")))
) + tuple(f"shuffled_{name}_{end}" for name in ("ari", "nmi") for end in ("low", "high"))


def _against_null(labels: np.ndarray, orders: np.ndarray) -> dict[str, float]:
    """Returns both agreements with the first of `orders`, and their null from the others."""
    found: dict[str, float] = {}
    for name, values in zip(("ari", "nmi"), agreement(labels, orders), strict=True):
        found |= {name: float(values[0])} | central(values[1:]).columns(name)
        found[f"{name}_p"] = p_value(float(values[0]), values[1:])
    return found


def _of_shuffled(
    cosines: np.ndarray, method: str, k: int, known: np.ndarray, wanted: np.ndarray, seed: int
) -> dict[str, float]:
    """Returns the ranges of both agreements of vectors from shuffled labels."""
    drawn = [hierarchical(c, k) if method == HIERARCHICAL else kmeans(c, k, seed) for c in cosines]
    values = np.array([[part[0] for part in agreement(d[known], wanted[None])] for d in drawn])
    found: dict[str, float] = {}
    for name, column in zip(("ari", "nmi"), values.T, strict=True):
        found |= central(column).columns(f"shuffled_{name}")
    return found


def agreement(labels: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes ARI and NMI of one partition with many; (n,), (draw, n) -> two of (draw,).

    They are scikit-learn's `adjusted_rand_score` and `normalized_mutual_info_score`, for thousands
    of permutations at once.
    """
    n = len(labels)
    own, theirs = (
        np.eye(a.max() + 1)[a] for a in (np.unique(labels, return_inverse=True)[1], others)
    )
    table = np.einsum("nk,dnj->dkj", own, theirs)
    rows, columns = table.sum(2), table.sum(1)

    def pairs(counts: np.ndarray) -> np.ndarray:
        return np.asarray(counts * (counts - 1) / 2).reshape(len(table), -1).sum(1)

    both, first, second = pairs(table), pairs(rows), pairs(columns)
    chance, most = first * second / (n * (n - 1) / 2), (first + second) / 2
    ari = np.where(most > chance, (both - chance) / np.where(most > chance, most - chance, 1), 1)

    def entropy(counts: np.ndarray) -> np.ndarray:
        return -np.asarray(xlogy(counts / n, counts / n)).reshape(len(table), -1).sum(1)

    mean = (entropy(rows) + entropy(columns)) / 2
    information = entropy(rows) + entropy(columns) - entropy(table)
    return ari, np.where(mean > 0, information / np.where(mean > 0, mean, 1), 1)


def comparable(names: Sequence[str], pack_clusters: Mapping[str, str]) -> bool:
    """Tells whether enough emotions have a cluster in the pack, in two clusters or more."""
    known = [pack_clusters[name] for name in names if name in pack_clusters]
    return len(known) >= FEWEST and len(set(known)) > 1


def cluster_notes(names: Sequence[str], pack_clusters: Mapping[str, str]) -> list[str]:
    """Says where k is lower than asked, and whether agreement with the pack is not measured."""
    found, n = [], len(names)
    for method, k in CLUSTERS.items():
        if (lower := bounded(k, n)) < k:
            found.append(
                f"{method}: {lower} clusters and not {k}, since {n} emotions are fewer than"
                f" {PER_CLUSTER} per cluster"
            )
    if not comparable(names, pack_clusters):
        n_known = sum(name in pack_clusters for name in names)
        found.append(
            f"agreement with the pack's clusters is not measured: emotions.csv gives a cluster for"
            f" {n_known} of the {n} emotions, and at least {FEWEST} in two clusters are needed"
        )
    return found
