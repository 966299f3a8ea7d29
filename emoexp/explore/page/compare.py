"""Tab Compare: two texts, two layers or two places of a text, side by side."""

from __future__ import annotations

import streamlit as st

from emoexp.explore.page import markup
from emoexp.explore.page.common import (
    PART_WORDS,
    choose_layer,
    choose_read_out,
    choose_text,
    download,
    put_on_screen,
    waiting,
)
from emoexp.explore.page.engine import Engine
from emoexp.explore.reading import PARTS, Part, Reading, compare

SHOWN = 15


def show(engine: Engine) -> None:
    """Shows the tab."""
    read_out = choose_read_out("compare")
    names = [f"scenario: {s.emotion}" for s in engine.reader.study.stimuli.scenarios]
    sides = []
    for column, name, start in zip(st.columns(2), "AB", [*names, "", ""][:2], strict=True):
        with column:
            sides.append(_side(engine, name, start, read_out))
    (a, a_layer, a_part), (b, b_layer, b_part) = sides
    layers, parts = (a_layer, b_layer), (a_part, b_part)
    table = compare(a, b, layers, parts, read_out)
    put_on_screen(
        "Compare",
        texts=((a.text, a.as_turn), (b.text, b.as_turn)),
        layers=layers,
        parts=parts,
        read_out=read_out,
    )
    caption = f"The {min(SHOWN, len(table))} largest differences, B - A, {read_out}"
    st.html(markup.table(table.head(SHOWN), caption=caption))
    n = len(table)
    st.caption(
        "beyond: outside the central 95 % of isotropic directions' difference between the same two"
        f" places, one at a time; of {n} emotions that mean nothing, about {n / 20:.0f} are."
    )
    download("Comparison as CSV", table, "comparison.csv", "compare csv")


def _side(engine: Engine, name: str, start: str, read_out: str) -> tuple[Reading, int, Part]:
    key = f"compare {name}"
    st.markdown(f"##### {name}")
    text, as_turn = choose_text(engine, key, start)
    place = waiting()
    reading = engine.read(text, as_turn, place.info)
    place.empty()
    layer = choose_layer(engine, key, f"Layer of {name}")
    words = {PART_WORDS[part]: part for part in reversed(PARTS)}
    part = words[str(st.radio(f"Where in {name}", list(words), key=f"{key} part"))]
    emotion = reading.top(layer, 1, part, read_out)[0]
    values = reading.at_tokens(layer, read_out)[:, reading.emotions.index(emotion)]
    left_out = reading.tokens.first | reading.tokens.massive[layer]
    notes = [f"{emotion} {value:+.4f}" for value in values]
    st.caption(f"Its highest emotion there, {emotion}, token by token; grey is the null band.")
    band = reading.bands[read_out][layer]
    tokens = reading.tokens.shown
    st.html(markup.token_map(tokens, values, band, notes, left_out.tolist(), f"tokens of {name}"))
    return reading, layer, part
