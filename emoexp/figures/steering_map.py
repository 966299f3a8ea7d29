"""Figures of a map of steering: layers by strengths, and dose curves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from emoexp.figures import style
from emoexp.figures.layer_panels import gaps
from emoexp.stats.steering_grid import Proposal

HALO = [withStroke(linewidth=3.6, foreground=style.LIGHT)]
ROUND = tuple(step * 10.0**power for power in range(-3, 5) for step in (1, 2, 5))
"""Where logarithmic colour bars have ticks."""
MOST_WRITTEN = 150
"""Cells up to which every cell's number is written into it."""


class Quantity(NamedTuple):
    """A column of the cells, and how a map of it is coloured and written."""

    column: str
    label: str
    colours: str
    norm: Normalize
    digits: str


def steering_map(cells: pd.DataFrame, proposal: Proposal | None, title: str) -> Figure:
    """Draws effect ratio, mean |delta Elo|, coherence and the order that is kept, by layer and
    strength; the proposal is marked in all four."""
    layers, strengths = (sorted(cells[name].unique()) for name in ("layer", "strength"))
    width, height = 1.3 + 0.55 * len(strengths), 2.6 + 0.36 * len(layers)
    figure = style.new_figure(max(13, 4 * width), height)
    panels = figure.subplots(1, 4, sharey=True)
    for axes, quantity in zip(panels, _quantities(cells), strict=True):
        _panel(axes, cells, quantity)
        for row in cells[cells["works"]].itertuples():
            level, column = layers.index(row.layer), strengths.index(row.strength)
            axes.add_patch(frame(level, level, column, style.INK, 1.6))
        if proposal is not None:
            _mark_proposal(axes, proposal, layers, strengths)
    panels[0].set_ylabel("layer that is steered")
    legend = "no cell works, so nothing is proposed"
    if proposal is not None:
        legend = "pink: proposed (star) and the measured layers next to it that work"
    frames = f"framed: beyond the null, coherent, order kept, V10 passes; {legend}"
    if gaps(layers):
        frames += "; white lines: layers between are not measured"
    style.head(figure, "Where steering works", title, frames)
    return figure


def _quantities(cells: pd.DataFrame) -> tuple[Quantity, ...]:
    """Returns what is drawn, from left to right. Ratios are coloured alike above and below 1."""
    sizes, ratios = cells["mean_abs_delta_elo"], cells["effect_ratio"]
    most = max(5.0, ratios.max(), 1 / ratios.min())
    ratio = LogNorm(1 / most, most)
    size = LogNorm(max(sizes.min(), 0.1), max(sizes.max(), 100))
    over, moved = "effect ratio, emotions over isotropic", "mean |delta Elo| of emotions"
    coherence = "coherence: p(A) + p(B), steered / unsteered"
    order = "order kept among the steered (Spearman)"
    return (
        Quantity("effect_ratio", over, style.DIVERGING, ratio, ".2g"),
        Quantity("mean_abs_delta_elo", moved, style.SEQUENTIAL, size, ".3g"),
        Quantity("coherence", coherence, style.SHARES, Normalize(0, 1), ".2f"),
        Quantity("order_kept", order, style.SHARES, Normalize(0, 1), ".2f"),
    )


def _panel(axes: Axes, cells: pd.DataFrame, quantity: Quantity) -> None:
    """Draws the map of one quantity, with its colour bar."""
    column, label, colours, norm, digits = quantity
    table = cells.pivot(index="layer", columns="strength", values=column)
    values = table.to_numpy()
    image = axes.imshow(values, origin="lower", aspect="auto", cmap=colours, norm=norm)
    if values.size <= MOST_WRITTEN:
        written(axes, values, norm, colours, digits)
    axes.set_xticks(range(len(table.columns)), [f"{s:g}" for s in table.columns])
    axes.set_yticks(range(len(table)), [str(layer) for layer in table.index])
    for height in gaps(list(table.index)):
        axes.axhline(height, color=style.LIGHT, linewidth=4)
    axes.set_xlabel("strength (of the mean residual norm)")
    axes.set_title(label)
    _colour_bar(axes, image)


