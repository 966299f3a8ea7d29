"""Figures of the validations: scenarios, numbers, preferences, steering, and verdicts by layer.

Published numbers, where they are given, stand beside the model's own as hollow diamonds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.figures.layer_panels import (
    Curve,
    criterion_panels,
    draw_curves,
    explain,
    finish_panel,
)
from emoexp.figures.style import (
    AXIS_LINE,
    CLAUDE,
    CONNECTION,
    CONTROL,
    DIVERGING,
    HOLLOW,
    INK,
    LARGE,
    LIGHT,
    MEDIUM,
    MODEL,
    NEGATIVE,
    NOISE,
    NULL_BAND,
    POSITIVE,
    PROBE_COLOURS,
    SMALL,
    THICK,
    TITLE,
    TWO_THIRDS_LINE,
    new_figure,
)
from emoexp.stimuli.paper import published

VERDICT_MARKS = (
    (POSITIVE, POSITIVE, "passes, informative"),
    (POSITIVE, HOLLOW, "passes, not above its null"),
    (NEGATIVE, NEGATIVE, "fails, beyond its null"),
    (NEGATIVE, HOLLOW, "fails"),
)
"""Colour, face and meaning of the marks of verdicts."""


def heat_map(
    matrix: np.ndarray, names: Sequence[str], title: str, claude: np.ndarray | None = None
) -> Figure:
    """Draws the cosines of scenarios (rows) with probes (columns), the highest of each row in bold;
    beside them the published ones, each with its own range of colours."""
    figure = new_figure(8.4 if claude is None else 15.5, 7)
    panels = figure.subplots(1, 1 if claude is None else 2, squeeze=False)[0]
    _cells(panels[0], matrix, names, title)
    if claude is not None:
        _cells(panels[1], claude, names, published.MODEL)
    figure.suptitle("Implicit scenarios: cosine at the assistant's first token")
    return figure


def _cells(axes: Axes, matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    limit = float(np.abs(matrix).max())
    image = axes.imshow(matrix, cmap=DIVERGING, vmin=-limit, vmax=limit)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
    for (i, j), value in np.ndenumerate(matrix):
        colour = LIGHT if abs(value) > 0.6 * limit else INK
        weight = "bold" if j == matrix[i].argmax() else "normal"
        cell = axes.text(j, i, f"{value:.2f}", color=colour, fontweight=weight, **style)
        # It lies inside the axes: measuring it would take longer than drawing it.
        cell.set_in_layout(False)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="probe", ylabel="scenario implies", title=title)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="cosine (bold: highest of its row)")


def numeric_panels(
    curves: pd.DataFrame,
    probes: Sequence[str],
    title: str,
    claude: dict[str, published.NumericCurves] | None = None,
    *,
    centred: bool = False,
) -> Figure:
    """Draws one panel per template: cosine of each probe against the number; published curves
    dotted, in the same colours.

    Args:
        centred: the curves are less their means, and all panels have one scale.
    """
    unit = "cosine minus its mean" if centred else "cosine"
    templates = list(dict.fromkeys(curves["template"]))
    figure = new_figure(11, 6.4)
    panels = figure.subplots(
        2, math.ceil(len(templates) / 2), squeeze=False, sharey=centred
    ).ravel()
    for axes, key in zip(panels, templates, strict=False):
        part = curves[curves["template"] == key]
        _numeric_curves(axes, part, probes, None if claude is None else claude[key])
        axes.set_ylabel(unit)
        axes.set_title(key)
    for empty in panels[len(templates) :]:
        empty.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    columns = len(probes) + 1
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=TITLE)
    figure.suptitle(f"Numeric modulation: {unit} at the assistant's first token\n{title}")
    return figure


def _numeric_curves(
    axes: Axes,
    part: pd.DataFrame,
    probes: Sequence[str],
    claude: published.NumericCurves | None,
) -> None:
    x = range(len(part))
    hollow: dict[str, Any] = {"markersize": 4, "markerfacecolor": HOLLOW}
    for k, probe in enumerate(probes):
        colour = PROBE_COLOURS[k % len(PROBE_COLOURS)]
        axes.plot(x, part[probe], "o-", color=colour, label=probe, markersize=4)
        if claude is not None:
            axes.plot(x, claude.curves[probe], "D:", color=colour, **hollow)
    if claude is not None:
        axes.plot([], [], "D:", color=INK, label=published.MODEL, **hollow)
    axes.axhline(0, color=NOISE, linewidth=0.8)
    axes.set_xticks(x, part["value"].astype(str))
    axes.set_xlabel("X")


def _published(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    label: str | None = published.MODEL,
) -> None:
    style: dict[str, Any] = {"s": 20, "marker": "D", "facecolors": "none", "linewidths": 1.1}
    axes.scatter(x, y, edgecolors=CLAUDE, zorder=3, label=label, **style)


def _by_valence(valence: np.ndarray) -> list[tuple[np.ndarray, str, str]]:
    """Returns mask, colour and label of the positive, the negative and those whose valence is zero
    or not known (NaN), as far as there are any."""
    parts = [
        (valence > 0, POSITIVE, "positive valence"),
        (valence < 0, NEGATIVE, "negative valence"),
        (valence == 0, NOISE, "valence zero"),
        (np.isnan(valence), INK, "valence not known"),
    ]
    return [part for part in parts if part[0].any()]


def correlation_bars(
    table: pd.DataFrame,
    null: tuple[float, float],
    title: str,
    claude: dict[str, float] | None = None,
) -> Figure:
    """Draws correlations with Elo, sorted and coloured by valence, with intervals and the band of
    random directions; published r of some emotions."""
    rows = table.sort_values("r").reset_index(drop=True)
    figure = new_figure(max(8, 0.19 * len(rows)), 5)
    axes = figure.add_subplot()
    x = np.arange(len(rows))
    axes.axhspan(*null, label="isotropic directions, 95 %", **NULL_BAND)
    for mask, colour, label in _by_valence(rows["valence"].to_numpy(dtype=float)):
        axes.bar(x[mask], rows["r"][mask], color=colour, label=label)
    axes.vlines(x, rows["ci_low"], rows["ci_high"], color=INK, linewidth=0.6)
    known = claude or {}
    pairs = [(k, known[e]) for k, e in enumerate(rows["emotion"]) if e in known]
    if pairs:
        _published(axes, [k for k, _ in pairs], [r for _, r in pairs])
    axes.axhline(0, **AXIS_LINE)
    axes.set_xticks(x, rows["emotion"], rotation=90, fontsize=SMALL)
    axes.set_xlim(-1, len(rows))
    axes.set_ylabel("r of probe and Elo over the activities")
    axes.set_title(
        f"Emotion-preference correlation (bars: 95 % bootstrap over activities)\n{title}"
    )
    axes.legend(fontsize=MEDIUM, loc="upper left")
    return figure


def elo_by_category(table: pd.DataFrame, title: str, claude: np.ndarray | None = None) -> Figure:
    """Draws each activity's Elo by category, with the category mean; published Elos, in the order
    of `table`, to the right of it."""
    means = table.groupby("category")["elo"].mean().sort_values(ascending=False)
    figure = new_figure(9, 4.6)
    axes = figure.add_subplot()
    for k, (category, mean) in enumerate(means.items()):
        members = (table["category"] == category).to_numpy()
        part = table["elo"].to_numpy()[members]
        x = k + np.linspace(-0.18, 0.18, len(part)) - (0 if claude is None else 0.2)
        label = "this model" if k == 0 else None
        axes.scatter(x, part, s=22, color=MODEL, alpha=0.8, label=label)
        axes.hlines(mean, x[0] - 0.1, x[-1] + 0.1, color=NEGATIVE, linewidth=THICK)
        if claude is not None:
            other = claude[members]
            _published(axes, x + 0.42, other, published.MODEL if k == 0 else None)
            axes.hlines(other.mean(), x[0] + 0.38, x[-1] + 0.46, color=CLAUDE, linewidth=THICK)
    axes.axhline(1500, color=NOISE, linewidth=0.8)
    axes.set_xticks(range(len(means)), list(means.index))
    axes.set(ylabel="Elo", title=f"Preference by category (line: category mean)\n{title}")
    if claude is not None:
        axes.legend(fontsize=MEDIUM)
    return figure


def steering_scatter(
    emotions: pd.DataFrame,
    controls: pd.DataFrame,
    title: str,
    claude: published.SteeringScatter | None = None,
) -> Figure:
    """Draws delta Elo against r, emotions over their controls, with the 95 % band of the isotropic
    directions' delta Elo; published emotions."""
    figure = new_figure(8.6, 6)
    axes = figure.add_subplot()
    _controls(axes, controls)
    for mask, colour, label in _by_valence(emotions["valence"].to_numpy(dtype=float)):
        part = emotions[mask]
        axes.scatter(part["r"], part["delta_elo"], s=30, color=colour, label=f"emotions, {label}")
    if claude is not None:
        _published(axes, claude.r, claude.delta_elo)
    for name, x, y in _apart(emotions):
        axes.annotate(name, (x, y), fontsize=SMALL, xytext=(4, 3), textcoords="offset points")
    axes.axhline(0, **AXIS_LINE)
    axes.axvline(0, **AXIS_LINE)
    axes.set_xlabel("r of probe and Elo, unsteered")
    axes.set_ylabel("mean delta Elo of the steered activities")
    axes.set_title(f"Steering: does what correlates with preference also drive it?\n{title}")
    axes.legend(fontsize=MEDIUM, loc="best")
    return figure


