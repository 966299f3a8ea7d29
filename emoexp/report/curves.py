"""Figures of several models at once: each criterion by layer or by depth, and what is detected
against what steers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emoexp.config import TWO_THIRDS
from emoexp.figures.style import INK, NOISE, new_figure
from emoexp.report.blocks import in_order
from emoexp.report.groups import Part
from emoexp.stats.criteria import COUNTS, EFFECT_FLOOR

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b5b5b")
LINES = ("-", "--", ":", "-.")
"""Colours for seven models, which the colour-blind can tell apart; the eighth starts again with
another line."""
VALUES = ["value", "threshold", "ci_low", "ci_high", "null_low", "null_high"]


def style(k: int) -> dict[str, str]:
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": LINES[k // len(COLOURS) % len(LINES)]}


def of_criterion(part: Part, identifier: str) -> pd.DataFrame:
    """The part's verdicts on one criterion by layer; a count as the share of its n, which may
    differ between models."""
    found = part.rows[part.rows["id"] == identifier].sort_values("layer").copy()
    if identifier in COUNTS:
        found[VALUES] = found[VALUES].astype(float).div(found["n"].astype(float), axis=0)
    return found


def places(part: Part, layers: pd.Series, by_depth: bool) -> np.ndarray:
    """Where layers stand on the x axis: as they are, or as the fraction of the depth that
    `layer=0.5` means."""
    x = layers.to_numpy(dtype=float)
    if by_depth:
        if part.n_layers is None:
            raise ValueError(f"the depth of {part.label} is not known")
        x = x / part.n_layers
    return x


def aside(k: int, parts: Sequence[Part], by_depth: bool) -> float:
    """How far model `k` is moved along x, so that no interval hides another's."""
    return (
        0.08
        * (k - (len(parts) - 1) / 2)
        / (max(part.n_layers or 1 for part in parts) if by_depth else 1)
    )


def common_third(parts: Sequence[Part], by_depth: bool) -> float | None:
    """Where two thirds of the depth is, if that is one place for all."""
    thirds = {TWO_THIRDS} if by_depth else {part.two_thirds for part in parts}
    return thirds.pop() if len(thirds) == 1 else None


def draw(axes: Axes, parts: Sequence[Part], identifier: str, by_depth: bool) -> None:
    """One criterion: a line per model, with intervals, filled where informative. A model by itself
    has its null as a band; several would hide each other."""
    found = [of_criterion(part, identifier) for part in parts]
    for k, (part, rows) in enumerate(zip(parts, found, strict=True)):
        if rows.empty:
            continue
        colour = style(k)["color"]
        x = places(part, rows["layer"], by_depth) + aside(k, parts, by_depth)
        if len(parts) == 1:
            axes.fill_between(
                x, rows["null_low"], rows["null_high"], color=NOISE, alpha=0.35, linewidth=0
            )
        axes.plot(x, rows["value"], linewidth=1.1, zorder=1, **style(k))  # type: ignore[arg-type]
        axes.vlines(x, rows["ci_low"], rows["ci_high"], color=colour, linewidth=1, zorder=2)
        face = [colour if informative else "white" for informative in rows["informative"]]
        axes.scatter(x, rows["value"], s=22, c=face, edgecolors=colour, linewidths=1.1, zorder=3)
    thresholds(axes, parts, found, by_depth)
    known = next((rows for rows in found if not rows.empty), None)
    if known is None:
        axes.text(
            0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, fontsize=8
        )
        axes.set_title(identifier, fontsize=8)
        return
    axes.set_title(
        f"{identifier} {known['name'].iloc[0]}" + (" (share)" if identifier in COUNTS else ""),
        fontsize=8,
    )
    if known["comparison"].iloc[0] == "<=":
        axes.invert_yaxis()  # up is better in every panel


