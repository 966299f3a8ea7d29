"""How the tables of a geometry look in the terminal."""

from __future__ import annotations

from functools import partial

import pandas as pd

from emoexp.store.record import SavedRun
from emoexp.views.formats import Layout, columns, laid_out, numbers, ranges

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


def ends(run: SavedRun) -> pd.DataFrame:
    """Lays out the emotions at the ends of the first components, at the run's layer."""
    t = _here(run, run.table("component_ends"))
    rows = [
        {"component": f"PC{component}", "end": end, "emotions": ", ".join(part["emotion"])}
        for (component, end), part in t.groupby(["component", "end"], sort=False)
    ]
    return pd.DataFrame(rows)


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


def similarity(run: SavedRun) -> pd.DataFrame:
    """Lays out, by layer, the similarity with the words alone, and with people's ratings where it
    is measured."""
    parts = []
    for name, what in (("word_similarity", "words alone"), ("norm_similarity", "ratings")):
        if name in run.names:
            layout = (
                f"layer; {what}, rho = rho:.2f; {what}, 95 % = low..high;"
                f" {what}, permuted names = null_low..null_high; {what}, p = p:.2g"
            )
            parts.append(laid_out(run.table(name), layout).set_index("layer"))
    return pd.concat(parts, axis=1).reset_index()


def _here(run: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of a table that are of the run's own layer."""
    return t[t["layer"] == run.record.layer].reset_index(drop=True)


def _pairs(run: SavedRun, t: pd.DataFrame, kind: str = "") -> pd.DataFrame:
    """Returns the pairs at the run's layer, of one kind if it is named, with both names."""
    t = _here(run, t[t["kind"] == kind] if kind else t)
    return t.assign(pair=t["a"] + " / " + t["b"])


def _named_components(_: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Writes the component and the limit of the null as texts."""
    null = [f"< {x:.2f}" for x in t["null_high"]]
    return t.assign(component=[f"PC{i}" for i in t["component"]], null=null)


PAIRS = (
    "pair; cosine = cosine:+.3f; 95 % = low..high:+.2f;"
    " same rank, shuffled labels = shuffled_low..shuffled_high:+.2f"
)
WORDS = "{t} = {n}:.3f; {t}, 95 % = {n}_low..{n}_high:.3f; "
NULLED = WORDS + "{t}, shuffled labels = shuffled_{n}_low..shuffled_{n}_high:.3f; "
AGREEMENT = (
    "; {t} = {n}:.2f; {t}, permuted = {n}_low..{n}_high;"
    " {t}, shuffled labels = shuffled_{n}_low..shuffled_{n}_high; {t}, p = {n}_p:.2g"
)
"""Columns of one statistic: its title `t`, and its name `n` in the table."""
ACCURACIES = (("AUC", "auc"), ("top 1", "top1"))

FORMATS: dict[str, tuple[str, Layout]] = {
    "principal components": ("components", components),
    "axes": columns(
        "axes",
        "layer; axis; component; |r| = r:.2f; 95 % = low..high; searched null = null; p = p:.2g;"
        " n; source",
        _named_components,
    ),
    "ends of the components": ("component_ends", ends),
    "sanity pairs": columns(
        "sanity_pairs",
        "pair; expected = expected:positive?negative; cosine = cosine:+.3f;"
        " 95 % = low..high:+.2f; shuffled labels = shuffled_low..shuffled_high:+.2f;"
        " holds = holds:yes?no",
        _pairs,
    ),
    "nearest pairs": columns("pairs", PAIRS, partial(_pairs, kind="nearest")),
    "most opposed pairs": columns("pairs", PAIRS, partial(_pairs, kind="opposed")),
    "held-out stories": columns(
        "held_out_by_layer",
        f"layer; {''.join(NULLED.format(t=t, n=n) for t, n in ACCURACIES)}top 5 = top5:.3f",
    ),
    "held-out stories, by a bag of words alone": columns(
        "words", f"{''.join(WORDS.format(t=t, n=n) for t, n in ACCURACIES)}top 5 = top5:.3f"
    ),
    "clusters of the hierarchy": ("clusters", clusters),
    "agreement with the pack's clusters": columns(
        "cluster_agreement",
        "method; k; n; silhouette = silhouette:.2f"
        + "".join(AGREEMENT.format(t=n.upper(), n=n) for n in ("ari", "nmi")),
        _here,
    ),
    "similarity of the cosines with those of words alone, and with people's ratings": (
        "word_similarity",
        similarity,
    ),
}
"""By title: the table that must be there, and its layout."""
