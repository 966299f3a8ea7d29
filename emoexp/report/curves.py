"""Figures of several models at once: each criterion by layer or by depth, and detection against
steering."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emoexp.config import TWO_THIRDS
from emoexp.figures import style
from emoexp.figures.layer_panels import (
    Curve,
    criterion_panels,
    draw_curves,
    draw_marks,
    explain,
    finish_panel,
)
from emoexp.figures.titles import where
from emoexp.figures.validation import SIZE_DECIDES
from emoexp.report.blocks import in_order
from emoexp.report.groups import Part
from emoexp.stats.criteria import COUNTS, EFFECT_FLOOR

COLOURS = style.MODEL_COLOURS
VALUES = ["value", "threshold", "ci_low", "ci_high", "null_low", "null_high"]
MARKS = (
    (style.Mark(style.INK, "o"), style.INK, "informative"),
    (style.Mark(style.INK, "o"), style.HOLLOW, "not informative"),
)
"""Mark, face and meaning."""


def measured_with(parts: Sequence[Part]) -> str:
    """Returns the models, the packs and the corpora of a figure, for its title."""
    rows = pd.concat([part.rows[["pack", "corpus"]] for part in parts])
    return where([part.label for part in parts], rows["pack"].dropna(), rows["corpus"].dropna())


def model_line(k: int) -> dict[str, Any]:
    """Returns colour and line style of model `k`."""
    turn, place = divmod(k, len(COLOURS))
    return {"color": COLOURS[place], "linestyle": style.MODEL_LINES[turn % len(style.MODEL_LINES)]}


def of_criterion(part: Part, identifier: str) -> pd.DataFrame:
    """Returns the part's verdicts on one criterion by layer; a count as the share of its n, which
    may differ between models."""
    rows = part.rows[part.rows["id"] == identifier].sort_values("layer").copy()
    if identifier in COUNTS:
        rows[VALUES] = rows[VALUES].astype(float).div(rows["n"].astype(float), axis=0)
    return rows


def places(part: Part, layers: pd.Series, by_depth: bool) -> np.ndarray:
    """Returns the places of layers on the x axis: the layers themselves, or the fraction of the
    depth that `layer=0.5` means.

    Raises:
        ValueError: the depth is asked for and not known.
    """
    x = layers.to_numpy(dtype=float)
    if by_depth:
        if part.n_layers is None:
            raise ValueError(f"the depth of {part.label} is not known")
        x = x / part.n_layers
    return x


def aside(k: int, parts: Sequence[Part], by_depth: bool) -> float:
    """Returns how far model `k` is moved along x, so that no interval hides another's."""
    longest = max(part.n_layers or 1 for part in parts)
    return 0.08 * (k - (len(parts) - 1) / 2) / (longest if by_depth else 1)


def common_third(parts: Sequence[Part], by_depth: bool) -> float | None:
    """Returns the place of two thirds of the depth; None if it differs between models."""
    thirds = {TWO_THIRDS} if by_depth else {part.two_thirds for part in parts}
    return thirds.pop() if len(thirds) == 1 else None


def _curve(parts: Sequence[Part], k: int, rows: pd.DataFrame, by_depth: bool) -> Curve:
    """Returns the curve of model `k`, in its colour."""
    x = places(parts[k], rows["layer"], by_depth) + aside(k, parts, by_depth)
    return Curve(x, rows, [style.Mark(model_line(k)["color"], "o")] * len(rows), model_line(k))


def draw(axes: Axes, parts: Sequence[Part], identifier: str, by_depth: bool) -> None:
    """Draws one criterion: a line per model, with intervals, filled where informative. A model by
    itself has its null as a band; several would hide each other."""
    tables = [(k, of_criterion(part, identifier)) for k, part in enumerate(parts)]
    curves = [_curve(parts, k, rows, by_depth) for k, rows in tables if not rows.empty]
    if not curves:
        place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, "not measured", fontsize=style.MEDIUM, **place)
        finish_panel(axes, identifier)
        return
    draw_curves(axes, curves, with_null=len(parts) == 1)
    first = curves[0].rows.iloc[0]
    title = f"{identifier} {first['name']}" + (" (share)" if identifier in COUNTS else "")
    finish_panel(axes, title, lower_is_better=first["comparison"] == "<=")