def thresholds(
    axes: Axes, parts: Sequence[Part], found: Sequence[pd.DataFrame], by_depth: bool
) -> None:
    """One line where all are judged alike, else each model's own in its colour: a threshold is
    scaled to n and rounded."""
    every = {float(t) for rows in found for t in rows["threshold"]}
    if len(every) == 1:
        axes.axhline(every.pop(), color=INK, linewidth=0.8, linestyle="--", zorder=0)
        return
    for k, (part, rows) in enumerate(zip(parts, found, strict=True)):
        if not rows.empty:
            axes.plot(
                places(part, rows["layer"], by_depth),
                rows["threshold"],
                color=style(k)["color"],
                linewidth=0.8,
                linestyle="--",
                zorder=0,
            )


def finish(axes: Axes, parts: Sequence[Part], by_depth: bool) -> None:
    """The same range in every panel, the line at two thirds where it is the same for all, and the
    ticks."""
    x = np.concatenate([places(part, pd.Series(part.layers), by_depth) for part in parts])
    margin = 0.05 * float(np.ptp(x)) + 0.02
    axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    if (third := common_third(parts, by_depth)) is not None:
        axes.axvline(third, color=NOISE, linewidth=0.9, linestyle=":", zorder=0)
    if not by_depth:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    axes.tick_params(labelsize=7)


