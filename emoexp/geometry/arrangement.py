"""How the emotions are arranged, over all layers: clusters, similarity of layers, similarity with
people's ratings, and what of these and of held-out stories is said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from emoexp.geometry.clusters import cluster_agreement, cluster_notes, cluster_table
from emoexp.geometry.cosines import Cosines
from emoexp.geometry.findings import at_layer, run_layer
from emoexp.geometry.similarity import FEWEST_COMMON, layer_similarity, norm_similarity
from emoexp.stimuli.norms import Norms

SHUFFLES = 40
"""Draws of shuffled labels that are clustered and compared at each layer, at most."""


def arrangement_tables(
    space: Cosines,
    own: int,
    shuffled: Sequence[np.ndarray],
    valence: Mapping[str, float],
    pack_clusters: Mapping[str, str],
    norms: Norms | None,
    draws: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Computes the tables `clusters` (of the run's own layer), `cluster_agreement`,
    `layer_similarity` and `norm_similarity`; a similarity with too few emotions is left out.

    Args:
        own: the run's own layer, one of those of `space`.
        shuffled: cosines of vectors from shuffled labels, for each layer (draw, emotion, emotion),
            the same shuffles at each.
        norms: human norms; None where the user names none.
        draws: permutations, and resamples of the emotions.
    """
    names, layers, matrices = space.names, space.layers, space.matrices
    here = matrices[layers.index(own)]
    tables = {
        "clusters": cluster_table(names, here, valence, pack_clusters, seed),
        "cluster_agreement": cluster_agreement(
            matrices, layers, names, pack_clusters, draws=draws, seed=seed, shuffled=shuffled
        ),
    }
    if len(names) >= FEWEST_COMMON:
        tables["layer_similarity"] = layer_similarity(matrices, layers, shuffled)
    if norms is not None and len(norms.valence) >= FEWEST_COMMON:
        tables["norm_similarity"] = norm_similarity(matrices, layers, names, norms, draws, seed)
    return tables


def arrangement_metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Returns the numbers at the run's own layer; those that are not measured are left out."""
    own = run_layer(tables)
    told = at_layer(tables["held_out_by_layer"], own)
    found = {f"held_out_{name}": float(told[name].iloc[0]) for name in ("auc", "top1", "top5")}
    for row in at_layer(tables["cluster_agreement"], own).to_dict("records"):
        method = str(row["method"]).replace("-", "").replace(", ", "_").replace(" ", "_")
        found |= {f"{method}_{name}": row[name] for name in ("k", "silhouette", "ari", "nmi")}
    if "norm_similarity" in tables:
        rated = at_layer(tables["norm_similarity"], own)
        found["norm_similarity"] = float(rated["rho"].iloc[0])
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def arrangement_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says at how many layers held-out stories and clusters are beyond their nulls, and what is not
    measured."""
    return [
        held_out_note(tables["held_out_by_layer"]),
        *agreement_notes(tables),
        *(similarity_note(tables["layer_similarity"]) if "layer_similarity" in tables else ()),
        *not_measured(tables),
    ]


def held_out_note(table: pd.DataFrame) -> str:
    """Says where vectors tell held-out stories best, and at how many layers beyond the null."""
    best = table.iloc[int(table["top1"].to_numpy().argmax())]
    beyond = (table["top1"] > table["shuffled_top1_high"]).sum()
    return (
        f"held-out stories: top 1 beyond the range of shuffled labels at {beyond} of {len(table)}"
        f" layers, highest at layer {best['layer']:.0f} ({best['top1']:.2f}, chance"
        f" {best['chance_top1']:.2f}, AUC {best['auc']:.2f}); the layer is chosen by this number"
    )


def agreement_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says at how many layers each method agrees with the pack beyond both nulls."""
    found = []
    measured = tables["cluster_agreement"].dropna(subset=["ari"])
    for method, rows in measured.groupby("method", sort=False):
        nulls = rows[["ari_high", "shuffled_ari_high"]].max(axis=1)
        beyond = int((rows["ari"] > nulls).sum())
        found.append(
            f"clusters by {method}: ARI with the pack's clusters {rows['ari'].min():.2f} to"
            f" {rows['ari'].max():.2f}, beyond permuted clusters and shuffled labels at {beyond} of"
            f" {len(rows)} layers"
        )
    clusters = tables["clusters"]
    pack = {e: c for e, c in zip(clusters["emotion"], clusters["pack_cluster"], strict=True) if c}
    return [*found, *cluster_notes(list(clusters["emotion"]), pack)]


def similarity_note(table: pd.DataFrame) -> list[str]:
    """Says how alike neighbouring layers are, and how much of it shuffled labels give too."""
    layers = sorted(table["layer_a"].unique())
    if len(layers) < 2:
        return []
    after = dict(pairwise(layers))
    near = table[table["layer_a"].map(after) == table["layer_b"]]
    ends = table[(table["layer_a"] == layers[0]) & (table["layer_b"] == layers[-1])].iloc[0]
    return [
        f"similarity of layers: rho of neighbours {near['rho'].min():.2f} to"
        f" {near['rho'].max():.2f} (shuffled labels up to {near['shuffled_high'].max():.2f}, since"
        f" all layers read the same stories), of the first and the last {ends['rho']:.2f} (shuffled"
        f" labels {ends['shuffled_low']:.2f} to {ends['shuffled_high']:.2f})"
    ]


def not_measured(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says which similarity is not measured, and what it takes."""
    enough = f"at least {FEWEST_COMMON} emotions"
    found = []
    if "layer_similarity" not in tables:
        found.append(f"similarity of layers is not measured: it takes {enough}")
    if "norm_similarity" not in tables:
        found.append(
            "similarity with people's ratings is not measured: it takes human norms"
            f" (emotions.norms) of {enough} of the run"
        )
    return found