def finish(axes: Axes, parts: Sequence[Part], by_depth: bool) -> None:
    """Sets the same range in every panel, ticks, and the line at two thirds of the depth where that
    is the same for all."""
    x = np.concatenate([places(part, pd.Series(part.layers), by_depth) for part in parts])
    longest = max(part.n_layers or 1 for part in parts)
    step = 1 / longest if by_depth else 1.0  # a bar of a null is wider than half of it
    margin = max(0.05 * float(np.ptp(x)), 0.5 * step)
    axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    if (third := common_third(parts, by_depth)) is not None:
        axes.axvline(third, zorder=0, **style.TWO_THIRDS_LINE)
    axes.set_xlabel("fraction of the depth" if by_depth else "layer")
    if not by_depth:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def legend(figure: Figure, parts: Sequence[Part], by_depth: bool, axes: Axes) -> None:
    """Writes what marks mean, in a cell of its own; which model has which colour, below."""
    explain(
        axes,
        MARKS,
        with_null=len(parts) == 1,
        with_two_thirds=common_third(parts, by_depth) is not None,
        notes=[SIZE_DECIDES],
        threshold="threshold (effect ratio: no effect)",
    )
    marked: dict[str, Any] = {"marker": "o", "markersize": 5}
    lines = [axes.plot([], [], **marked, **model_line(k))[0] for k in range(len(parts))]
    labels = [
        fill(part.label, 90) + (f" ({part.n_layers} layers)" if part.n_layers is not None else "")
        for part in parts
    ]
    longest = max(len(label) for label in labels)
    columns = max(1, min(len(parts), 130 // (longest + 6)))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
    figure.legend(lines, labels, **place)


def overlay(parts: Sequence[Part], by_depth: bool) -> Figure:
    """Draws one panel per criterion, one colour per model.

    Args:
        by_depth: against layer / number of layers, which must be known of each.
    """
    criteria = in_order(v for part in parts for v in part.rows["id"])
    figure, panels, key = criterion_panels(len(criteria))
    for axes, identifier in zip(panels, criteria, strict=True):
        draw(axes, parts, identifier, by_depth)
        finish(axes, parts, by_depth)
    legend(figure, parts, by_depth, key)
    axis = (
        "fraction of the depth (layer / number of layers)" if by_depth else "layer (block output)"
    )
    style.head(figure, f"Models over each other, by {axis}; up is better", measured_with(parts))
    return figure


def effect_ratios(part: Part) -> pd.DataFrame:
    """Returns the effect ratio by layer, with the fields of a verdict: its threshold is 1, no
    effect, and it is informative by the rule of V10 and V11."""
    sizes = part.sizes.sort_values("layer")
    above = (sizes["effect_ratio_low"] > 1) & ~(sizes["over_shuffled_low"] <= 1)
    return sizes.assign(
        value=sizes["effect_ratio"],
        ci_low=sizes["effect_ratio_low"],
        ci_high=sizes["effect_ratio_high"],
        threshold=1.0,
        informative=above & (sizes["mean_abs_delta_elo"] >= EFFECT_FLOOR),
    )


def named(points: pd.DataFrame) -> list[tuple[tuple[float, float], list[int]]]:
    """Returns where to write which layers: those within a twentieth of the range of the ratios'
    intervals at the same value share one label."""
    spread = (
        float(np.ptp(points[["effect_ratio_low", "effect_ratio_high"]])) if len(points) else 0.0
    )
    gap = 0.05 * max(spread, 1.0)
    labels: list[tuple[tuple[float, float], list[int]]] = []
    for row in points.sort_values(["value", "effect_ratio"]).to_dict("records"):
        value, ratio, layer = float(row["value"]), float(row["effect_ratio"]), int(row["layer"])
        if labels and labels[-1][0][0] == value and ratio - labels[-1][0][1] < gap:
            labels[-1][1].append(layer)
        else:
            labels.append(((value, ratio), [layer]))
    return [(place, sorted(layers)) for place, layers in labels]


def listed(layers: Sequence[int]) -> str:
    """Formats layers: `2, 4` or, of three or more in a row, `2..7`."""
    whole = len(layers) > 2 and list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}..{layers[-1]}" if whole else ", ".join(map(str, layers))


def detection_against_steering(parts: Sequence[Part], by_depth: bool) -> Figure:
    """Draws, above, what is detected (V3, V4), and against it the size of steering; below, what
    steering does (V10, V11, size)."""
    figure = style.new_figure(12.6, 6)
    (v3, v4, against_v3, against_v4), (v10, v11, size, key) = figure.subplots(2, 4)
    for axes, identifier in ((v3, "V3"), (v4, "V4"), (v10, "V10"), (v11, "V11")):
        draw(axes, parts, identifier, by_depth)
    measured = [(k, effect_ratios(part)) for k, part in enumerate(parts) if len(part.sizes)]
    curves = [_curve(parts, k, ratios, by_depth) for k, ratios in measured]
    draw_curves(size, curves, with_null=False)
    finish_panel(size, "effect ratio: emotions over isotropic")
    for axes in (v3, v4, v10, v11, size):
        finish(axes, parts, by_depth)
    _ratio_against(against_v3, parts, "V3", "V3, share")
    _ratio_against(against_v4, parts, "V4", "V4, mean rank (right is better)")
    against_v4.invert_xaxis()
    legend(figure, parts, by_depth, key)
    axis = "fraction of the depth" if by_depth else "layer"
    text = f"Detection (V3, V4) against steering (V10, V11, effect ratio), by {axis}"
    style.head(figure, text, measured_with(parts))
    return figure


def _ratio_against(axes: Axes, parts: Sequence[Part], identifier: str, label: str) -> None:
    """Draws the effect ratio of each layer against a criterion's value, with the intervals of both
    and the layers' names."""
    for k, part in enumerate(parts):
        if part.sizes.empty:
            continue
        colour = model_line(k)["color"]
        columns = {"value": "value", "ci_low": "left", "ci_high": "right", "layer": "layer"}
        detected = of_criterion(part, identifier)[list(columns)].rename(columns=columns)
        points = detected.merge(effect_ratios(part).drop(columns="value"), on="layer")
        bars: dict[str, Any] = {"color": colour, "linewidth": 0.7, "alpha": 0.6, "zorder": 1}
        axes.vlines(points["value"], points["ci_low"], points["ci_high"], **bars)
        axes.hlines(points["effect_ratio"], points["left"], points["right"], **bars)
        marks = [style.Mark(colour, "o")] * len(points)
        draw_marks(axes, points["value"], points["effect_ratio"], marks, points["informative"])
        below = k % 2 == 1  # of two models at one point, one is named above and one below
        place: dict[str, Any] = {"xytext": (4, -10 if below else 4), "textcoords": "offset points"}
        for point, layers in named(points):
            axes.annotate(listed(layers), point, fontsize=style.SMALL, color=colour, **place)
    axes.axhline(1, color=style.INK, zorder=0, **style.THRESHOLD_LINE)
    axes.set_title(f"effect ratio against {identifier} (numbers: layers)")
    axes.set(xlabel=label, ylabel="effect ratio")
    axes.tick_params(labelsize=style.SMALL)
    axes.margins(0.12)
