"""Figures of the geometry by layer: components, axes, similarity of layers, held-out accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from emoexp.figures import style
from emoexp.figures.layer_panels import draw_marks, gaps, layer_ticks, null_bars
from emoexp.stats.labels import EMOTIONS, SHUFFLED

SHOWN, SUMMED = 3, 5
"""Components with a panel of their own, and those that are summed."""
MOST_WRITTEN = 14
"""Layers up to which every similarity is written into its cell."""
SIGNIFICANT = 0.05
WORDS: dict[str, Any] = {"color": style.PROPOSED, "linewidth": style.THIN, "linestyle": "-."}
"""The line of what a bag of words tells."""


def _values(
    axes: Axes,
    rows: pd.DataFrame,
    value: str,
    ends: tuple[str, str] | None = None,
    filled: pd.Series | None = None,
) -> None:
    """Draws a column by layer: a line, intervals where `ends` names them, and marks."""
    x = rows["layer"].to_numpy()
    axes.plot(x, rows[value], color=style.CONNECTION, linewidth=style.THIN, zorder=1)
    if ends is not None:
        how: dict[str, Any] = {"color": style.MODEL, "linewidth": style.THIN, "zorder": 2}
        axes.vlines(x, rows[ends[0]], rows[ends[1]], **how)
    full = pd.Series(True, rows.index) if filled is None else filled
    draw_marks(axes, x, rows[value], [style.SETS[EMOTIONS]] * len(rows), full)
    layer_ticks(axes, [int(layer) for layer in x])
    axes.set_xlabel("layer")


def component_shares(table: pd.DataFrame, title: str) -> Figure:
    """Draws the share of variance of PC1 to PC3 and of the first five together, by layer, over the
    range of shuffled labels.

    Args:
        table: layer, component, share, shuffled_low, shuffled_high.
    """
    panels = [(f"PC{k}", table[table["component"] == k]) for k in range(1, SHOWN + 1)]
    first = table[table["component"] <= SUMMED]
    columns = ["share", "shuffled_low", "shuffled_high"]
    together = first.groupby("layer", as_index=False)[columns].sum(min_count=1)
    count = first["component"].nunique()
    panels.append((f"PC1 to PC{count}, sum", together))
    figure = style.new_figure(11, 3.9)
    grid = figure.subplots(1, len(panels), sharey=True)
    for axes, (name, part) in zip(grid, panels, strict=True):
        rows = part.sort_values("layer")
        if len(rows):
            ends = rows["shuffled_low"], rows["shuffled_high"]
            null_bars(axes, rows["layer"].to_numpy(), *ends, **style.band_of(SHUFFLED))
            _values(axes, rows, "share")
        axes.set_title(name)
    grid[0].set(ylabel="share of the variance", ylim=(0, None))
    label = f"{SHUFFLED}, 95 % (of the sum: the sums of the components' limits)"
    band = Patch(label=label, **style.band_of(SHUFFLED))
    figure.legend(handles=[band], loc="outside lower center")
    style.head(figure, "Principal components of the emotion vectors, by layer", title)
    return figure


def axis_correlations(table: pd.DataFrame, title: str) -> Figure:
    """Draws |r| of valence and of arousal with the component that carries each, by layer, with its
    interval, the component's number and the limit of the null that searches all components too.

    Args:
        table: layer, axis, component, r, low, high, n, null_high, p, source.
    """
    names = list(dict.fromkeys(table["axis"]))
    figure = style.new_figure(max(7.2, 4.6 * len(names)), 4)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        rows = table[table["axis"] == name].sort_values("layer").reset_index(drop=True)
        sign = np.sign(rows["r"])
        ends = np.sort(np.array([sign * rows["low"], sign * rows["high"]]), axis=0)
        rows = rows.assign(size=rows["r"].abs(), at_least=ends[0], at_most=ends[1])
        null_bars(axes, rows["layer"].to_numpy(), 0 * rows["null_high"], rows["null_high"])
        _values(axes, rows, "size", ("at_least", "at_most"), rows["p"] < SIGNIFICANT)
        place: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center"}
        for row in rows.to_dict("records"):
            point, text = (row["layer"], max(row["at_most"], row["null_high"])), row["component"]
            axes.annotate(f"{text:.0f}", point, fontsize=style.SMALL, **place)
        source = ", ".join(rows["source"].unique())
        axes.set_title(f"{name}\n{source}, {_counted(rows['n'])}")
        axes.axhline(0, **style.AXIS_LINE)
    panels[0].set(ylabel="|r| of ratings and component", ylim=(None, 1.1))
    _axis_legend(figure, panels[0])
    what = "Components that carry valence and arousal, by layer (numbers: which)"
    style.head(figure, what, title)
    return figure


def _counted(n: pd.Series) -> str:
    """Returns of how many emotions an axis is."""
    least, most = int(n.min()), int(n.max())
    return f"{least} emotions" if least == most else f"{least} to {most} emotions"


def _axis_legend(figure: Figure, axes: Axes) -> None:
    """Writes what marks and bars mean."""
    handles: list[Artist] = [
        *axes.plot([], [], "o-", color=style.MODEL, label=f"|r|, 95 %, p < {SIGNIFICANT:g}"),
        *axes.plot(
            [], [], "o", color=style.MODEL, markerfacecolor=style.HOLLOW, label="p at or above it"
        ),
        Patch(label="permuted ratings, best component: up to 95 %", **style.NULL_BAND),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def similarity_map(table: pd.DataFrame, norms: pd.DataFrame | None, title: str) -> Figure:
    """Draws how alike the emotions lie at each two layers and, beside it, how alike they lie to
    people's ratings.

    Args:
        table: layer_a, layer_b, rho.
        norms: layer, rho, low, high, p, source, and perhaps null_low and null_high.
    """
    matrix = table.pivot(index="layer_a", columns="layer_b", values="rho")
    layers = [int(layer) for layer in matrix.index]
    side = max(4.0, 0.21 * len(layers))
    beside = norms is not None and len(norms) > 0
    figure = style.new_figure(side + 1.4 + (4.6 if beside else 0), side + 1.0)
    widths = [side + 1.2, 4.4][: 1 + beside]
    panels = figure.subplots(1, 1 + beside, squeeze=False, width_ratios=widths)[0]
    axes, values = panels[0], matrix.to_numpy(dtype=float)
    low = min(0.0, float(np.nanmin(values)))
    image = axes.imshow(values, origin="lower", cmap=style.SHARES, vmin=low, vmax=1)
    if len(layers) <= MOST_WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            colour = style.LIGHT if value < (low + 1) / 2 else style.INK
            how: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": style.SMALL}
            axes.text(j, i, f"{value:.2f}", color=colour, **how)
    ticks = range(0, len(layers), int(np.ceil(len(layers) / 24)))
    axes.set_xticks(ticks, [str(layers[k]) for k in ticks], fontsize=style.SMALL)
    axes.set_yticks(ticks, [str(layers[k]) for k in ticks], fontsize=style.SMALL)
    for border in gaps(layers):
        axes.axhline(border, color=style.LIGHT, linewidth=1.5)
        axes.axvline(border, color=style.LIGHT, linewidth=1.5)
    axes.set(xlabel="layer", ylabel="layer")
    figure.colorbar(image, ax=axes, shrink=0.8, label="Spearman's rho over pairs of emotions")
    if beside and norms is not None:
        _norm_panel(panels[1], norms.sort_values("layer"))
    lines = " (white lines: layers between are not measured)" if gaps(layers) else ""
    style.head(figure, f"Similarity of the emotions' geometry between layers{lines}", title)
    return figure


def _norm_panel(axes: Axes, rows: pd.DataFrame) -> None:
    """Draws the similarity with people's ratings."""
    if "null_low" in rows:
        ends = rows["null_low"], rows["null_high"]
        null_bars(axes, rows["layer"].to_numpy(), *ends, label="permuted emotions, 95 %")
    _values(axes, rows, "rho", ("low", "high"), rows["p"] < SIGNIFICANT)
    axes.axhline(0, **style.AXIS_LINE)
    axes.set_ylabel("Spearman's rho with ratings")
    source = ", ".join(rows["source"].unique())
    axes.set_title(f"with people's ratings ({source})\nbars: 95 %, hollow: p at or above .05")
    if "null_low" in rows:
        axes.legend(loc="best")


