"""How each figure of the geometry is drawn from the tables of a saved run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from emoexp.figures.geometry.by_layer import (
    axis_correlations,
    component_shares,
    held_out_accuracy,
    similarity_map,
)
from emoexp.figures.geometry.cosines import cosine_map, pair_dots
from emoexp.figures.geometry.emotion_map import emotion_maps
from emoexp.figures.titles import title_of
from emoexp.store.record import SavedRun


def _optional(run: SavedRun, name: str) -> pd.DataFrame | None:
    """Reads a table; None where the run has not measured it."""
    return run.table(name) if name in run.names else None


def _at_layer(run: SavedRun, table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the run's layer."""
    return table[table["layer"] == run.record.layer]


def cosines(run: SavedRun) -> Figure:
    """Draws the cosine of every pair of emotions."""
    return cosine_map(run.table("cosines"), _optional(run, "clusters"), title_of(run))


def components(run: SavedRun) -> Figure:
    """Draws the components' shares of variance by layer."""
    return component_shares(run.table("components"), title_of(run, layer=False))


def axes(run: SavedRun) -> Figure | None:
    """Draws the components of valence and arousal by layer; None where neither is measured."""
    table = run.table("axes")
    return axis_correlations(table, title_of(run, layer=False)) if len(table) else None


def emotion_map(run: SavedRun) -> Figure:
    """Draws the map of emotions, by valence and by the ten clusters of k-means."""
    clusters = _optional(run, "clusters")
    of_emotion = None if clusters is None else clusters.set_index("emotion")["kmeans_10"]
    labels, shares = ["PC1", "PC2"], _optional(run, "components")
    if shares is not None:
        here = _at_layer(run, shares).set_index("component")["share"]
        labels = [f"PC{k} ({here[k]:.0%} of the variance)" for k in (1, 2) if k in here]
        labels += ["PC2"] * (2 - len(labels))
    return emotion_maps(run.table("coordinates"), of_emotion, labels, title_of(run))


def layer_similarity(run: SavedRun) -> Figure | None:
    """Draws the similarity of layers; None of a run with one layer."""
    table = run.table("layer_similarity")
    if table["layer_a"].nunique() < 2:
        return None
    title = title_of(run, layer=False)
    return similarity_map(table, _optional(run, "norm_similarity"), title)


def pairs(run: SavedRun) -> Figure:
    """Draws the nearest and the most opposed pairs at the run's layer."""
    sanity = _optional(run, "sanity_pairs")
    if sanity is not None:
        sanity = _at_layer(run, sanity)
    return pair_dots(_at_layer(run, run.table("pairs")), sanity, title_of(run))


def held_out(run: SavedRun) -> Figure:
    """Draws the accuracy on held-out stories by layer."""
    table, words = run.table("held_out_by_layer"), _optional(run, "words")
    return held_out_accuracy(table, words, title_of(run, layer=False))
