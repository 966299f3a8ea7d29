"""The map of emotions: every vector as a named point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures.names import name_points
from emoexp.figures.style import CATEGORIES, SMALL, TINY, Mark, head, new_figure, valence_marks

MEMBERS = 3
"""Emotions that the legend names of a cluster."""
DENSE = 80
"""Emotions from which on names are one point smaller."""


Groups = list[tuple[np.ndarray, str, Mark]]
"""Emotions that are drawn alike: which, what they have in common, and their mark."""


def emotion_maps(
    coordinates: pd.DataFrame, clusters: pd.Series | None, axis_labels: Sequence[str], title: str
) -> Figure:
    """Draws the emotions at their coordinates, a row of panels for each method: marked by valence
    and, beside it, by cluster. No name overlaps another.

    Args:
        coordinates: emotion, x, y, method, valence (NaN where it is not known).
        clusters: the number of each emotion's cluster, by emotion; None: no second panel.
        axis_labels: names of x and y of the PCA.
    """
    methods = list(dict.fromkeys(coordinates["method"]))
    n = coordinates["emotion"].nunique()
    side = max(5.2, 0.062 * n)
    columns = 1 if clusters is None else 2
    figure = new_figure(side * columns, (side + 0.8) * len(methods) + 0.6)
    panels = figure.subplots(len(methods), columns, squeeze=False)
    named = []
    for row, method in zip(panels, methods, strict=True):
        points = coordinates[coordinates["method"] == method].reset_index(drop=True)
        groupings = [("by valence", valence_marks(points["valence"].to_numpy(float)))]
        if clusters is not None:
            of_points = clusters.loc[points["emotion"]].to_numpy()
            groupings.append(("by cluster", cluster_groups(points["emotion"], of_points)))
        for axes, (name, groups) in zip(row, groupings, strict=True):
            labels = axis_labels if method == "PCA" else (f"{method} 1", f"{method} 2")
            _panel(axes, points, groups, labels, side)
            axes.set_title(f"{method}, {name}")
            named.append((axes, points))
    head(figure, f"Map of {n} emotion vectors", title)
    for axes, points in named:
        size = SMALL if n <= DENSE else TINY
        name_points(axes, points[["x", "y"]].to_numpy(float), list(points["emotion"]), size=size)
    return figure


def cluster_groups(names: pd.Series, clusters: np.ndarray) -> Groups:
    """Returns the clusters, each with its number and its first emotions as label.

    Raises:
        ValueError: there are more clusters than marks.
    """
    found = [int(k) for k in np.unique(clusters)]
    if len(found) > len(CATEGORIES):
        raise ValueError(f"{len(found)} clusters cannot be told apart: {len(CATEGORIES)} at most")
    groups: Groups = []
    for number, mark in zip(found, CATEGORIES, strict=False):
        members = clusters == number
        few = list(names[members][:MEMBERS])
        more = ", ..." if members.sum() > MEMBERS else ""
        groups.append((members, f"{number}: {', '.join(few)}{more}", mark))
    return groups


def _panel(
    axes: Axes, points: pd.DataFrame, groups: Groups, labels: Sequence[str], side: float
) -> None:
    """Draws the points of each group, with the legend below a panel of about
    `side` inches."""
    for members, label, mark in groups:
        style: dict[str, Any] = {"s": 18, "color": mark.colour, "marker": mark.shape}
        axes.scatter(points["x"][members], points["y"][members], label=label, **style)
    axes.margins(0.1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    columns = 3 if len(groups) <= 3 else 2
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.5 / side)}
    axes.legend(fontsize=SMALL, ncols=columns, **place)
