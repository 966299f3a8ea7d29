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

from emoexp.figures import style
from emoexp.figures.names import name_points
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, UNSTEERED

BREAKS = {"repetition": style.CATEGORIES[0].colour, "surprise": style.CATEGORIES[1].colour}
"""Colours of the reasons why a text is degenerate."""
WHO = {"self": (style.CATEGORIES[0], "of itself"), "other": (style.CATEGORIES[1], "of others")}
"""Mark and name of each question: whom the model is asked about."""
FEW = 24
"""Emotions that are named in a scatter: of more, those of the smallest and the largest change."""
TRIALS: dict[str, Any] = {"alpha": 0.25, "linewidth": 0}
"""How the interval over trials is filled, in the colour of its line."""
OTHER_PROBES: dict[str, Any] = {"color": style.INK, "linewidth": 0.9, "linestyle": ":"}


def _changes(axes: Axes, x: np.ndarray | pd.Series, table: pd.DataFrame, what: str = "") -> None:
    """Draws the change of each emotion's own word at `x`, of each question, and the line at 0."""
    for who, ((colour, shape), asked) in WHO.items():
        how: dict[str, Any] = {"s": 16, "facecolors": style.HOLLOW, "edgecolors": colour}
        label = f"{what}asked {asked}"
        axes.scatter(x, table[f"value_{who}"], label=label, marker=shape, **how)
    axes.axhline(0, **style.AXIS_LINE)


def _map(axes: Axes, matrix: np.ndarray, label: str) -> None:
    """Draws a map with colours for all but its extreme 2 % of cells."""
    limit = float(np.quantile(np.abs(matrix), 0.98)) or 1.0
    how: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
    image = axes.imshow(matrix, cmap=style.DIVERGING, vmin=-limit, vmax=limit, **how)
    axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01, extend="both", label=label)


def word_map(
    change: np.ndarray, names: Sequence[str], asked: str, title: str, ordered_by: str
) -> Figure:
    """Draws the change of each word (columns) by steered emotion (rows), both in the order given;
    large enough that every name can be read. `asked` says of whom the model is asked."""
    n = len(names)
    side = max(7.0, style.names_length(n) + 1)
    figure = style.new_figure(side + 1.6, side)
    axes = figure.add_subplot()
    _map(axes, change, "change of log-probability (nats)")
    style.name_ticks(axes, names)
    axes.set_yticks(range(n), names, fontsize=style.name_size(n))
    axes.set_xlabel(f"word, by {ordered_by} (diagonal: the steered emotion's own)")
    axes.set_ylabel(f"steered emotion, by {ordered_by}")
    style.head(figure, f"Self-report, asked {asked}: what steering does to each word", title)
    return figure


