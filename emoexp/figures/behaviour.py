"""Figures of what a model says under steering: self-report and drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from emoexp.figures.style import INK, NEGATIVE, NOISE, PROBE_COLOURS, new_figure

BREAKS = {"repetition": PROBE_COLOURS[2], "surprise": NEGATIVE}
WHO = {"self": (PROBE_COLOURS[0], "of itself"), "other": (PROBE_COLOURS[1], "of others")}


def _map(axes: Axes, matrix: np.ndarray, label: str) -> None:
    """A map with colours for all but its extreme 2 % of cells."""
    limit = float(np.quantile(np.abs(matrix), 0.98)) or 1.0
    image = axes.imshow(
        matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01, extend="both", label=label)


def word_map(change: np.ndarray, names: Sequence[str], title: str, ordered_by: str) -> Figure:
    """Steered emotion by word, both in the order given; large enough that every name can be
    read."""
    n = len(names)
    side, size = max(7.0, 0.115 * n), 8.0 if n <= 30 else 6.0 if n <= 80 else 5.0
    figure = new_figure(side + 1.6, side)
    axes = figure.add_subplot()
    _map(axes, change, "change of log-probability (nats)")
    axes.set_xticks(range(n), names, rotation=90, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.set(
        xlabel=f"word, by {ordered_by} (diagonal: the steered emotion's own)",
        ylabel=f"steered emotion, by {ordered_by}",
    )
    axes.set_title(
        f"Self-report: what steering does to each word, asked {title}", fontsize=9, loc="left"
    )
    return figure


def self_report(words: pd.DataFrame, rows: pd.DataFrame, title: str) -> Figure:
    """Draws the own word of each emotion: change by emotion, ranks, and change against valence.

    Args:
        words: one row per emotion: emotion, valence, and value_ and rank_ for self and other.
        rows: the nulls: asked, statistic, isotropic_low, isotropic_high.
    """
    figure = new_figure(max(11, 0.16 * len(words)), 7.6)
    grid = figure.add_gridspec(2, 2)
    nulls = rows[rows["asked"] == "self"].set_index("statistic").to_dict("index")
    table = words.sort_values("value_self").reset_index(drop=True)
    _own_changes(figure.add_subplot(grid[0, :]), table, nulls["value"])
    _own_ranks(figure.add_subplot(grid[1, 0]), table, nulls["rank"])
    _changes_by_valence(figure.add_subplot(grid[1, 1]), table)
    for axes in figure.axes:
        axes.title.set_fontsize(9)
    figure.suptitle(f"Self-report under steering\n{title}", fontsize=10)
    return figure


def _own_changes(axes: Axes, table: pd.DataFrame, null: dict[Any, Any]) -> None:
    label = "mean of random pairs, 95 %"
    low, high = null["isotropic_low"], null["isotropic_high"]
    axes.axhspan(low, high, color=NOISE, alpha=0.5, linewidth=0, label=label)
    places = range(len(table))
    for who, (colour, asked) in WHO.items():
        label = f"own word, asked {asked}"
        axes.plot(places, table[f"value_{who}"], "o", color=colour, markersize=4, label=label)
    axes.axhline(0, color=INK, linewidth=0.8)
    size = 7 if len(table) <= 80 else 5
    axes.set_xticks(places, table["emotion"], rotation=90, fontsize=size)
    axes.set_xlim(-1, len(table))
    axes.set(ylabel="change of log-probability (nats)", title="the steered emotion's own word")
    axes.legend(fontsize=8, loc="upper left")


def _own_ranks(axes: Axes, table: pd.DataFrame, null: dict[Any, Any]) -> None:
    n = len(table)
    bins = list(np.arange(0.5, n + 1.5, max(1, round(n / 32))))
    for who, (colour, asked) in WHO.items():
        ranks = table[f"rank_{who}"]
        label = f"asked {asked}, mean {ranks.mean():.1f}"
        axes.hist(ranks, bins=bins, histtype="step", color=colour, linewidth=1.5, label=label)
    label = "mean rank of random pairs, 95 %"
    low, high = null["isotropic_low"], null["isotropic_high"]
    axes.axvspan(low, high, color=NOISE, alpha=0.5, linewidth=0, label=label)
    axes.set(xlabel=f"rank of the own word among {n}, by change", ylabel="emotions")
    axes.set_title("1: no word rises more")
    axes.legend(fontsize=8, loc="upper right")


def _changes_by_valence(axes: Axes, table: pd.DataFrame) -> None:
    known = table[table["valence"].notna()]
    for who, (colour, asked) in WHO.items():
        label = f"asked {asked}"
        axes.scatter(known["valence"], known[f"value_{who}"], s=14, color=colour, label=label)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="valence of the emotion", ylabel="change of the own word (nats)")
    axes.set_title("by valence")
    axes.legend(fontsize=8)


def drift_curves(curves: pd.DataFrame, strength: float, smooth: int, title: str) -> Figure:
    """One panel per emotion: drift on its own probe by token, a line for each strength; the null of
    `strength` in grey."""
    emotions, strengths = list(dict.fromkeys(curves["emotion"])), sorted(set(curves["strength"]))
    columns = min(4, len(emotions))
    lines = -(-len(emotions) // columns)
    figure = new_figure(3.2 * columns, 2.3 * lines + 1)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    colours = colormaps["viridis_r"](np.linspace(0.15, 1, len(strengths)))
    for axes, emotion in zip(panels, emotions, strict=False):
        for colour, s in zip(colours, strengths, strict=True):
            part = curves[(curves["emotion"] == emotion) & (curves["strength"] == s)]
            if s == strength:
                axes.fill_between(
                    part["token"],
                    part["null_low"],
                    part["null_high"],
                    color=NOISE,
                    alpha=0.45,
                    linewidth=0,
                )
                axes.plot(part["token"], part["others"], color=INK, linewidth=0.9, linestyle=":")
                axes.fill_between(
                    part["token"], part["low"], part["high"], color=colour, alpha=0.25, linewidth=0
                )
            axes.plot(
                part["token"], part["own"], color=colour, linewidth=2 if s == strength else 1.1
            )
        axes.axhline(0, color=INK, linewidth=0.7)
        axes.set_title(emotion, fontsize=9)
        axes.set_xlabel("token of the text", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels[len(emotions) :]:
        axes.set_axis_off()
    marks: list[Any] = [
        Line2D(
            [],
            [],
            color=c,
            linewidth=2 if s == strength else 1.1,
            label=f"own probe, strength {s:g}",
        )
        for c, s in zip(colours, strengths, strict=True)
    ]
    marks += [
        Line2D(
            [],
            [],
            color=INK,
            linewidth=0.9,
            linestyle=":",
            label=f"other probes, mean, {strength:g}",
        ),
        Patch(
            color=NOISE, alpha=0.45, label=f"isotropic directions on this probe, {strength:g}, 95 %"
        ),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=8)
    figure.supylabel("cosine minus the unsteered text's", fontsize=9)
    figure.suptitle(
        f"Drift of the text on the steered emotion's probe (mean of {smooth} tokens; band at"
        f" strength {strength:g}: 95 % over trials)\n{title}",
        fontsize=10,
    )
    return figure


def drift_map(
    ends: np.ndarray, steered: Sequence[str], probes: Sequence[str], title: str, ordered_by: str
) -> Figure:
    """Steered emotion by probe at the end of the text; the own probe framed."""
    n, size = len(probes), 8.0 if len(probes) <= 30 else 6.5 if len(probes) <= 80 else 5.0
    figure = new_figure(max(8.0, 0.15 * n if n <= 80 else 0.115 * n) + 2, 0.24 * len(steered) + 2.2)
    axes = figure.add_subplot()
    _map(axes, ends, "cosine minus unsteered")
    for i, name in enumerate(steered):
        if name in probes:
            axes.add_patch(
                Rectangle(
                    (list(probes).index(name) - 0.5, i - 0.5),
                    1,
                    1,
                    fill=False,
                    edgecolor=INK,
                    linewidth=1.2,
                )
            )
    axes.set_xticks(range(n), probes, rotation=90, fontsize=size)
    axes.set_yticks(range(len(steered)), steered, fontsize=8)
    axes.set(xlabel=f"probe, by {ordered_by} (framed: the steered emotion's own)", ylabel="steered")
    axes.set_title(f"Drift at the end of the text (last quarter); {title}", fontsize=9, loc="left")
    return figure


def degeneration_strip(transcripts: pd.DataFrame, max_new_tokens: int, title: str) -> Figure:
    """A panel per strength, a line per direction (isotropic together): a tick where a text
    degenerates, and how many of them do."""
    strengths = [s for s in sorted(set(transcripts["strength"])) if s != 0]
    emotions = list(dict.fromkeys(transcripts[transcripts["set"] == "emotions"]["direction"]))
    lines = ["unsteered", "isotropic", *emotions[::-1]]
    figure = new_figure(3.3 * len(strengths) + 1.2, 0.26 * len(lines) + 1.9)
    for axes, strength in zip(
        figure.subplots(1, len(strengths), squeeze=False, sharey=True)[0], strengths, strict=True
    ):
        for y, name in enumerate(lines):
            mine = (
                (transcripts["set"] == "isotropic random")
                if name == "isotropic"
                else transcripts["direction"] == name
            )
            part = transcripts[mine & transcripts["strength"].isin([0.0, strength])]
            for why, colour in BREAKS.items():
                at = part[part["why"] == why]["degenerates_at"]
                axes.plot(
                    at,
                    np.full(len(at), y),
                    "|",
                    color=colour,
                    markersize=9,
                    markeredgewidth=1.3,
                    alpha=0.7,
                )
            axes.text(
                1.02 * max_new_tokens,
                y,
                f"{(part['degenerates_at'] >= 0).sum()}/{len(part)}",
                fontsize=7,
                va="center",
            )
        axes.set_xlim(-2, 1.22 * max_new_tokens)
        axes.set_xticks(np.linspace(0, max_new_tokens, 5).astype(int))
        axes.set_yticks(range(len(lines)), lines, fontsize=8)
        axes.grid(axis="y", color=NOISE, linewidth=0.4)
        axes.set_title(f"strength {strength:g}", fontsize=9)
        axes.set_xlabel("token (right: texts that degenerate)", fontsize=8)
    handles = [
        Line2D([], [], color=c, marker="|", linestyle="none", markersize=9, label=why)
        for why, c in BREAKS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    figure.suptitle(f"Where texts degenerate\n{title}", fontsize=10)
    return figure