def held_out_accuracy(table: pd.DataFrame, words: pd.DataFrame | None, title: str) -> Figure:
    """Draws the AUC and the top 1 of held-out stories by layer, with intervals, chance, the range
    of shuffled labels, and what a bag of words tells.

    Args:
        table: layer, auc, auc_low, auc_high, top1, top1_low, top1_high, chance_top1, and
            shuffled_<name>_low and _high of both.
        words: one row with the same columns but the layer; None where it was not measured.
    """
    rows = table.sort_values("layer")
    figure = style.new_figure(9.4, 4)
    shown = (
        ("auc", "AUC of the own emotion against the rest", pd.Series(0.5, rows.index)),
        ("top1", "share with the own vector nearest (top 1)", rows["chance_top1"]),
    )
    for axes, (name, label, chance) in zip(figure.subplots(1, 2), shown, strict=True):
        x, ends = rows["layer"].to_numpy(), [f"shuffled_{name}_{end}" for end in ("low", "high")]
        if rows[ends[0]].notna().any():
            null_bars(axes, x, rows[ends[0]], rows[ends[1]], **style.band_of(SHUFFLED))
        axes.axhline(float(chance.mean()), color=style.INK, label="chance", **style.THRESHOLD_LINE)
        if words is not None:
            axes.axhline(float(words[name].iloc[0]), **WORDS)
        _values(axes, rows, name, (f"{name}_low", f"{name}_high"))
        lowest = np.nanmin([0.47, *rows["auc_low"], *rows["shuffled_auc_low"]]) - 0.02
        axes.set(ylabel=label, ylim=(lowest if name == "auc" else 0, 1.02))
    handles = [
        *axes.plot([], [], "o-", color=style.MODEL, label="held-out stories, 95 % over topics"),
        Patch(label=f"{SHUFFLED}, 95 %", **style.band_of(SHUFFLED)),
        *axes.plot([], [], color=style.INK, label="chance", **style.THRESHOLD_LINE),
    ]
    if words is not None:
        handles += axes.plot([], [], label="bag of words of the same stories", **WORDS)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    what = "Held-out stories: do vectors of one half tell the emotions of the other?"
    style.head(figure, f"{what} (each panel has its own scale)", title)
    return figure
