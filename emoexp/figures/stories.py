"""The figure of a story corpus."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emoexp.figures.style import FAILED, MODEL, head, new_figure


def lengths(table: pd.DataFrame, title: str) -> Figure:
    """Draws the lengths of the texts: those that count, and those that are rejected.

    Args:
        table: one row per text: words, kept (0 or 1).
    """
    kept = table["kept"].astype(bool)
    words = [table.loc[kept, "words"].to_numpy(), table.loc[~kept, "words"].to_numpy()]
    figure = new_figure(8, 4.2)
    axes = figure.add_subplot()
    bins = np.arange(0, int(table["words"].max()) + 20, 10).tolist()
    labels = [f"{len(words[0])} stories", f"{len(words[1])} rejected texts"]
    axes.hist(words, bins=bins, stacked=True, color=[MODEL, FAILED.colour], label=labels)
    axes.set(xlabel="words", ylabel="texts")
    axes.legend()
    head(figure, "Length of the stories", title)
    return figure
