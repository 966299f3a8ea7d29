"""Names beside the points of a scatter, so placed that none overlaps another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from emoexp.figures.style import CONNECTION, INK, SMALL

GAP = 3.0
"""Points between a mark's centre and its name, and the step by which a name moves away."""
MARK = 2.5
"""Points from a mark's centre to its edge."""
REACH = 60
"""Steps away from a point up to which a name has to lie within the axes."""
FAR = 6.0
"""Points from which on a name is connected to its mark by a line."""
ANGLES = np.deg2rad([15, -15, 165, -165, 90, -90, 45, -45, 135, -135, 65, -65, 115, -115, 0, 180])
"""Directions in which a place is looked for, the most readable first."""


def name_points(
    axes: Axes,
    points: np.ndarray,
    names: Sequence[str],
    *,
    size: float = SMALL,
    avoid: np.ndarray | None = None,
) -> list[Annotation]:
    """Writes the name of each point beside it, at the nearest free place in a fixed order of
    directions, the most crowded point first. Names overlap neither each other nor a point, and lie
    within the axes where there is room; one that stands away from its point is connected to it.

    The figure's layout is fixed here, since a place is free in one layout only: titles and legends
    have to be there.

    Args:
        points: x and y of each name; (name, 2).
        avoid: points without names that no name may cover; (point, 2).
    """
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    figure.set_layout_engine("none")  # type: ignore[union-attr]
    point = figure.dpi / 72
    places = axes.transData.transform(points)
    frame = np.array(axes.get_window_extent().extents)
    marks = places if avoid is None else axes.transData.transform(np.vstack([points, avoid]))
    taken = np.hstack([marks - MARK * point, marks + MARK * point])
    texts = []
    for k in _most_crowded_first(places):
        shape = _size(axes, names[k], size) + point
        low = _free_place(places[k], shape, taken, frame, GAP * point)
        taken = np.vstack([taken, np.concatenate([low, low + shape])])
        texts.append(_write(axes, points[k], (low - places[k]) / point, shape / point, names[k]))
        texts[-1].set_fontsize(size)
    return texts


def _size(axes: Axes, name: str, size: float) -> np.ndarray:
    """Returns width and height of a name in pixels."""
    text = axes.text(0, 0, name, fontsize=size)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _most_crowded_first(places: np.ndarray) -> list[int]:
    """Returns the points by the mean distance of their five nearest."""
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.sort(distances, axis=1)[:, :6].mean(axis=1)
    return [int(k) for k in np.argsort(nearest, kind="stable")]


def _corners(place: np.ndarray, shape: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """Yields where the lower left corner of a name may stand, the nearest to its point first."""
    for ring in count(1):
        for angle in ANGLES:
            way = np.array([np.cos(angle), np.sin(angle)])
            yield place + way * (shape / 2 + step * ring) - shape / 2


def _free_place(
    place: np.ndarray, shape: np.ndarray, taken: np.ndarray, frame: np.ndarray, step: float
) -> np.ndarray:
    """Returns the first free corner; one within the frame if there is any in reach.

    Args:
        taken: left, bottom, right and top of what is there, in pixels as all else; (box, 4).
    """
    outside: np.ndarray | None = None
    for tried, low in enumerate(_corners(place, shape, step)):
        high = low + shape
        free = ((low >= taken[:, 2:]) | (high <= taken[:, :2])).any(axis=1).all()
        if free and (low >= frame[:2]).all() and (high <= frame[2:]).all():
            return low
        outside = low if free and outside is None else outside
        if outside is not None and tried > REACH * len(ANGLES):
            return outside
    raise AssertionError("there are places without end")


def _write(
    axes: Axes, point: np.ndarray, low: np.ndarray, shape: np.ndarray, name: str
) -> Annotation:
    """Writes a name with its lower left corner at `low`, in points from its point."""
    nearest = np.clip(np.zeros(2), low, low + shape)
    line = {"arrowstyle": "-", "color": CONNECTION, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 1}
    far = float(np.linalg.norm(nearest)) > FAR
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "left", "va": "bottom"}
    place |= {"xytext": (float(low[0]), float(low[1])), "arrowprops": line if far else None}
    xy = float(point[0]), float(point[1])
    return axes.annotate(name, xy, color=INK, annotation_clip=False, **place)
