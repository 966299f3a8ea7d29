"""Tab Read: one text, token by token and layer by layer, and a number that moves a text."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from emoexp.explore import pictures
from emoexp.explore.page import markup
from emoexp.explore.page.common import (
    PART_WORDS,
    choose_layer,
    choose_read_out,
    choose_text,
    download,
    layer_chart,
    put_on_screen,
    waiting,
)
from emoexp.explore.page.engine import Engine
from emoexp.explore.page.tokens import on_choice
from emoexp.explore.reading import PARTS, Reading

N_TOP = 5


def show(engine: Engine) -> None:
    """Shows the tab."""
    first = engine.reader.study.stimuli.scenarios
    start = f"scenario: {first[0].emotion}" if first else ""
    text, as_turn = choose_text(engine, "read", start, upload=True)
    with waiting() as say:
        reading = engine.read(text, as_turn, say)
    left, right = st.columns(2)
    with left:
        layer = choose_layer(reading.n_layers, engine.reader.study.layer, "read")
    with right:
        read_out = choose_read_out("read")
    top = reading.top(layer, N_TOP, "turn", read_out)
    emotions = [*top, *(e for e in reading.emotions if e not in top)]
    emotion = st.selectbox(
        "Emotion (those that the last token shows most come first)", emotions, key="read emotion"
    )
    put_on_screen("Read", text=text, as_turn=as_turn, layer=layer, read_out=read_out)
    _tokens(reading, layer, read_out, str(emotion))
    _depth(reading, layer, read_out)
    _downloads(reading, layer, read_out, str(emotion))
    _numeric(engine, layer)


def _tokens(reading: Reading, layer: int, read_out: str, emotion: str) -> None:
    """The map of tokens, and the top emotions of one of them."""
    values = reading.at_tokens(layer, read_out)[:, reading.emotions.index(emotion)]
    band = reading.bands[read_out][layer]
    shown, left_out = reading.tokens.shown, reading.tokens.first | reading.tokens.massive[layer]
    notes = []
    for i in range(len(shown)):
        best = reading.top_of_token(layer, i, N_TOP, read_out)
        ranked = "\n".join(f"{name} {value:+.4f}" for name, value in best)
        massive = " (massive)" if reading.tokens.massive[layer, i] else ""
        notes.append(f"{emotion} {values[i]:+.4f}{massive}\n{ranked}")
    st.caption(
        f"Cosine of each token with {emotion} at layer {layer}, {read_out}. Blue is above the null"
        f" band, red below it, grey within it ({band[0]:+.4f} to {band[1]:+.4f}). Dotted tokens"
        " do not count: special ones, and massive ones. Click a token for its top emotions."
    )
    label = "tokens of the text: arrow keys move, Enter chooses"
    left_out = left_out.tolist()
    st.html(markup.token_map(shown, values, band, notes, left_out, label, choose=True))
    choices, key = list(range(len(shown))), f"read token {len(shown)}"

    def take(index: int) -> None:
        st.session_state[key] = index

    on_choice("read tokens", take)
    st.session_state.setdefault(key, len(shown) - 1)
    token = st.selectbox(
        "Token", choices, format_func=lambda i: f"{i}: {markup.visible(shown[i])}", key=key
    )
    best = reading.top_of_token(layer, int(token), N_TOP, read_out)
    table = pd.DataFrame(best, columns=["emotion", "cosine"])
    st.html(markup.table(table, caption=f"Top emotions of token {token}"))


def _depth(reading: Reading, layer: int, read_out: str) -> None:
    """Top emotions by layer: at which depth is it known?"""
    words = {word: part for part, word in PART_WORDS.items()}
    word = st.radio(
        "By layer", [PART_WORDS[p] for p in reversed(PARTS)], key="read part", horizontal=True
    )
    part = words[str(word)]
    top = reading.top(layer, N_TOP, part, read_out)
    layer_chart(reading, top, layer, part, read_out)
    low, high = reading.summary_band(part, read_out)[layer]
    cosines = reading.summary(part, read_out)[layer]
    values = [float(cosines[reading.emotions.index(e)]) for e in top]
    table = pd.DataFrame({"emotion": top, "cosine": values})
    table["beyond"] = (table["cosine"] < low) | (table["cosine"] > high)
    st.html(markup.table(table, caption=f"Top emotions at layer {layer}, {word}"))
    n = len(reading.emotions)
    st.caption(
        f"The grey band is the null: {low:+.4f} to {high:+.4f} holds 95 % of isotropic directions,"
        f" one at a time. Of {n} emotions that mean nothing, about {n / 20:.0f} lie outside it."
    )


def _downloads(reading: Reading, layer: int, read_out: str, emotion: str) -> None:
    """The numbers as CSV, and the picture."""
    columns = st.columns(3)
    with columns[0]:
        table = reading.token_table(layer, read_out)
        download("Tokens as CSV", table, f"tokens_layer{layer}.csv", "read csv tokens")
    with columns[1]:
        table = reading.layer_table("turn", read_out)
        download("Layers as CSV", table, "layers.csv", "read csv layers")
    with columns[2]:
        st.download_button(
            "Picture as PNG",
            lambda: pictures.reading_png(reading, emotion, layer, read_out),
            "reading.png",
            "image/png",
            key="read png",
            on_click="ignore",
        )


def _numeric(engine: Engine, layer: int) -> None:
    """The slider of a number in a text, with the template's probes."""
    study = engine.reader.study
    templates = {t.key: t for t in study.stimuli.numeric}
    if not templates:
        return
    st.markdown("##### A number in the text")
    template = templates[str(st.selectbox("Template", list(templates), key="numeric template"))]
    probes = [e for e in template.signs if e in study.emotions]
    if not probes:
        st.info(f"None of the template's probes is under study: {', '.join(template.signs)}")
        return
    values = list(template.values)
    x = st.select_slider("X", values, values[0], key=f"numeric {template.key}")
    st.text(template.template.format(X=x))
    with waiting() as say, engine.turn(say):
        curves = engine.reader.numeric(template, layer, probes)
    row = curves[curves["value"] == x][probes]
    shown = pd.DataFrame({"probe": probes, "cosine": row.iloc[0].to_numpy(dtype=float)})
    shown["expected as X grows"] = ["up" if template.signs[p] > 0 else "down" for p in probes]
    st.html(markup.table(shown, caption=f"Raw cosine at the last token, layer {layer}, X = {x}"))
    lines = curves.assign(value=curves["value"].astype(str))
    st.line_chart(lines, x="value", y=probes, x_label="X", y_label="cosine")