def _controls(axes: Axes, controls: pd.DataFrame) -> None:
    """Draws every control direction, and the band of the first set."""
    first = str(controls["set"].iloc[0])
    low, high = np.quantile(controls[controls["set"] == first]["delta_elo"], [0.025, 0.975])
    axes.axhspan(low, high, label=f"{first}, 95 %", **NULL_BAND)
    for (name, part), marker in zip(
        controls.groupby("set", sort=False), cycle("x+1"), strict=False
    ):
        style: dict[str, Any] = {"marker": marker, "s": 26, "color": CONTROL}
        axes.scatter(part["r"], part["delta_elo"], label=str(name), **style)


def _apart(points: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Returns the points whose names can be written without overlap, largest effects first."""
    chosen: list[tuple[str, float, float]] = []
    width, height = float(np.ptp(points["r"])) or 1.0, float(np.ptp(points["delta_elo"])) or 1.0
    largest_first = points["delta_elo"].abs().sort_values(ascending=False).index
    for row in points.reindex(largest_first).itertuples():
        x, y = float(row.r), float(row.delta_elo)  # type: ignore[arg-type]
        if all(abs(x - u) > 0.09 * width or abs(y - v) > 0.028 * height for _, u, v in chosen):
            chosen.append((str(row.direction), x, y))
    return chosen


def _whole_layers(axes: Axes, layers: Sequence[int], two_thirds: int | None) -> None:
    """Puts at most nine ticks at layers, and a line at two thirds of the depth if it is among
    them."""
    axes.set_xticks(layers[:: math.ceil(len(layers) / 9)])
    if two_thirds is not None and layers[0] <= two_thirds <= layers[-1]:
        axes.axvline(two_thirds, zorder=0, **TWO_THIRDS_LINE)


def layer_curves(table: pd.DataFrame, title: str, two_thirds: int | None = None) -> Figure:
    """Draws one panel per criterion: value by layer with its interval, over its null band, with
    the threshold.

    Args:
        table: one verdict per criterion and layer.
        two_thirds: the layer at two thirds of the depth, if the depth is known.
    """
    criteria = list(dict.fromkeys(table["id"]))
    figure, panels, legend = criterion_panels(len(criteria))
    for axes, identifier in zip(panels, criteria, strict=True):
        rows = table[table["id"] == identifier].sort_values("layer")
        layers = [int(layer) for layer in rows["layer"]]
        colours = [POSITIVE if passed else NEGATIVE for passed in rows["passed"]]
        curve = Curve(np.array(layers), rows, colours, {"color": CONNECTION})
        draw_curves(axes, [curve], with_null=True)
        lower_is_better = rows["comparison"].iloc[0] == "<="
        name = f"{identifier} {rows['name'].iloc[0]}"
        finish_panel(axes, name, lower_is_better=lower_is_better)
        _whole_layers(axes, layers, two_thirds)
    explain(legend, VERDICT_MARKS, with_null=True, with_two_thirds=two_thirds is not None)
    figure.suptitle(f"{title}: by layer (block output); up is better", fontsize=LARGE)
    return figure