def legend(figure: Figure, parts: Sequence[Part], by_depth: bool, axes: Axes) -> None:
    """What marks mean, in a cell of its own; which model has which colour, below."""
    axes.set_axis_off()
    mark = {"marker": "o", "linestyle": "none", "markersize": 6, "color": INK}
    axes.plot([], [], markerfacecolor=INK, label="informative", **mark)  # type: ignore[arg-type]
    axes.plot([], [], markerfacecolor="white", label="not informative", **mark)  # type: ignore[arg-type]
    axes.plot([], [], color=INK, linewidth=1.2, label="bar: 95 % interval")
    axes.plot(
        [],
        [],
        color=INK,
        linewidth=0.8,
        linestyle="--",
        label="threshold (effect ratio: no effect)",
    )
    if len(parts) == 1:
        axes.plot([], [], color=NOISE, linewidth=6, alpha=0.5, label="null, 95 %")
    if common_third(parts, by_depth) is not None:
        axes.plot(
            [], [], color=NOISE, linewidth=0.9, linestyle=":", label="two thirds of the depth"
        )
    axes.legend(fontsize=8, loc="center", frameon=False)
    lines = [axes.plot([], [], marker="o", markersize=5, **style(k))[0] for k in range(len(parts))]  # type: ignore[arg-type]
    labels = [
        fill(part.label, 90) + (f" ({part.n_layers} layers)" if part.n_layers is not None else "")
        for part in parts
    ]
    longest = max(len(label) for label in labels)
    figure.legend(
        lines,
        labels,
        loc="outside lower center",
        fontsize=8,
        frameon=False,
        ncols=max(1, min(len(parts), 130 // (longest + 6))),
    )


def overlay(parts: Sequence[Part], by_depth: bool) -> Figure:
    """One panel per criterion, one colour per model.

    Args:
        by_depth: against layer / number of layers, which must be known of each.
    """
    criteria = in_order(v for part in parts for v in part.rows["id"])
    columns = min(4, len(criteria) + 1)
    lines = -(-(len(criteria) + 1) // columns)
    figure = new_figure(3.1 * columns, 2.5 * lines + 0.6)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, identifier in zip(panels, criteria, strict=False):
        draw(axes, parts, identifier, by_depth)
        finish(axes, parts, by_depth)
    for axes in panels[len(criteria) :]:
        axes.set_axis_off()
    legend(figure, parts, by_depth, panels[len(criteria)])
    against = (
        "fraction of the depth (layer / number of layers)" if by_depth else "layer (block output)"
    )
    figure.suptitle(f"Models over each other, by {against}; up is better", fontsize=10)
    return figure


def _sizes(axes: Axes, x: np.ndarray | pd.Series, sizes: pd.DataFrame, colour: str) -> None:
    """Effect ratios, filled where V10 and V11 may be informative: the same rule as for verdicts."""
    told = (sizes["effect_ratio_low"] > 1) & (sizes["mean_abs_delta_elo"] >= EFFECT_FLOOR)
    axes.scatter(
        x,
        sizes["effect_ratio"],
        s=26,
        c=[colour if t else "white" for t in told],
        edgecolors=colour,
        linewidths=1.1,
        zorder=3,
    )


def named(points: pd.DataFrame) -> list[tuple[tuple[float, float], list[int]]]:
    """Where to write which layers: those within a twentieth of the ratios' range at the same value
    share one label."""
    gap = 0.05 * max(float(np.ptp(points["effect_ratio"])) if len(points) else 0.0, 1.0)
    found: list[tuple[tuple[float, float], list[int]]] = []
    for row in points.sort_values(["value", "effect_ratio"]).to_dict("records"):
        if (
            found
            and found[-1][0][0] == row["value"]
            and row["effect_ratio"] - found[-1][0][1] < gap
        ):
            found[-1][1].append(int(row["layer"]))
        else:
            found.append(((float(row["value"]), float(row["effect_ratio"])), [int(row["layer"])]))
    return [(place, sorted(layers)) for place, layers in found]


def listed(layers: Sequence[int]) -> str:
    """`2, 4` or, of three or more in a row, `2..7`."""
    whole = len(layers) > 2 and list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}..{layers[-1]}" if whole else ", ".join(map(str, layers))


def detection_against_steering(parts: Sequence[Part], by_depth: bool) -> Figure:
    """Above, what is detected (V3, V4), and against it the size of steering; below, what steering
    does (V10, V11, size)."""
    figure = new_figure(12.6, 6)
    (v3, v4, seen, ranked), (v10, v11, size, key) = figure.subplots(2, 4)
    for axes, identifier in ((v3, "V3"), (v4, "V4"), (v10, "V10"), (v11, "V11")):
        draw(axes, parts, identifier, by_depth)
    for k, part in enumerate(parts):
        if part.sizes.empty:
            continue
        colour, sizes = style(k)["color"], part.sizes.sort_values("layer")
        x = places(part, sizes["layer"], by_depth) + aside(k, parts, by_depth)
        size.vlines(
            x, sizes["effect_ratio_low"], sizes["effect_ratio_high"], color=colour, linewidth=1
        )
        size.plot(x, sizes["effect_ratio"], linewidth=1.1, **style(k))
        _sizes(size, x, sizes, colour)
        for axes, identifier in ((seen, "V3"), (ranked, "V4")):
            joined = of_criterion(part, identifier)[["layer", "value"]].merge(sizes, on="layer")
            _sizes(axes, joined["value"], joined, colour)
            below = k % 2 == 1  # of two models at one point, one is named above and one below
            for (value, ratio), layers in named(joined):
                place = {"xytext": (4, -10 if below else 4), "textcoords": "offset points"}
                axes.annotate(listed(layers), (value, ratio), fontsize=7, color=colour, **place)
    size.set_title("effect ratio: emotions over isotropic", fontsize=8)
    for axes in (v3, v4, v10, v11, size):
        finish(axes, parts, by_depth)
    for axes, label in ((seen, "V3, share"), (ranked, "V4, mean rank (right is better)")):
        axes.set_title(f"effect ratio against {label[:2]} (numbers: layers)", fontsize=8)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.margins(0.12)
    seen.set_xlim(-0.06, 1.1)
    ranked.invert_xaxis()
    for axes in (size, seen, ranked):
        axes.axhline(1, color=INK, linewidth=0.8, linestyle="--", zorder=0)
    legend(figure, parts, by_depth, key)
    figure.suptitle(
        "Detection (V3, V4) against steering (V10, V11, effect ratio), by"
        f" {'fraction of the depth' if by_depth else 'layer'}",
        fontsize=10,
    )
    return figure