def _colour_bar(axes: Axes, image: ScalarMappable) -> None:
    """Draws the colour bar below a map; a logarithmic one has round ticks."""
    place: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.9, "pad": 0.03}
    bar = axes.figure.colorbar(image, ax=axes, **place)
    if isinstance(image.norm, LogNorm):
        low, high = image.get_clim()
        ticks = [t for t in ROUND if low <= t <= high]
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.minorticks_off()


def _mark_proposal(
    axes: Axes, proposal: Proposal, layers: list[int], strengths: list[float]
) -> None:
    """Frames the proposed layers, and draws a star in the proposed cell."""
    low, high = (layers.index(proposal.layers[end]) for end in (0, -1))
    row, column = layers.index(proposal.cell["layer"]), strengths.index(proposal.cell["strength"])
    edges = [low - 1, *[int(gap) for gap in gaps(layers) if low < gap < high], high]
    for below, above in pairwise(edges):
        axes.add_patch(frame(below + 1, above, column, style.PROPOSED, 3.2))
    how: dict[str, Any] = {"markersize": 11, "markeredgecolor": style.LIGHT, "clip_on": False}
    axes.plot(column + 0.36, row + 0.3, "*", color=style.PROPOSED, **how)


def frame(low: int, high: int, column: int, colour: str, width: float) -> Rectangle:
    """Returns a frame around rows `low` to `high` of a column."""
    how: dict[str, Any] = {"fill": False, "zorder": 3, "path_effects": HALO, "linewidth": width}
    corner = column - 0.47, low - 0.47
    return Rectangle(corner, 0.94, high - low + 0.94, edgecolor=colour, **how)


def written(axes: Axes, values: np.ndarray, norm: Normalize, colours: str, digits: str) -> None:
    """Writes every cell's number, formatted as `digits`, in white on dark cells."""
    shades = matplotlib.colormaps[colours](norm(values))[..., :3] @ (0.299, 0.587, 0.114)
    how: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": style.SMALL}
    for (i, j), value in np.ndenumerate(values):
        colour = style.LIGHT if shades[i, j] < 0.5 else style.INK
        axes.text(j, i, format(value, digits), color=colour, **how)


def dose_curves(emotions: pd.DataFrame, isotropic: pd.DataFrame, title: str) -> Figure:
    """Draws delta Elo by strength of each emotion that was also subtracted, one line per layer,
    over the range of the isotropic directions."""
    exemplars = list(emotions.loc[emotions["strength"] < 0, "direction"].unique())
    figure = style.new_figure(max(8, 5.2 * len(exemplars)), 4.6)
    panels = figure.subplots(1, len(exemplars), sharey=True, squeeze=False)[0]
    # A random direction has no sign: both sides alike.
    size = isotropic["delta_elo"].abs().groupby(isotropic["strength"]).quantile(0.95)
    strengths = [*(-size.index[::-1]), 0.0, *size.index]
    limit = np.array([*size[::-1], 0, *size])
    for axes, exemplar in zip(panels, exemplars, strict=True):
        label = "isotropic, 95 %, all layers"
        axes.fill_between(strengths, -limit, limit, label=label, **style.NULL_BAND)
        _dose_lines(axes, emotions, exemplar)
        axes.axhline(0, **style.AXIS_LINE)
        axes.axvline(0, **style.AXIS_LINE)
        axes.set_title(exemplar)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel("mean delta Elo of the steered activities")
    figure.supxlabel(
        "strength (of the mean residual norm; below 0: subtracted)", fontsize=style.TITLE
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    style.head(figure, "Dose: what adding and subtracting a vector does to preferences", title)
    return figure


def _dose_lines(axes: Axes, emotions: pd.DataFrame, exemplar: str) -> None:
    """Draws one line per layer through 0 at strength 0."""
    layers = sorted(emotions["layer"].unique())
    colours = matplotlib.colormaps[style.SEQUENTIAL](np.linspace(0, 0.95, len(layers)))
    how: dict[str, Any] = {"markersize": 3.5, "linewidth": 1.2}
    of_exemplar = emotions[emotions["direction"] == exemplar]
    for layer, colour in zip(layers, colours, strict=True):
        curve = of_exemplar[of_exemplar["layer"] == layer].set_index("strength")["delta_elo"]
        curve = pd.concat([curve, pd.Series({0.0: 0.0})]).sort_index()
        axes.plot(curve.index, curve, "o-", color=colour, label=f"layer {layer}", **how)
