"""Figures: matplotlib objects without a window, from tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures.style import (
    CLAUDE,
    INK,
    NEGATIVE,
    NOISE,
    POSITIVE,
    PROBE_COLOURS,
    new_figure,
)
from emoexp.stimuli.paper import published


def heat_map(
    matrix: np.ndarray, names: Sequence[str], title: str, claude: np.ndarray | None = None
) -> Figure:
    """Scenario by probe cosines, the highest of each row marked; beside it the published ones, each
    with its own range of colours."""
    figure = new_figure(8.4 if claude is None else 15.5, 7)
    panels = figure.subplots(1, 1 if claude is None else 2, squeeze=False)[0]
    _cells(panels[0], matrix, names, title)
    if claude is not None:
        _cells(panels[1], claude, names, published.MODEL)
    figure.suptitle("Implicit scenarios: cosine at the assistant's first token")
    return figure


def _cells(axes: Axes, matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    limit = float(np.abs(matrix).max())
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (i, j), value in np.ndenumerate(matrix):
        colour, weight = (
            "white" if abs(value) > 0.6 * limit else INK,
            ("bold" if j == matrix[i].argmax() else "normal"),
        )
        cell = axes.text(
            j,
            i,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color=colour,
            fontweight=weight,
        )
        cell.set_in_layout(
            False
        )  # lies inside the axes: measuring it would take longer than drawing it
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="probe", ylabel="scenario implies", title=title)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="cosine (bold: highest of its row)")


def numeric_panels(
    curves: pd.DataFrame,
    probes: Sequence[str],
    title: str,
    claude: dict[str, published.NumericCurves] | None = None,
) -> Figure:
    """One panel per template: cosine of each probe against the number; published curves dotted,
    with hollow marks, in the same colours."""
    templates = list(dict.fromkeys(curves["template"]))
    figure = new_figure(11, 6.4)
    panels = figure.subplots(2, -(-len(templates) // 2), squeeze=False).ravel()
    for axes, key in zip(panels, templates, strict=False):
        part = curves[curves["template"] == key]
        for k, probe in enumerate(probes):
            colour = PROBE_COLOURS[k % len(PROBE_COLOURS)]
            axes.plot(range(len(part)), part[probe], "o-", color=colour, label=probe, markersize=4)
            if claude is not None:
                axes.plot(
                    range(len(part)),
                    claude[key].curves[probe],
                    "D:",
                    color=colour,
                    markersize=4,
                    markerfacecolor="white",
                )
        if claude is not None:
            axes.plot(
                [],
                [],
                "D:",
                color=INK,
                markersize=4,
                markerfacecolor="white",
                label=published.MODEL,
            )
        axes.axhline(0, color=NOISE, linewidth=0.8)
        axes.set_xticks(range(len(part)), part["value"].astype(str))
        axes.set(title=key, xlabel="X", ylabel="cosine")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(probes) + 1,
        fontsize=9,
    )
    figure.suptitle(f"Numeric modulation: cosine at the assistant's first token\n{title}")
    return figure


def _published(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    label: str | None = published.MODEL,
) -> None:
    axes.scatter(
        x,
        y,
        s=20,
        marker="D",
        facecolors="none",
        edgecolors=CLAUDE,
        linewidths=1.1,
        zorder=3,
        label=label,
    )


def _by_valence(valence: np.ndarray) -> list[tuple[np.ndarray, str, str]]:
    """Mask, colour and label of the positive, the negative and those whose valence is not known
    (NaN), as far as there are any."""
    parts = [
        (valence > 0, POSITIVE, "positive valence"),
        (valence <= 0, NEGATIVE, "negative valence"),
        (np.isnan(valence), INK, "valence not known"),
    ]
    return [part for part in parts if part[0].any()]


def correlation_bars(
    table: pd.DataFrame,
    null: tuple[float, float],
    title: str,
    claude: dict[str, float] | None = None,
) -> Figure:
    """Sorted correlations with Elo, coloured by valence, with intervals and the band of random
    directions; published r of some emotions."""
    rows = table.sort_values("r").reset_index(drop=True)
    figure = new_figure(max(8, 0.19 * len(rows)), 5)
    axes = figure.add_subplot()
    x = np.arange(len(rows))
    axes.axhspan(*null, color=NOISE, alpha=0.35, label="isotropic directions, 95 %")
    for wanted, colour, label in _by_valence(rows["valence"].to_numpy(dtype=float)):
        axes.bar(x[wanted], rows["r"][wanted], color=colour, label=label)
    axes.vlines(x, rows["ci_low"], rows["ci_high"], color=INK, linewidth=0.6)
    if both := (
        [(k, claude[e]) for k, e in enumerate(rows["emotion"]) if e in claude] if claude else []
    ):
        _published(axes, [k for k, _ in both], [r for _, r in both])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(x, rows["emotion"], rotation=90, fontsize=7)
    axes.set_xlim(-1, len(rows))
    axes.set(
        ylabel="r of probe and Elo over the activities",
        title=f"Emotion-preference correlation (bars: 95 % bootstrap over activities)\n{title}",
    )
    axes.legend(fontsize=8, loc="upper left")
    return figure


def elo_by_category(table: pd.DataFrame, title: str, claude: np.ndarray | None = None) -> Figure:
    """Each activity's Elo by category, with the category mean; published Elos, in the order of
    `table`, to the right of it."""
    means = table.groupby("category")["elo"].mean().sort_values(ascending=False)
    figure = new_figure(9, 4.6)
    axes = figure.add_subplot()
    for k, (category, mean) in enumerate(means.items()):
        where = (table["category"] == category).to_numpy()
        part = table["elo"].to_numpy()[where]
        x = k + np.linspace(-0.18, 0.18, len(part)) - (0 if claude is None else 0.2)
        axes.scatter(
            x, part, s=22, color="#33658a", alpha=0.8, label="this model" if k == 0 else None
        )
        axes.hlines(mean, x[0] - 0.1, x[-1] + 0.1, color=NEGATIVE, linewidth=2)
        if claude is not None:
            _published(axes, x + 0.42, claude[where], published.MODEL if k == 0 else None)
            axes.hlines(claude[where].mean(), x[0] + 0.38, x[-1] + 0.46, color=CLAUDE, linewidth=2)
    axes.axhline(1500, color=NOISE, linewidth=0.8)
    axes.set_xticks(range(len(means)), list(means.index))
    axes.set(ylabel="Elo", title=f"Preference by category (line: category mean)\n{title}")
    if claude is not None:
        axes.legend(fontsize=8)
    return figure


def steering_scatter(
    emotions: pd.DataFrame,
    controls: pd.DataFrame,
    title: str,
    claude: published.SteeringScatter | None = None,
) -> Figure:
    """Delta Elo against r, emotions over their controls, with the 95 % band of the isotropic
    directions' delta Elo; published emotions."""
    figure = new_figure(8.6, 6)
    axes = figure.add_subplot()
    first = str(controls["set"].iloc[0])
    low, high = np.quantile(controls[controls["set"] == first]["delta_elo"], [0.025, 0.975])
    axes.axhspan(low, high, color=NOISE, alpha=0.35, label=f"{first}, 95 %")
    for (name, part), marker in zip(controls.groupby("set", sort=False), "x+", strict=False):
        axes.scatter(
            part["r"], part["delta_elo"], marker=marker, s=26, color="#777777", label=str(name)
        )
    for wanted, colour, label in _by_valence(emotions["valence"].to_numpy(dtype=float)):
        axes.scatter(
            emotions["r"][wanted],
            emotions["delta_elo"][wanted],
            s=30,
            color=colour,
            label=f"emotions, {label}",
        )
    if claude is not None:
        _published(axes, claude.r, claude.delta_elo)
    for name, x, y in _apart(emotions):
        axes.annotate(name, (x, y), fontsize=7, xytext=(4, 3), textcoords="offset points")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set(
        xlabel="r of probe and Elo, unsteered",
        ylabel="mean delta Elo of the steered activities",
        title=f"Steering: does what correlates with preference also drive it?\n{title}",
    )
    axes.legend(fontsize=8, loc="upper left")
    return figure


