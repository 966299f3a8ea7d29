"""The files of a figure: a PNG to look at, and a PDF to print.

PDF rather than SVG: it embeds its fonts, so text stays text and looks the same everywhere, and
LaTeX takes it as it is.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path

from matplotlib.figure import Figure

from emoexp.figures.style import styled
from emoexp.store.artifacts import replacing

logging.getLogger("fontTools").setLevel(logging.WARNING)
"""It writes forty lines of each PDF, which Hydra shows at the end of a sweep."""

DPI = 130
"""Pixels per inch of a PNG."""
UNDATED = {"CreationDate": None, "ModDate": None}
"""A PDF without times: the same tables give the same bytes."""


def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Writes `name.png` and `name.pdf`, and returns both files. The layout is computed once, so
    that they are alike."""
    files = [directory / f"{name}.png", directory / f"{name}.pdf"]
    with styled():
        with replacing(files[0]) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
        figure.set_layout_engine("none")
        with replacing(files[1]) as temporary:
            figure.savefig(temporary, format="pdf", metadata=UNDATED)
    return files


def png(figure: Figure) -> bytes:
    """Returns the content of the figure's PNG."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
