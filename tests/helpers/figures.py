"""What a reader sees of a figure: texts that overlap, or that are cut by its edge."""

from __future__ import annotations

from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

SLACK = 0.75
"""Points by which boxes may touch: they are rounded to pixels."""


def shown(figure: Figure) -> list[Text]:
    """Every text that is drawn and not empty, without numbers inside cells."""
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    hidden = set(chain.from_iterable(map(_not_drawn, figure.axes)))
    return [t for t in found if t.get_visible() and t.get_text().strip() and t not in hidden]


def _not_drawn(axes: Axes) -> set[Text]:
    """Tick labels beyond the limits of an axis, or of an axis that is off."""
    texts: set[Text] = set()
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        ends, room = sorted((low, high)), 1e-6 * abs(high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            inside = ends[0] - room <= tick.get_loc() <= ends[1] + room
            if not (inside and axes.axison):
                texts |= {tick.label1, tick.label2}
    return texts


def faults(figure: Figure) -> list[str]:
    """The texts that cover each other, and those that stick out of the figure."""
    texts = shown(figure)
    # The extent of an annotation is that of its text, without the line to its point.
    extents = [Text.get_window_extent(text).extents for text in texts]
    found, size = np.array(extents) * 72 / figure.dpi, figure.get_size_inches() * 72
    low, high = found[:, None, :2], found[:, None, 2:]
    apart = (low >= high.swapaxes(0, 1) - SLACK) | (high <= low.swapaxes(0, 1) + SLACK)
    names = [text.get_text() for text in texts]
    pairs = [(i, j) for i, j in np.argwhere(~apart.any(axis=2)) if i < j]
    out = (found[:, :2] < -SLACK).any(axis=1) | (found[:, 2:] > size + SLACK).any(axis=1)
    return [f"{names[i]} over {names[j]}" for i, j in pairs] + [
        f"{name} is cut" for name, is_out in zip(names, out, strict=True) if is_out
    ]
