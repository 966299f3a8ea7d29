"""HTML of token maps and tables. All text is escaped, and no character acts on its surroundings."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

HIGH, LOW, ZONE = "33, 102, 172", "178, 24, 43", "127, 127, 127"
"""Red, green and blue of cosines above the null band, below it, and within it: blue is positive, as
in the figures."""
STRONGEST = 0.6
"""Opacity of the largest cosine: text stays readable on it, on a light and on a dark page."""


def visible(text: str) -> str:
    """Returns a text in which characters that are not seen are named: controls, and marks that turn
    the direction of writing."""
    return "".join(_visible(c) for c in text)


def _visible(character: str) -> str:
    if character == "\n":
        return "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
    if character == "\t":
        return "\N{RIGHTWARDS ARROW TO BAR}"
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        return f"<U+{ord(character):04X}>"
    return character


def colour(value: float, band: Sequence[float] | np.ndarray, largest: float) -> str:
    """Returns the background of a cosine: grey within the null band, else blue or red, stronger
    towards `largest` in size."""
    low, high = band
    if low <= value <= high:
        return f"rgba({ZONE}, 0.15)"
    edge = high if value > high else -low
    beyond = (abs(value) - edge) / max(largest - edge, 1e-12)
    opacity = STRONGEST * (0.25 + 0.75 * min(max(beyond, 0.0), 1.0))
    return f"rgba({HIGH if value > high else LOW}, {opacity:.2f})"


def token_map(
    tokens: Sequence[str],
    values: np.ndarray,
    band: Sequence[float] | np.ndarray,
    notes: Sequence[str],
    left_out: Sequence[bool],
    label: str,
    choose: bool = False,
) -> str:
    """Returns tokens in a row, each on the colour of its value.

    Args:
        notes: what is shown while the pointer is on a token.
        left_out: tokens without a colour: they do not count.
        label: what a screen reader says of the whole.
        choose: whether a token can be chosen (`tokens.on_choice`); Tab leads to the first.
    """
    used = [abs(v) for v, out in zip(values, left_out, strict=True) if not out]
    largest = max(used, default=0.0)
    parts = []
    rows = zip(tokens, values, notes, left_out, strict=True)
    for i, (token, value, note, out) in enumerate(rows):
        style = (
            "opacity: 0.6; border-bottom: 1px dotted"
            if out
            else f"background: {colour(float(value), band, largest)}"
        )
        shown = escape(visible(token)) or "&nbsp;"
        role = f' role="button" data-token="{i}" tabindex="{-1 if i else 0}"' if choose else ""
        parts.append(
            f'<bdi class="emoexp-token"{role} title="{escape(visible_note(note))}"'
            f' style="{style}; border-radius: 3px; padding: 1px 0; white-space: pre-wrap">'
            f"{shown}</bdi>{'<br>' if token.endswith(chr(10)) else ''}"
        )
    return (
        f'<div role="group" aria-label="{escape(label)}" dir="ltr"'
        ' style="line-height: 1.9; overflow-wrap: anywhere">'
        f"{''.join(parts)}</div>"
    )


def visible_note(note: str) -> str:
    """Returns a note whose own lines stay lines."""
    return "\n".join(visible(line) for line in note.split("\n"))


def table(frame: pd.DataFrame, digits: int = 4, caption: str = "") -> str:
    """Returns a table: floats with so many digits, all of them while the pointer is on a cell."""
    head = "".join(f'<th scope="col" style="text-align: left; {CELL}">{escape(str(c))}</th>'
                   for c in frame.columns)  # fmt: skip
    rows = "".join(
        f"<tr>{''.join(_cell(value, digits) for value in row)}</tr>"
        for row in frame.itertuples(index=False)
    )
    said = (
        f"<caption style='text-align: left; white-space: nowrap'>{escape(caption)}</caption>"
        if caption
        else ""
    )
    return (
        '<div style="overflow-x: auto"><table style="border-collapse: collapse; font-size: 0.9rem">'
        f"{said}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


LONG = 40
CELL = "padding: 2px 10px 2px 0; border-bottom: 1px solid rgba(127, 127, 127, 0.3)"


def _cell(value: object, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return (
            f'<td title="{float(value)!r}" style="text-align: right; {CELL}">'
            f"{float(value):.{digits}f}</td>"
        )
    if isinstance(value, bool | np.bool_):
        return f'<td style="{CELL}">{"yes" if value else "no"}</td>'
    text = visible(str(value))
    wrap = "normal" if len(text) > LONG else "nowrap"  # short cells scroll, long texts wrap
    return f'<td style="white-space: {wrap}; {CELL}"><bdi>{escape(text)}</bdi></td>'
