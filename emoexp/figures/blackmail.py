"""The dose figure: rate of the harmful act against strength."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from emoexp.figures.style import CONTROL, INK, NOISE, PROBE_COLOURS, new_figure
from emoexp.stats.labels import ISOTROPIC, OTHER_EMOTIONS

STYLES = {ISOTROPIC: (NOISE, "o:"), OTHER_EMOTIONS: (CONTROL, "s--")}


def dose(table: pd.DataFrame, title: str) -> Figure:
    """Rates with their intervals, an emotion's line through the baseline at 0; below, the share of
    incoherent trials.

    Args:
        table: rows of `name`, `strength`, `rate`, `low`, `high` (NaN where no reply is judged),
            `incoherent` (a share), `judged`; `name` is "baseline" for strength 0.
    """
    figure = new_figure(8.4, 6.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    base = table[table["name"] == "baseline"]
    names = [name for name in dict.fromkeys(table["name"]) if name != "baseline"]
    step = 0.012 * (table["strength"].max() - table["strength"].min())
    for i, name in enumerate(names):
        colour, line = STYLES.get(name, (PROBE_COLOURS[i % len(PROBE_COLOURS)], "o-"))
        through = pd.concat([table[table["name"] == name], base]).sort_values("strength")
        known = through.dropna(subset=["rate"])
        aside = (i - (len(names) - 1) / 2) * step * (known["strength"] != 0)
        at = known["strength"] + aside
        spread = [
            (known["rate"] - known["low"]).where(known["strength"] != 0),
            (known["high"] - known["rate"]).where(known["strength"] != 0),
        ]
        axes.errorbar(
            at,
            known["rate"],
            yerr=spread,
            fmt=line,
            color=colour,
            capsize=2,
            linewidth=1.4,
            markersize=4.5,
            label=name,
        )
        broken = ~known["judged"].astype(bool)
        axes.plot(at[broken], known["rate"][broken], "x", color=INK, markersize=9)
        below.plot(
            through["strength"],
            through["incoherent"],
            line,
            color=colour,
            linewidth=1.2,
            markersize=3.5,
        )
    if not table["judged"].all():
        axes.plot([], [], "x", color=INK, markersize=9, label="too few replies judged")
    rate, low, high = (float(base[name].iloc[0]) for name in ("rate", "low", "high"))
    axes.errorbar(
        [0],
        [rate],
        yerr=[[rate - low], [high - rate]],
        fmt="D",
        color=INK,
        capsize=3,
        markersize=5,
        label="baseline",
        zorder=5,
    )
    axes.axhline(rate, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    axes.set(ylim=(-0.03, 1.03), ylabel="harmful, of judged replies (95 %)")
    axes.legend(fontsize=8, ncols=2)
    axes.set_title(title, fontsize=9, loc="left")
    below.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
    below.set(
        ylim=(-0.03, 1.03),
        ylabel="incoherent",
        xlabel="strength, in multiples of the mean residual norm",
    )
    return figure
