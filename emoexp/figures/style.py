"""Colours and sizes of every figure."""

from __future__ import annotations

from matplotlib.figure import Figure

POSITIVE, NEGATIVE, NOISE, INK = "#2a9d6f", "#c8513f", "#b9b9b9", "#222222"
CLAUDE = "#7b2cbf"
"""The colour of published numbers beside a model's own; their marks are hollow diamonds."""
PROBE_COLOURS = ("#6a4c93", "#e09f3e", "#33658a", "#2a9d6f", "#c8513f", "#222222")
MODEL = "#33658a"
"""The colour of the model's own numbers where no valence or verdict colours them."""
CONTROL = "#777777"
"""The colour of single random directions; their range is NOISE."""
SMALL, MEDIUM, LARGE = 7, 8, 10
"""Font sizes: names on crowded axes, legends, titles of whole figures."""


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of so many inches; no window is opened."""
    return Figure(figsize=(width, height), layout="constrained")
