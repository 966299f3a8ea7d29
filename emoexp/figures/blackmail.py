"""The dose figure: rate of the harmful act against strength."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emoexp.blackmail.rates import COHERENT_ENOUGH
from emoexp.figures import style
from emoexp.stats.labels import ISOTROPIC, OTHER_EMOTIONS

LINES = {ISOTROPIC: "x:", OTHER_EMOTIONS: "s--"}
"""Mark and line of the controls."""


def dose(table: pd.DataFrame, title: str) -> Figure:
    """Draws rates with their intervals, an emotion's line through the baseline at 0; below, the
    share of the replies that are not judged, and so in no rate.

    Args:
        table: rows of `name`, `strength`, `rate`, `low`, `high` (NaN where no reply is judged),
            `unjudged` (a share), `judged` (whether enough are); `name` is "baseline" for
            strength 0.
    """
    figure = style.new_figure(8.4, 6.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    baseline = table[table["name"] == "baseline"]
    names = [name for name in dict.fromkeys(table["name"]) if name != "baseline"]
    step = 0.012 * (table["strength"].max() - table["strength"].min())
    for i, name in enumerate(names):
        mark = style.SETS.get(name, style.CATEGORIES[i % len(style.CATEGORIES)])
        colour, line = mark.colour, LINES.get(name, f"{mark.shape}-")
        curve = pd.concat([table[table["name"] == name], baseline]).sort_values("strength")
        aside = (i - (len(names) - 1) / 2) * step
        _rates(axes, curve.dropna(subset=["rate"]), aside, colour, line, name)
        small = {"linewidth": style.THIN, "markersize": 3.5}
        below.plot(curve["strength"], curve["unjudged"], line, color=colour, **small)
    if not table["judged"].all():
        axes.plot([], [], "x", color=style.INK, markersize=9, label="too few replies judged")
    if table["rate"].isna().all():
        axes.text(0.5, 0.5, "no reply is judged", ha="center", transform=axes.transAxes)
    _baseline(axes, baseline.iloc[0])
    axes.set(ylim=(-0.03, 1.03), ylabel="harmful, of judged replies (95 %)")
    style.legend_below(axes, 5)
    style.head(figure, "Blackmail under steering, judged by rules", title)
    below.axhline(1 - COHERENT_ENOUGH, color=style.INK, linewidth=0.6, linestyle=":")
    below.set(ylim=(-0.03, 1.03), ylabel="share not judged")
    below.set_title("incoherent, cut or unclear; above the line nothing is said", loc="left")
    below.set_xlabel("strength, in multiples of the mean residual norm")
    return figure


def _rates(
    axes: Axes, curve: pd.DataFrame, aside: float, colour: str, line: str, label: str
) -> None:
    """Draws the rates of one condition, moved `aside` along x so that no interval hides another's;
    a cross where too few replies are judged. The baseline's interval is drawn by itself."""
    steered = curve["strength"] != 0
    x = curve["strength"] + aside * steered
    down = (curve["rate"] - curve["low"]).where(steered)
    up = (curve["high"] - curve["rate"]).where(steered)
    how: dict[str, Any] = {"fmt": line, "color": colour, "label": label, "capsize": 2}
    axes.errorbar(x, curve["rate"], yerr=[down, up], linewidth=1.4, markersize=4.5, **how)
    few = ~curve["judged"].astype(bool)
    axes.plot(x[few], curve["rate"][few], "x", color=style.INK, markersize=9)


def _baseline(axes: Axes, baseline: pd.Series) -> None:
    """Draws the rate without steering, as a mark and as a line."""
    rate = float(baseline["rate"])
    ends = [[rate - float(baseline["low"])], [float(baseline["high"]) - rate]]
    how: dict[str, Any] = {"fmt": "D", "color": style.INK, "capsize": 3, "markersize": 5}
    axes.errorbar([0], [rate], yerr=ends, label="baseline", zorder=5, **how)
    axes.axhline(rate, color=style.INK, linewidth=0.7, linestyle=(0, (4, 3)))
