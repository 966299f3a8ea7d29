"""How the tables of a geometry look in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from emoexp.store.record import SavedRun
from emoexp.views.formats import numbers, ranges, yes_no

TOP = 5
"""Components whose shares are summed, as gemotions does."""


def components(run: SavedRun) -> pd.DataFrame:
    """Lays out the shares of variance by layer, as gemotions does, and the null of the first."""
    t = run.table("components")
    wide = t.pivot(index="layer", columns="component", values="share")
    first_few = wide[[i for i in range(1, TOP + 1) if i in wide]]
    first = t[t["component"] == 1].set_index("layer")
    shown = {f"PC{i}": numbers(wide[i], ".1%") for i in (1, 2, 3) if i in wide}
    return pd.DataFrame(
        {
            "layer": wide.index,
            "depth": numbers(first["depth"], ".0%"),
            **shown,
            f"top {TOP}": numbers(first_few.sum(axis=1), ".1%"),
            "PC1, shuffled labels": ranges(first["shuffled_low"], first["shuffled_high"], ".1%"),
        }
    )


def axes(run: SavedRun) -> pd.DataFrame:
    """Lays out the component of each axis by layer."""
    t = run.table("axes")
    return pd.DataFrame(
        {
            "layer": t["layer"],
            "axis": t["axis"],
            "component": [f"PC{i}" for i in t["component"]],
            "|r|": numbers(t["r"], ".2f"),
            "95 %": ranges(t["low"], t["high"]),
            "searched null": [f"< {x:.2f}" for x in t["null_high"]],
            "p": numbers(t["p"], ".2g"),
            "n": t["n"],
            "source": t["source"],
        }
    )


def ends(run: SavedRun) -> pd.DataFrame:
    """Lays out the emotions at the ends of the first components, at the run's layer."""
    t = _here(run, "component_ends")
    rows = [
        {"component": f"PC{component}", "end": end, "emotions": ", ".join(part["emotion"])}
        for (component, end), part in t.groupby(["component", "end"], sort=False)
    ]
    return pd.DataFrame(rows)


def sanity_pairs(run: SavedRun) -> pd.DataFrame:
    """Lays out the sanity pairs at the run's layer."""
    t = _here(run, "sanity_pairs")
    return pd.DataFrame(
        {
            "pair": t["a"] + " / " + t["b"],
            "expected": ["positive" if sign > 0 else "negative" for sign in t["expected"]],
            "cosine": numbers(t["cosine"], "+.3f"),
            "95 %": ranges(t["low"], t["high"], "+.2f"),
            "shuffled labels": ranges(t["shuffled_low"], t["shuffled_high"], "+.2f"),
            "holds": yes_no(t["holds"]),
        }
    )


def pairs(kind: str) -> Callable[[SavedRun], pd.DataFrame]:
    """Returns the layout of the nearest or of the most opposed pairs at the run's layer."""

    def layout(run: SavedRun) -> pd.DataFrame:
        t = _here(run, "pairs")
        t = t[t["kind"] == kind]
        return pd.DataFrame(
            {
                "pair": t["a"] + " / " + t["b"],
                "cosine": numbers(t["cosine"], "+.3f"),
                "95 %": ranges(t["low"], t["high"], "+.2f"),
                "same rank, shuffled labels": ranges(t["shuffled_low"], t["shuffled_high"], "+.2f"),
            }
        )

    return layout


def held_out(run: SavedRun) -> pd.DataFrame:
    """Lays out the accuracy on held-out stories by layer, with its nulls."""
    t = run.table("held_out_by_layer")
    shown: dict[str, Any] = {"layer": t["layer"]}
    for name, title in (("auc", "AUC"), ("top1", "top 1")):
        shown |= {
            title: numbers(t[name], ".3f"),
            f"{title}, 95 %": ranges(t[f"{name}_low"], t[f"{name}_high"], ".3f"),
            f"{title}, shuffled labels": ranges(
                t[f"shuffled_{name}_low"], t[f"shuffled_{name}_high"], ".3f"
            ),
        }
    return pd.DataFrame(shown | {"top 5": numbers(t["top5"], ".3f")})


