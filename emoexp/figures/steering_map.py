"""Figures of a map of steering: layers by strengths, and dose curves."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from emoexp.figures.style import INK, NOISE, new_figure
from emoexp.stats.steering_grid import Proposal

PROPOSED = "#d6189b"
HALO = [withStroke(linewidth=3.6, foreground="white")]
ROUND = tuple(step * 10.0**power for power in range(-3, 5) for step in (1, 3))
"""Where logarithmic colour bars have ticks."""
MOST_WRITTEN = 150
"""Cells up to which every cell's number is written into it."""


def steering_map(cells: pd.DataFrame, proposal: Proposal | None, title: str) -> Figure:
    """Effect ratio, mean |delta Elo|, coherence and the order that is kept, by layer and strength;
    the proposal is marked in all four."""
    layers, strengths = sorted(cells["layer"].unique()), sorted(cells["strength"].unique())
    figure = new_figure(max(13, 4 * (1.3 + 0.55 * len(strengths))), 2.6 + 0.36 * len(layers))
    panels = figure.subplots(1, 4, sharey=True)
    sizes, ratio = (
        cells["mean_abs_delta_elo"],
        max(5.0, cells["effect_ratio"].max(), 1 / cells["effect_ratio"].min()),
    )
    drawn = (
        (
            "effect_ratio",
            "effect ratio, emotions over isotropic",
            "RdBu_r",
            LogNorm(1 / ratio, ratio),
            "{:.2g}",
        ),
        (
            "mean_abs_delta_elo",
            "mean |delta Elo| of emotions",
            "viridis",
            LogNorm(max(sizes.min(), 0.1), max(sizes.max(), 100)),
            "{:.3g}",
        ),
        (
            "coherence",
            "coherence: p(A) + p(B), steered / unsteered",
            "cividis",
            Normalize(0, 1),
            "{:.2f}",
        ),
        (
            "order_kept",
            "order kept among the steered (Spearman)",
            "cividis",
            Normalize(0, 1),
            "{:.2f}",
        ),
    )
    for axes, (name, label, colours, norm, digits) in zip(panels, drawn, strict=True):
        values = (
            cells.pivot(index="layer", columns="strength", values=name)
            .loc[layers, strengths]
            .to_numpy()
        )
        image = axes.imshow(values, origin="lower", aspect="auto", cmap=colours, norm=norm)
        if values.size <= MOST_WRITTEN:
            written(axes, values, norm, colours, digits)
        axes.set_xticks(range(len(strengths)), [f"{s:g}" for s in strengths])
        axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
        axes.set_xlabel("strength (of the mean residual norm)")
        axes.set_title(label, fontsize=9)
        bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.9, pad=0.03)
        if isinstance(norm, LogNorm):
            low, high = image.get_clim()
            ticks = [t for t in ROUND if low <= t <= high]
            bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
            bar.minorticks_off()
        for row in cells[cells["works"]].itertuples():
            axes.add_patch(
                frame(
                    layers.index(row.layer),
                    layers.index(row.layer),
                    strengths.index(row.strength),
                    INK,
                    1.6,
                )
            )
        if proposal is not None:
            layer, strength, near = (
                proposal.cell["layer"],
                proposal.cell["strength"],
                proposal.layers,
            )
            axes.add_patch(
                frame(
                    layers.index(near[0]),
                    layers.index(near[-1]),
                    strengths.index(strength),
                    PROPOSED,
                    3.2,
                )
            )
            axes.plot(
                strengths.index(strength) + 0.36,
                layers.index(layer) + 0.3,
                "*",
                color=PROPOSED,
                markersize=11,
                markeredgecolor="white",
                clip_on=False,
            )
    panels[0].set_ylabel("layer (block whose output is steered)")
    read = (
        "pink: proposed (star) and the measured layers next to it that work"
        if proposal is not None
        else "no cell works, so nothing is proposed"
    )
    figure.suptitle(
        f"Where steering works\n{title}\nframed: beyond the null, coherent, order kept, V10 passes;"
        f" {read}",
        fontsize=10,
    )
    return figure


def frame(low: int, high: int, column: int, colour: str, width: float) -> Rectangle:
    """A frame around rows `low` to `high` of a column."""
    return Rectangle(
        (column - 0.47, low - 0.47),
        0.94,
        high - low + 0.94,
        fill=False,
        edgecolor=colour,
        linewidth=width,
        zorder=3,
        path_effects=HALO,
    )


def written(axes: Axes, values: np.ndarray, norm: Normalize, colours: str, digits: str) -> None:
    """Every cell's number, in white on dark cells."""
    shades = matplotlib.colormaps[colours](norm(values))[..., :3] @ (0.299, 0.587, 0.114)
    for (i, j), value in np.ndenumerate(values):
        axes.text(
            j,
            i,
            digits.format(value),
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if shades[i, j] < 0.5 else INK,
        )


def dose_curves(emotions: pd.DataFrame, isotropic: pd.DataFrame, title: str) -> Figure:
    """Delta Elo by strength of each emotion that was also subtracted, one line per layer, over the
    range of the isotropic directions."""
    exemplars = list(emotions.loc[emotions["strength"] < 0, "direction"].unique())
    figure = new_figure(max(8, 5.2 * len(exemplars)), 4.6)
    panels = figure.subplots(1, len(exemplars), sharey=True, squeeze=False)[0]
    layers = sorted(emotions["layer"].unique())
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, len(layers)))
    size = (
        isotropic["delta_elo"].abs().groupby(isotropic["strength"]).quantile(0.95)
    )  # a random direction has no sign: both sides alike
    strengths, limit = [*(-size.index[::-1]), 0.0, *size.index], np.array([*size[::-1], 0, *size])
    for axes, exemplar in zip(panels, exemplars, strict=True):
        axes.fill_between(
            strengths,
            -limit,
            limit,
            color=NOISE,
            alpha=0.35,
            linewidth=0,
            label="isotropic, 95 %, all layers",
        )
        for layer, colour in zip(layers, colours, strict=True):
            part = emotions[
                (emotions["layer"] == layer) & (emotions["direction"] == exemplar)
            ].sort_values("strength")
            below = part["strength"] < 0
            y = [*part.loc[below, "delta_elo"], 0.0, *part.loc[~below, "delta_elo"]]
            axes.plot(
                [*part.loc[below, "strength"], 0.0, *part.loc[~below, "strength"]],
                y,
                "o-",
                color=colour,
                markersize=3.5,
                linewidth=1.2,
                label=f"layer {layer}",
            )
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_title(exemplar, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel("mean delta Elo of the steered activities")
    figure.supxlabel("strength (of the mean residual norm; below 0: subtracted)", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(
        f"Dose: what adding and subtracting a vector does to preferences\n{title}", fontsize=10
    )
    return figure
