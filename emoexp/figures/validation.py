"""Figures of the validations: scenarios, numbers, and verdicts by layer.

Published numbers, where they are given, stand beside the model's own as hollow diamonds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from emoexp.figures import style
from emoexp.figures.layer_panels import (
    Curve,
    criterion_panels,
    draw_curves,
    explain,
    finish_panel,
    layer_ticks,
)
from emoexp.stats.criteria import COUNTS
from emoexp.stimuli.paper import published

VERDICT_MARKS = (
    (style.PASSED, style.PASSED.colour, "passes, informative"),
    (style.PASSED, style.HOLLOW, "passes, not above its null"),
    (style.FAILED, style.FAILED.colour, "fails, beyond its null"),
    (style.FAILED, style.HOLLOW, "fails"),
)
"""Mark, face and meaning of verdicts."""
WHOLE = (*COUNTS, "V8")
"""Criteria whose values are whole numbers out of n."""
SIZE_DECIDES = "V10, V11: informative by the effect's size"
"""Why a filled mark of V10 or V11 may lie within the grey null."""


def heat_map(
    matrix: np.ndarray,
    names: Sequence[str],
    title: str,
    claude: np.ndarray | None = None,
    found: str = "",
) -> Figure:
    """Draws the cosines of scenarios (rows) with probes (columns), the highest of each row in bold;
    beside them the published ones, each with its own range of colours, as the title says.

    Args:
        found: what the criteria say, in the title.
    """
    what = "Implicit scenarios: cosine at the assistant's first token"
    maps = [(matrix, "")]
    if claude is not None:
        maps = [(matrix, "this model"), (claude, published.MODEL)]
        what += " (each panel has its own range of colours)"
    figure = style.new_figure(8.4 if claude is None else 15.5, 7.2)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (cosines, whose) in zip(panels, maps, strict=True):
        _cells(axes, cosines, names, whose)
    style.head(figure, what, title, found)
    return figure


def _cells(axes: Axes, matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    limit = float(np.abs(matrix).max())
    image = axes.imshow(matrix, cmap=style.DIVERGING, vmin=-limit, vmax=limit)
    how: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": style.SMALL}
    for (i, j), value in np.ndenumerate(matrix):
        colour = style.LIGHT if abs(value) > 0.6 * limit else style.INK
        weight = "bold" if j == matrix[i].argmax() else "normal"
        cell = axes.text(j, i, f"{value:z.2f}", color=colour, fontweight=weight, **how)
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
    expected: Mapping[tuple[str, str], float] | None = None,
    found: str = "",
) -> Figure:
    """Draws one panel per template: cosine of each probe against the number; published curves
    dotted, in the same colours.

    Args:
        centred: the curves are less their means, and all panels have one scale.
        expected: the sign of the trend that the pack expects, by template and probe; drawn as an
            arrow at the end of the curve.
        found: what the criteria say, in the title.
    """
    unit = "cosine minus its mean" if centred else "cosine"
    templates = list(dict.fromkeys(curves["template"]))
    figure = style.new_figure(11, 6.8)
    columns = math.ceil(len(templates) / 2)
    panels = figure.subplots(2, columns, squeeze=False, sharey=centred).ravel()
    for axes, key in zip(panels, templates, strict=False):
        part = curves[curves["template"] == key]
        signs = {probe: (expected or {}).get((key, probe), 0.0) for probe in probes}
        _numeric_curves(axes, part, signs, None if claude is None else claude[key])
        axes.set_ylabel(unit)
        axes.set_title(key)
    for empty in panels[len(templates) :]:
        empty.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    if expected:
        handles.append(Line2D([], [], marker="^", color=style.INK, linestyle="none"))
        labels.append("expected to rise (down: to fall)")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(probes) + 2)
    scale = "all panels have one scale" if centred else "each panel has its own scale"
    what = f"Numeric modulation: {unit} at the assistant's first token ({scale})"
    style.head(figure, what, title, found)
    return figure


def _numeric_curves(
    axes: Axes,
    part: pd.DataFrame,
    signs: Mapping[str, float],
    claude: published.NumericCurves | None,
) -> None:
    """Draws the curve of each probe and, right of it, an arrow in the direction in which its trend
    is expected (a sign of 0: in neither)."""
    x = range(len(part))
    hollow: dict[str, Any] = {"markersize": 4, "markerfacecolor": style.HOLLOW}
    marks = dict(zip(signs, cycle(style.CATEGORIES), strict=False))
    for probe, (colour, shape) in marks.items():
        axes.plot(x, part[probe], label=probe, color=colour, marker=shape, markersize=4)
        if claude is not None:
            axes.plot(x, claude.curves[probe], "D:", color=colour, **hollow)
    if claude is not None:
        axes.plot([], [], "D:", color=style.INK, label=published.MODEL, **hollow)
    axes.axhline(0, color=style.NOISE, linewidth=0.8)
    for probe in (probe for probe, sign in signs.items() if sign):
        end, arrow = part[probe].iloc[-1], "^" if signs[probe] > 0 else "v"
        axes.plot(len(part) - 0.6, end, arrow, color=marks[probe].colour, markersize=5)
    axes.set_xticks(x, part["value"].astype(str))
    axes.set_xlabel("X, the number in the template")


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
        marks = [style.PASSED if passed else style.FAILED for passed in rows["passed"]]
        curve = Curve(np.array(layers), rows, marks, {"color": style.CONNECTION})
        draw_curves(axes, [curve], with_null=True)
        lower_is_better = rows["comparison"].iloc[0] == "<="
        finish_panel(axes, _panel_title(identifier, rows), lower_is_better=lower_is_better)
        axes.set_xlabel("layer")
        if identifier in WHOLE:
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        layer_ticks(axes, layers)
        if two_thirds is not None and layers[0] <= two_thirds <= layers[-1]:
            axes.axvline(two_thirds, zorder=0, **style.TWO_THIRDS_LINE)
    sized = [SIZE_DECIDES] if {"V10", "V11"} & set(criteria) else []
    known = two_thirds is not None
    explain(legend, VERDICT_MARKS, with_null=True, with_two_thirds=known, notes=sized)
    style.head(figure, "Criteria by layer (block output); up is better in every panel", title)
    return figure


def _panel_title(identifier: str, rows: pd.DataFrame) -> str:
    """Returns the criterion's name, and of a count what it is out of."""
    name = f"{identifier} {rows['name'].iloc[0]}"
    if identifier not in WHOLE or "n" not in rows:
        return name
    sizes = sorted({int(n) for n in rows["n"].dropna()})
    if not sizes:
        return name
    return f"{name} (of {sizes[0]}{f' to {sizes[-1]}' if len(sizes) > 1 else ''})"
