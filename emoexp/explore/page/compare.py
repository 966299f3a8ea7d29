"""Tab Compare: two texts, two layers, two places of a text or two models, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from emoexp.explore.commands import Side
from emoexp.explore.page import markup
from emoexp.explore.page.common import (
    KEPT,
    PART_WORDS,
    choose_layer,
    choose_model,
    choose_read_out,
    choose_text,
    download,
    put_on_screen,
    show_tokens,
    waiting,
)
from emoexp.explore.page.engine import Engine
from emoexp.explore.reading import PARTS, Part, Reading, compare

SHOWN = 15
MOST_KEPT = 8


@dataclass(frozen=True)
class Read:
    """A reading, and the model that it is of; `layer` is the one that is shown first."""

    reading: Reading
    model: str
    overrides: tuple[str, ...]
    layer: int

    @property
    def label(self) -> str:
        """What the list of kept readings says of it."""
        return f"kept: {self.model}, {markup.visible(self.reading.text[:40])}"


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
    table = compare(a.reading, b.reading, layers, parts, read_out)
    shown = [
        Side(r.overrides, r.reading.text, r.reading.as_turn, layer, part)
        for r, layer, part in sides
    ]
    put_on_screen("Compare", sides=shown, read_out=read_out)
    caption = f"The {min(SHOWN, len(table))} largest differences, B - A, {read_out}"
    st.html(markup.table(table.head(SHOWN), caption=caption))
    n = len(table)
    st.caption(
        f"A is {a.model}, layer {a_layer}; B is {b.model}, layer {b_layer}."
        " beyond: outside the central 95 % of isotropic directions' difference between the same two"
        f" places, one at a time; of {n} emotions that mean nothing, about {n / 20:.0f} are."
    )
    download("Comparison as CSV", table, "comparison.csv", "compare csv")
    _models(engine, a)


def _models(engine: Engine, a: Read) -> None:
    """Keeps a reading, and opens another model to compare it with."""
    st.markdown("##### Two models")
    st.caption(
        "One model is in memory. Keep the reading of A, open another model, and choose the kept"
        " reading in A: the table has the emotions that both have, each centred over the scenarios"
        " of its own model's pack."
    )
    kept: list[Read] = st.session_state.setdefault(KEPT, [])
    if st.button("Keep the reading of A", key="compare keep"):
        kept[:] = [*(r for r in kept if r.label != a.label), a][-MOST_KEPT:]
        st.rerun()
    choose_model(engine)


def _side(engine: Engine, name: str, start: str, read_out: str) -> tuple[Read, int, Part]:
    key = f"compare {name}"
    st.markdown(f"##### {name}")
    read = _kept(name) or _now(engine, key, start)
    reading = read.reading
    layer = choose_layer(reading.n_layers, read.layer, f"{key} {read.model}", f"Layer of {name}")
    words = {PART_WORDS[part]: part for part in reversed(PARTS)}
    part = words[str(st.radio(f"Where in {name}", list(words), key=f"{key} part"))]
    emotion = reading.top(layer, 1, part, read_out)[0]
    st.caption(f"Its highest emotion there, {emotion}, token by token; grey is the null band.")
    show_tokens(reading, emotion, layer, read_out, f"tokens of {name}")
    return read, layer, part


def _kept(name: str) -> Read | None:
    """Returns the kept reading that is chosen for a side; None for a text that is read now."""
    kept: list[Read] = st.session_state.get(KEPT, [])
    if not kept:
        return None
    labels = ["a text read now", *(read.label for read in kept)]
    index = st.selectbox(
        f"Reading of {name}",
        range(len(labels)),
        format_func=lambda i: labels[i],
        key=f"compare {name} reading",
    )
    return kept[int(index) - 1] if index else None


def _now(engine: Engine, key: str, start: str) -> Read:
    text, as_turn = choose_text(engine, key, start)
    with waiting() as say:
        reading = engine.read(text, as_turn, say)
    study = engine.reader.study
    return Read(reading, study.config.model.name, tuple(engine.overrides), study.layer)