def _apart(points: pd.DataFrame) -> list[tuple[str, float, float]]:
    """The points whose names can be written without overlap, largest effects first."""
    kept: list[tuple[str, float, float]] = []
    width, height = float(np.ptp(points["r"])) or 1.0, float(np.ptp(points["delta_elo"])) or 1.0
    for row in points.reindex(
        points["delta_elo"].abs().sort_values(ascending=False).index
    ).itertuples():
        x, y = float(row.r), float(row.delta_elo)  # type: ignore[arg-type]
        if all(abs(x - u) > 0.09 * width or abs(y - v) > 0.028 * height for _, u, v in kept):
            kept.append((str(row.direction), x, y))
    return kept


def _whole_layers(axes: Axes, layers: Sequence[int], two_thirds: int | None) -> None:
    axes.set_xticks(layers[:: -(-len(layers) // 9)])
    if two_thirds is not None and layers[0] <= two_thirds <= layers[-1]:
        axes.axvline(two_thirds, color=NOISE, linewidth=0.9, linestyle=":", zorder=0)


def _points(axes: Axes, part: pd.DataFrame) -> None:
    """Values with their intervals: green passes, red fails, filled is informative."""
    colour = np.where(part["passed"].to_numpy(dtype=bool), POSITIVE, NEGATIVE)
    face = np.where(part["informative"].to_numpy(dtype=bool), colour, "white")
    axes.vlines(
        part["layer"], part["ci_low"], part["ci_high"], colors=list(colour), linewidth=1.2, zorder=2
    )
    axes.scatter(
        part["layer"],
        part["value"],
        s=26,
        c=list(face),
        edgecolors=list(colour),
        linewidths=1.2,
        zorder=3,
    )


def layer_curves(table: pd.DataFrame, title: str, two_thirds: int | None = None) -> Figure:
    """One panel per criterion: value by layer with its interval, over its null band, with the
    threshold. `table` holds one verdict per layer."""
    criteria = list(dict.fromkeys(table["id"]))
    columns = min(4, len(criteria) + 1)
    lines = -(-(len(criteria) + 1) // columns)  # one cell more, for the legend
    figure = new_figure(3.1 * columns, 2.5 * lines + 0.4)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, identifier in zip(panels, criteria, strict=False):
        part = table[table["id"] == identifier].sort_values("layer")
        layers = [int(layer) for layer in part["layer"]]
        axes.fill_between(
            layers, part["null_low"], part["null_high"], color=NOISE, alpha=0.35, linewidth=0
        )
        if len(layers) == 1:  # a band of one layer has no width
            axes.vlines(
                layers, part["null_low"], part["null_high"], color=NOISE, alpha=0.35, linewidth=12
            )
        axes.plot(layers, part["threshold"], color=INK, linewidth=0.9, linestyle="--")
        axes.plot(layers, part["value"], color="#8a8a8a", linewidth=1, zorder=1)
        _points(axes, part)
        _whole_layers(axes, layers, two_thirds)
        axes.margins(y=0.12)
        axes.set_title(f"{identifier} {part['name'].iloc[0]}", fontsize=8)
        axes.tick_params(labelsize=7)
        if part["comparison"].iloc[0] == "<=":
            axes.invert_yaxis()  # up is better in every panel
    for axes in panels[len(criteria) :]:
        axes.set_axis_off()
    mark = {"marker": "o", "linestyle": "none", "markersize": 6}
    legend = panels[len(criteria)]
    legend.plot(
        [], [], color=POSITIVE, markerfacecolor=POSITIVE, label="passes, informative", **mark
    )
    legend.plot(
        [], [], color=POSITIVE, markerfacecolor="white", label="passes, so does noise", **mark
    )
    legend.plot(
        [], [], color=NEGATIVE, markerfacecolor=NEGATIVE, label="fails, beyond its null", **mark
    )
    legend.plot([], [], color=NEGATIVE, markerfacecolor="white", label="fails", **mark)
    legend.plot([], [], color=INK, linewidth=1.2, label="bar: 95 % interval")
    legend.plot([], [], color=NOISE, linewidth=6, alpha=0.5, label="null, 95 %")
    legend.plot([], [], color=INK, linewidth=0.9, linestyle="--", label="threshold")
    legend.plot([], [], color=NOISE, linewidth=0.9, linestyle=":", label="two thirds of the depth")
    legend.legend(fontsize=8, loc="center", frameon=False)
    figure.suptitle(f"{title}: by layer (block output); up is better", fontsize=10)
    return figure
