"""The picture of a reading, to save: a bar for each token, and the top emotions by layer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from emoexp.explore.reading import Reading
from emoexp.figures import style
from emoexp.figures.files import png

MOST_TOKENS = 120
"""Tokens that have a bar; of a longer text, the last ones."""
N_TOP = 5


def reading_png(reading: Reading, emotion: str, layer: int, read_out: str) -> bytes:
    """Draws a reading as PNG: `emotion` at each token of `layer`, and the emotions that the last
    token shows most, by layer; the null bands are grey."""
    with style.styled():
        figure = style.new_figure(10, 7)
        above, below = figure.subplots(2, 1)
        _draw_tokens(above, reading, emotion, layer, read_out)
        _draw_layers(below, reading, layer, read_out)
    return png(figure)


def _draw_tokens(axes: Axes, reading: Reading, emotion: str, layer: int, read_out: str) -> None:
    values = reading.at_tokens(layer, read_out)[:, reading.emotions.index(emotion)]
    used = np.flatnonzero(~(reading.tokens.first | reading.tokens.massive[layer]))[-MOST_TOKENS:]
    colours = [style.DIVERGING_ENDS[int(values[i] > 0)] for i in used]
    places = np.arange(len(used))
    axes.bar(places, values[used], color=colours)
    axes.axhspan(*reading.bands[read_out][layer], **style.NULL_BAND)
    axes.axhline(0, **style.AXIS_LINE)
    names = [printable(reading.tokens.shown[i]) for i in used]
    size = style.name_size(len(used))
    axes.set_xticks(places, names, rotation=90, fontsize=size, parse_math=False)
    axes.set_ylabel(f"cosine with {emotion}")
    axes.set_title(f"layer {layer}, {read_out}; grey: null band", fontsize=style.TITLE)


def printable(token: str) -> str:
    """Returns a token as a picture's font can show it: ASCII, the rest as escapes."""
    return token.strip().encode("ascii", "backslashreplace").decode("ascii")[:16]


def _draw_layers(axes: Axes, reading: Reading, layer: int, read_out: str) -> None:
    layers = np.arange(reading.n_layers)
    band = reading.summary_band("turn", read_out)
    axes.fill_between(layers, band[:, 0], band[:, 1], **style.NULL_BAND)
    cosines = reading.summary("turn", read_out)
    for name, mark in zip(
        reading.top(layer, N_TOP, "turn", read_out), style.CATEGORIES, strict=False
    ):
        own = cosines[:, reading.emotions.index(name)]
        axes.plot(layers, own, color=mark.colour, marker=mark.shape, markersize=3, label=name)
    axes.axvline(layer, **style.THRESHOLD_LINE, color=style.INK)
    axes.set_xlabel("layer (block output)")
    axes.set_ylabel("cosine at the last token")
    axes.legend(fontsize=style.MEDIUM, ncols=N_TOP)
