"""The files of a figure: a PNG to look at, and a PDF to print.

PDF rather than SVG: it embeds its fonts, so text stays text and looks the same everywhere, and
LaTeX takes it as it is.
"""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from emoexp.figures.style import styled
from emoexp.store.artifacts import replacing

DPI = 130
"""Pixels per inch of a PNG."""
UNDATED = {"CreationDate": None, "ModDate": None}
"""A PDF without times: the same tables give the same bytes."""


def save(figure: Figure, directory: Path, name: str) -> None:
    """Writes `name.png` and `name.pdf`. The layout is computed once, so both are alike."""
    with styled():
        with replacing(directory / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
        figure.set_layout_engine("none")
        with replacing(directory / f"{name}.pdf") as temporary:
            figure.savefig(temporary, format="pdf", metadata=UNDATED)


def png(figure: Figure) -> bytes:
    """Returns the content of the figure's PNG."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