def self_report(words: pd.DataFrame, rows: pd.DataFrame, title: str) -> Figure:
    """Draws the own word of each emotion: change by emotion, ranks, and change against valence.

    Args:
        words: one row per emotion: emotion, valence, and value_ and rank_ for self and other.
        rows: the nulls: asked, statistic, isotropic_low, isotropic_high.
    """
    figure = style.new_figure(max(11, style.names_length(len(words)) + 1), 7.6)
    grid = figure.add_gridspec(2, 2)
    nulls = rows[rows["asked"] == "self"].set_index("statistic").to_dict("index")
    table = words.sort_values("value_self").reset_index(drop=True)
    _own_changes(figure.add_subplot(grid[0, :]), table, nulls["value"])
    _own_ranks(figure.add_subplot(grid[1, 0]), table, nulls["rank"])
    by_valence, known = figure.add_subplot(grid[1, 1]), table[table["valence"].notna()]
    _changes_by_valence(by_valence, known, len(table))
    style.head(figure, "Self-report under steering", title)
    points = [known[["valence", f"value_{who}"]].to_numpy(dtype=float) for who in WHO]
    few = known if len(known) <= FEW else pd.concat([known[: FEW // 2], known[-FEW // 2 :]])
    own = few[["valence", "value_self"]].to_numpy(dtype=float)
    name_points(by_valence, own, list(few["emotion"]), avoid=np.vstack(points))
    return figure


def _own_changes(axes: Axes, table: pd.DataFrame, null: dict[Any, Any]) -> None:
    label = "mean of random pairs, 95 %"
    axes.axhspan(null["isotropic_low"], null["isotropic_high"], label=label, **style.NULL_BAND)
    _changes(axes, np.arange(len(table)), table, "own word, ")
    style.name_ticks(axes, table["emotion"])
    axes.set_xlim(-1, len(table))
    axes.set_ylabel("change of log-probability (nats)")
    axes.set_title("the steered emotion's own word", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3)


def _own_ranks(axes: Axes, table: pd.DataFrame, null: dict[Any, Any]) -> None:
    n = len(table)
    bins = list(np.arange(0.5, n + 1.5, max(1, round(n / 16))))
    ranks = [table[f"rank_{who}"] for who in WHO]
    means = [f"{values.mean():.1f}" for values in ranks]
    labels = [f"{WHO[who][1]} (mean {mean})" for who, mean in zip(WHO, means, strict=True)]
    axes.hist(ranks, bins=bins, color=[mark.colour for mark, _ in WHO.values()], label=labels)
    label = "mean rank of random pairs, 95 %"
    axes.axvspan(null["isotropic_low"], null["isotropic_high"], label=label, **style.NULL_BAND)
    what = f"rank of the own word among {n}, by change (1: no word rises more)"
    axes.set(xlabel=what, ylabel=f"emotions, of {n}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3)


def _changes_by_valence(axes: Axes, known: pd.DataFrame, n: int) -> None:
    _changes(axes, known["valence"], known)
    axes.set(xlabel="valence of the emotion", ylabel="change of the own word (nats)")
    partial = "" if len(known) == n else f", known for {len(known)} of {n}"
    axes.set_title(f"by valence{partial}", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)


def drift_curves(curves: pd.DataFrame, strength: float, smooth: int, title: str) -> Figure:
    """Draws one panel per emotion: drift on its own probe by token, a line for each strength; the
    null of `strength` in grey."""
    emotions = list(dict.fromkeys(curves["emotion"]))
    strengths = sorted(set(curves["strength"]))
    shades = colormaps[f"{style.SEQUENTIAL}_r"](np.linspace(0.15, 1, len(strengths)))
    lines: dict[float, dict[str, Any]] = {
        s: {"color": shade, "linewidth": style.THICK if s == strength else style.THIN}
        for s, shade in zip(strengths, shades, strict=True)
    }
    figure, panels = style.panel_grid(len(emotions), (3.2, 2.3), 1, shared=True)
    for axes, emotion in zip(panels, emotions, strict=True):
        _drift_panel(axes, curves[curves["emotion"] == emotion], lines, strength)
        axes.set_title(emotion)
    handles = _drift_handles(lines, strength)
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.supylabel("cosine minus the unsteered text's", fontsize=style.MEDIUM)
    for axes in panels[-4:]:
        axes.set_xlabel("token of the text")
    what = f"Drift of the text on the steered emotion's probe (mean of {smooth} tokens)"
    style.head(figure, what, title)
    return figure


def _drift_panel(
    axes: Axes, curves: pd.DataFrame, lines: dict[float, dict[str, Any]], strength: float
) -> None:
    for s, line in lines.items():
        part = curves[curves["strength"] == s]
        token = part["token"]
        if s == strength:
            axes.fill_between(token, part["null_low"], part["null_high"], **style.NULL_BAND)
            axes.plot(token, part["others"], **OTHER_PROBES)
            axes.fill_between(token, part["low"], part["high"], color=line["color"], **TRIALS)
        axes.plot(token, part["own"], **line)
    axes.axhline(0, **style.AXIS_LINE)
    axes.tick_params(labelsize=style.SMALL)


def _drift_handles(lines: dict[float, dict[str, Any]], strength: float) -> list[Line2D | Patch]:
    """Returns the marks of the legend and their labels."""
    at, colour = f"strength {strength:g}", lines[strength]["color"]
    null = f"isotropic directions on this probe, {at}, 95 %"
    return [
        *(Line2D([], [], label=f"own probe, strength {s:g}", **lines[s]) for s in lines),
        Patch(label=f"own probe, {at}, 95 % over trials", color=colour, **TRIALS),
        Line2D([], [], label=f"other probes, mean, {at}", **OTHER_PROBES),
        Patch(label=null, **style.NULL_BAND),
    ]


def drift_map(
    ends: np.ndarray, steered: Sequence[str], probes: Sequence[str], title: str, ordered_by: str
) -> Figure:
    """Draws the drift at the end of the text of each steered emotion (rows) on each probe
    (columns); the own probe framed."""
    n = len(probes)
    figure = style.new_figure(max(8.0, style.names_length(n)) + 2, 0.24 * len(steered) + 2.4)
    axes = figure.add_subplot()
    _map(axes, ends, "cosine minus unsteered")
    for row, name in enumerate(steered):
        if name in probes:
            corner = (list(probes).index(name) - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=style.INK, linewidth=1.2))
    style.name_ticks(axes, probes)
    axes.set_yticks(range(len(steered)), steered, fontsize=style.MEDIUM)
    axes.set(xlabel=f"probe, by {ordered_by} (framed: the steered emotion's own)", ylabel="steered")
    style.head(figure, "Drift at the end of the text (last quarter)", title)
    return figure


def degeneration_strip(transcripts: pd.DataFrame, max_new_tokens: int, title: str) -> Figure:
    """Draws a panel per strength, a line per direction (isotropic together): a tick where a text
    degenerates, and how many of them do."""
    strengths = [s for s in sorted(set(transcripts["strength"])) if s != 0]
    emotions = list(dict.fromkeys(transcripts[transcripts["set"] == EMOTIONS]["direction"]))
    lines = [UNSTEERED, "isotropic", *emotions[::-1]]
    line_of = transcripts["direction"].mask(transcripts["set"] == ISOTROPIC, "isotropic")
    figure = style.new_figure(3.3 * len(strengths) + 1.2, 0.26 * len(lines) + 1.9)
    panels = figure.subplots(1, len(strengths), squeeze=False, sharey=True)[0]
    for axes, strength in zip(panels, strengths, strict=True):
        for y, name in enumerate(lines):
            texts = transcripts[(line_of == name) & transcripts["strength"].isin([0.0, strength])]
            _degeneration_line(axes, texts, y, 1.02 * max_new_tokens)
        axes.set_xlim(-2, 1.22 * max_new_tokens)
        axes.set_xticks(np.linspace(0, max_new_tokens, 5).astype(int))
        axes.set_yticks(range(len(lines)), lines, fontsize=style.MEDIUM)
        axes.grid(axis="y", color=style.NOISE, linewidth=0.4)
        axes.set_title(f"strength {strength:g}")
        axes.set_xlabel("token (right: texts that degenerate)")
    handles = [
        Line2D([], [], color=colour, marker="|", linestyle="none", markersize=9, label=why)
        for why, colour in BREAKS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    style.head(figure, "Where texts degenerate", title)
    return figure


def _degeneration_line(axes: Axes, texts: pd.DataFrame, y: int, right: float) -> None:
    """Draws the ticks of one line, and writes at `right` how many texts degenerate."""
    tick: dict[str, Any] = {"markersize": 9, "markeredgewidth": 1.3, "alpha": 0.7}
    for why, colour in BREAKS.items():
        at = texts[texts["why"] == why]["degenerates_at"]
        axes.plot(at, np.full(len(at), y), "|", color=colour, **tick)
    count = f"{(texts['degenerates_at'] >= 0).sum()}/{len(texts)}"
    axes.text(right, y, count, fontsize=style.SMALL, va="center")
