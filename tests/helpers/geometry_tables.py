"""Tables of a run of `geometry` that nobody ran."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

LAYERS = (2, 5, 8)


def names_of(n: int) -> list[str]:
    """Words of 3 to 14 letters, as names of emotions are."""
    rng = np.random.default_rng(5)
    letters = list("abcdefghijklmnoprstuvwy")
    return [f"{''.join(rng.choice(letters, 1 + k % 12))}{k:02d}" for k in range(n)]


def tables(n: int, layers: tuple[int, ...] = LAYERS) -> dict[str, pd.DataFrame]:
    """The tables of `n` emotions in some clusters, the last one without a valence."""
    rng = np.random.default_rng(0)
    names, k = names_of(n), min(10, n)
    centres = rng.normal(size=(k, 24))
    kinds = np.sort(rng.integers(0, k, n))
    vectors = centres[kinds] + 0.6 * rng.normal(size=(n, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    x, y = (places[0] * places[1])[:, :2].T if n > 2 else vectors[:, :2].T
    valence = np.where(np.arange(n) == n - 1, np.nan, np.sign(x))
    cosines = pd.DataFrame(vectors @ vectors.T, columns=names)
    cosines.insert(0, "emotion", names)
    points = pd.DataFrame({"emotion": names, "x": x, "y": y, "method": "PCA", "valence": valence})
    clusters = pd.DataFrame({"emotion": names, "valence": valence, "pack_cluster": ""})
    columns = {name: kinds + 1 for name in ("kmeans_10", "kmeans_best", "hierarchical")}
    return {
        "cosines": cosines,
        "coordinates": points,
        "clusters": clusters.assign(**columns, leaf=np.arange(n)),
        "pairs": pairs(names, layers),
        "sanity_pairs": sanity(names, layers),
    } | by_layer(n, layers, rng)


def pairs(names: list[str], layers: tuple[int, ...]) -> pd.DataFrame:
    """One pair, or five, of each kind at each layer."""
    rows = []
    for layer, (kind, sign) in product(layers, (("nearest", 1), ("opposed", -1))):
        for rank in range(1, min(6, len(names))):
            value = sign * (0.9 - 0.1 * rank)
            pair = (names[0], names[rank])
            rows.append((layer, kind, rank, *pair, value, value - 0.1, value + 0.1, -0.2, 0.2))
    ends = ["cosine", "low", "high", "shuffled_low", "shuffled_high"]
    return pd.DataFrame(rows, columns=["layer", "kind", "rank", "a", "b", *ends])


def sanity(names: list[str], layers: tuple[int, ...]) -> pd.DataFrame:
    """One pair that holds at each layer, and one that does not."""
    rows = [
        (layer, names[0], names[1], sign, 0.5, 0.4, 0.6, -0.2, 0.2, sign > 0)
        for layer, sign in product(layers, (1, -1))
    ]
    ends = ["cosine", "low", "high", "shuffled_low", "shuffled_high", "holds"]
    return pd.DataFrame(rows, columns=["layer", "a", "b", "expected", *ends])


def by_layer(n: int, layers: tuple[int, ...], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """The tables with a row per layer."""
    shares = [
        (layer, layer / 12, k, 0.5 / k**1.2, 0.05 / k, 0.1 / k)
        for layer, k in product(layers, range(1, min(10, n) + 1))
    ]
    axes = [
        (layer, axis, k, sign * 0.8, sign * 0.8 - 0.1, sign * 0.8 + 0.1, n, 0.3, p, "a source")
        for layer, (axis, k, sign, p) in product(
            layers, (("valence", 1, 1, 0.01), ("arousal", 3, -1, 0.2))
        )
    ]
    auc, top1 = rng.uniform(0.8, 0.9, len(layers)), rng.uniform(0.4, 0.6, len(layers))
    held = pd.DataFrame({"layer": layers, "auc": auc, "top1": top1})
    rho = [(a, b, 1 - 0.05 * abs(a - b)) for a, b in product(layers, layers)]
    norms = pd.DataFrame({"layer": layers, "rho": 0.4, "low": 0.3, "high": 0.5, "p": 0.001, "n": n})
    share_columns = ["layer", "depth", "component", "share", "shuffled_low", "shuffled_high"]
    axis_columns = ["layer", "axis", "component", "r", "low", "high", "n", "null_high", "p"]
    return {
        "components": pd.DataFrame(shares, columns=share_columns),
        "axes": pd.DataFrame(axes, columns=[*axis_columns, "source"]),
        "layer_similarity": pd.DataFrame(rho, columns=["layer_a", "layer_b", "rho"]),
        "norm_similarity": norms.assign(source="a source"),
        "held_out_by_layer": held.assign(
            auc_low=auc - 0.03,
            auc_high=auc + 0.03,
            top1_low=top1 - 0.05,
            top1_high=top1 + 0.05,
            top5=0.8,
            chance_top1=1 / n,
            chance_top5=min(1.0, 5 / n),
            shuffled_auc_low=0.47,
            shuffled_auc_high=0.53,
            shuffled_top1_low=0.0,
            shuffled_top1_high=0.1,
        ),
    }