def words(run: SavedRun) -> pd.DataFrame:
    """Lays out the accuracy of a bag of words."""
    t = run.table("words")
    return pd.DataFrame(
        {
            "AUC": numbers(t["auc"], ".3f"),
            "AUC, 95 %": ranges(t["auc_low"], t["auc_high"], ".3f"),
            "top 1": numbers(t["top1"], ".3f"),
            "top 1, 95 %": ranges(t["top1_low"], t["top1_high"], ".3f"),
            "top 5": numbers(t["top5"], ".3f"),
        }
    )


def clusters(run: SavedRun) -> pd.DataFrame:
    """Lays out the emotions of each cluster of the hierarchy, at the run's layer."""
    t = run.table("clusters").sort_values("leaf")
    rows = [
        {
            "cluster": cluster,
            "emotions": ", ".join(part["emotion"]),
            "k-means (10)": ", ".join(map(str, sorted(part["kmeans_10"].unique()))),
            "the pack's": ", ".join(filter(None, dict.fromkeys(part["pack_cluster"]))),
        }
        for cluster, part in t.groupby("hierarchical")
    ]
    return pd.DataFrame(rows)


def cluster_agreement(run: SavedRun) -> pd.DataFrame:
    """Lays out the agreement with the pack's clusters at the run's layer."""
    t = _here(run, "cluster_agreement")
    shown: dict[str, Any] = {key: t[key] for key in ("method", "k", "n")}
    shown["silhouette"] = numbers(t["silhouette"], ".2f")
    for name in ("ari", "nmi"):
        shown |= {
            name.upper(): numbers(t[name], ".2f"),
            f"{name.upper()}, permuted": ranges(t[f"{name}_low"], t[f"{name}_high"]),
            f"{name.upper()}, shuffled labels": ranges(
                t[f"shuffled_{name}_low"], t[f"shuffled_{name}_high"]
            ),
            f"{name.upper()}, p": numbers(t[f"{name}_p"], ".2g"),
        }
    return pd.DataFrame(shown)


def similarity(run: SavedRun) -> pd.DataFrame:
    """Lays out, by layer, the similarity with the words alone, and with people's ratings where it
    is measured."""
    shown: dict[str, Any] = {}
    for name, what in (("word_similarity", "words alone"), ("norm_similarity", "ratings")):
        if name in run.names:
            t = run.table(name)
            shown |= {
                "layer": t["layer"],
                f"{what}, rho": numbers(t["rho"], ".2f"),
                f"{what}, 95 %": ranges(t["low"], t["high"]),
                f"{what}, permuted names": ranges(t["null_low"], t["null_high"]),
                f"{what}, p": numbers(t["p"], ".2g"),
            }
    return pd.DataFrame(shown)


def _here(run: SavedRun, name: str) -> pd.DataFrame:
    """Reads the rows of a table that are of the run's own layer."""
    t = run.table(name)
    return t[t["layer"] == run.record.layer].reset_index(drop=True)


FORMATS: dict[str, tuple[str, Callable[[SavedRun], pd.DataFrame]]] = {
    "principal components": ("components", components),
    "axes": ("axes", axes),
    "ends of the components": ("component_ends", ends),
    "sanity pairs": ("sanity_pairs", sanity_pairs),
    "nearest pairs": ("pairs", pairs("nearest")),
    "most opposed pairs": ("pairs", pairs("opposed")),
    "held-out stories": ("held_out_by_layer", held_out),
    "held-out stories, by a bag of words alone": ("words", words),
    "clusters of the hierarchy": ("clusters", clusters),
    "agreement with the pack's clusters": ("cluster_agreement", cluster_agreement),
    "similarity of the cosines with those of words alone, and with people's ratings": (
        "word_similarity",
        similarity,
    ),
}
"""By title: the table that must be there, and its layout."""
