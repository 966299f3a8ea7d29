"""Figures of the cosines of emotion vectors: all of them in the order of a dendrogram, and the
nearest and the most opposed pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from emoexp.figures import style
from emoexp.stats.labels import SHUFFLED


def cosine_map(cosines: pd.DataFrame, clusters: pd.DataFrame | None, title: str) -> Figure:
    """Draws the cosine of every pair of emotions, in the order of the leaves of the dendrogram
    (average linkage on 1 - cosine) that stands beside it. Colours are symmetric about 0.

    Args:
        cosines: one row per emotion: emotion, and a column for each.
        clusters: one row per emotion: emotion, hierarchical; lines are drawn between its clusters.
    """
    names = list(cosines["emotion"])
    matrix = cosines.set_index("emotion").loc[names, names].to_numpy(dtype=float)
    n = len(names)
    side = max(4.2, style.names_length(n))
    figure = style.new_figure(side + 3.4, side + 2.2)
    tree, axes = figure.subplots(1, 2, width_ratios=[1.1, side])
    order = _dendrogram(tree, matrix)
    ordered = matrix[np.ix_(order, order)]
    apart = np.abs(ordered[~np.eye(n, dtype=bool)]).max()
    limit = float(apart) or 1.0
    how: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
    image = axes.imshow(ordered, cmap=style.DIVERGING, vmin=-limit, vmax=limit, **how)
    labels = [names[k] for k in order]
    style.name_ticks(axes, labels)
    axes.set_yticks(range(n), labels, fontsize=style.name_size(n))
    axes.spines[["top", "right"]].set_visible(True)
    if clusters is not None:
        of_emotion = clusters.set_index("emotion")["hierarchical"]
        _borders(axes, [of_emotion[name] for name in labels])
    place: dict[str, Any] = {"shrink": 0.6, "extend": "max" if limit < 1 else "neither"}
    figure.colorbar(image, ax=axes, label="cosine (the diagonal is 1)", **place)
    lines = ", lines: its clusters" if clusters is not None else ""
    what = f"Cosines of {n} emotion vectors, by average linkage on 1 - cosine{lines}"
    style.head(figure, what, title)
    return figure


def _dendrogram(axes: Axes, cosines: np.ndarray) -> list[int]:
    """Draws the dendrogram with its first leaf at the top, and returns the order of the leaves."""
    distances = np.maximum(1 - (cosines + cosines.T) / 2, 0)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    how: dict[str, Any] = {"orientation": "left", "no_labels": True, "color_threshold": 0}
    drawn: Any = dendrogram(tree, ax=axes, above_threshold_color=style.CONNECTION, **how)
    axes.set_ylim(10 * len(cosines), 0)
    axes.set_xlabel("1 - cosine", fontsize=style.SMALL)
    axes.tick_params(labelsize=style.SMALL)
    axes.spines["left"].set_visible(False)
    return [int(leaf) for leaf in drawn["leaves"]]


def _borders(axes: Axes, clusters: Sequence[int]) -> None:
    """Draws lines between neighbours of different clusters."""
    line: dict[str, Any] = {"color": style.INK, "linewidth": 0.6}
    for k in range(1, len(clusters)):
        if clusters[k] != clusters[k - 1]:
            axes.axhline(k - 0.5, **line)
            axes.axvline(k - 0.5, **line)


def pair_dots(pairs: pd.DataFrame, sanity: pd.DataFrame | None, title: str) -> Figure:
    """Draws the cosines of the nearest and the most opposed pairs, and of those of which the sign
    is expected, with their intervals, over the range of shuffled labels where it is known.

    Args:
        pairs: kind, rank, a, b, cosine, low, high, and perhaps shuffled_low and shuffled_high.
        sanity: a, b, expected (the sign), cosine, low, high, shuffled_low, shuffled_high, holds.
    """
    kinds = [(f"{kind} pairs", part) for kind, part in pairs.groupby("kind", sort=False)]
    parts = [(name, part.sort_values("rank").assign(filled=True)) for name, part in kinds]
    if sanity is not None and len(sanity):
        signs = sanity["expected"].astype(float).map(lambda s: "+" if s > 0 else "-")
        held = sanity["holds"].astype(bool)
        named = sanity.assign(b=sanity["b"] + " (" + signs + ")", filled=held)
        parts.append(("pairs with an expected sign (hollow: does not hold)", named))
    heights = [len(part) + 2 for _, part in parts]
    figure = style.new_figure(7, 0.2 * sum(heights) + 1.6)
    panels = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, (name, part) in zip(panels[:, 0], parts, strict=True):
        _pair_panel(axes, part.reset_index(drop=True))
        axes.set_title(name)
    panels[-1, 0].set_xlabel("cosine")
    handles = [
        *panels[0, 0].plot([], [], "o-", color=style.MODEL, label="cosine, 95 %"),
        panels[0, 0].fill_between([], [], [], label=f"{SHUFFLED}, 95 %", **style.band_of(SHUFFLED)),
    ]
    shown = handles if any("shuffled_low" in part for _, part in parts) else handles[:1]
    figure.legend(handles=shown, loc="outside lower center", ncols=2)
    style.head(figure, "Nearest and most opposed emotions", title)
    return figure


def _pair_panel(axes: Axes, part: pd.DataFrame) -> None:
    y = np.arange(len(part))
    if "shuffled_low" in part:
        width = part["shuffled_high"] - part["shuffled_low"]
        axes.barh(y, width, left=part["shuffled_low"], height=0.8, **style.band_of(SHUFFLED))
    axes.hlines(y, part["low"], part["high"], color=style.MODEL, linewidth=1.2)
    faces = [style.MODEL if full else style.HOLLOW for full in part["filled"]]
    shape = style.SETS["emotions"].shape
    axes.scatter(part["cosine"], y, s=24, c=faces, edgecolors=style.MODEL, marker=shape, zorder=3)
    axes.axvline(0, **style.AXIS_LINE)
    axes.set_yticks(y, part["a"] + ", " + part["b"])
    axes.set_ylim(len(part) - 0.4, -0.6)
