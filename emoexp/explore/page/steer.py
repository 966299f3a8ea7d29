"""Tab Steer: a reply, unsteered and steered side by side, written token by token."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pandas as pd
import streamlit as st

from emoexp.config import ReplySpan
from emoexp.explore.page import markup
from emoexp.explore.page.common import download, put_on_screen, waiting
from emoexp.explore.page.engine import Engine
from emoexp.explore.steering import (
    MOST_DIALS,
    MOST_NEW_TOKENS,
    Dial,
    Replies,
    Reply,
    Settings,
    breaking_strength,
    drift_table,
)

PRESETS = ("desperate", "calm", "angry", "happy")
NO_EMOTION = "(none)"
N_DRIFT = 8
LARGEST = 2.0
TRIED = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
SPANS = {
    "the reply": ReplySpan.generated,
    "the assistant's turn": ReplySpan.turn,
    "all tokens": ReplySpan.all,
}


def show(engine: Engine) -> None:
    """Shows the tab."""
    settings = _settings(engine)
    write, stop, find = st.columns(3)
    with write:
        begin = st.button("Write replies", key="steer write", type="primary")
    with stop:
        st.button("Stop", key="steer stop", help="Ends the replies at the token they are at.")
    with find:
        search = st.button("Find where text breaks", key="steer find")
    if search:
        _find(engine, settings)
    _breaking()
    if begin:
        _write(engine, settings)
    _replies(engine, settings)


def _settings(engine: Engine) -> Settings:
    study = engine.reader.study
    question = st.text_area("Prompt", "How was your day?", key="steer prompt", height=80)
    _presets(study.emotions)
    dials = [d for k in range(MOST_DIALS) if (d := _dial(study.emotions, k)) is not None]
    last = study.model.n_layers - 1
    left, right = st.columns(2)
    with left:
        layers = st.multiselect(
            "Layers, each at full strength", range(last + 1), [study.layer], key="steer layers"
        )
        span = st.radio("Steered", list(SPANS), key="steer span", horizontal=True)
        random = st.checkbox("Beside it, a random direction of the same norm", key="steer random")
    with right:
        tokens = st.slider("New tokens, at most", 10, MOST_NEW_TOKENS, 60, key="steer tokens")
        temperature = st.slider("Temperature", 0.0, 2.0, 1.0, 0.1, key="steer temperature")
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="steer seed")
    return Settings(
        question=question,
        dials=tuple(dials),
        layers=tuple(sorted(layers)),
        span=SPANS[str(span)],
        random=random,
        max_new_tokens=int(tokens),
        temperature=float(temperature),
        seed=int(seed),
    )


def _presets(emotions: tuple[str, ...]) -> None:
    """The paper's emotions, each one click."""

    def take(emotion: str) -> None:
        st.session_state["steer emotion 0"] = emotion

    known = [e for e in PRESETS if e in emotions]
    for column, emotion in zip(st.columns(len(PRESETS)), known, strict=False):
        with column:
            st.button(emotion, key=f"preset {emotion}", on_click=take, args=(emotion,))


def _dial(emotions: tuple[str, ...], k: int) -> Dial | None:
    """An emotion and its strength; None where no emotion is chosen."""
    left, right = st.columns([1, 2])
    key = f"steer emotion {k}"
    if k == 0 and key not in st.session_state:
        st.session_state[key] = next((e for e in PRESETS if e in emotions), emotions[0])
    with left:
        emotion = str(st.selectbox(f"Emotion {k + 1}", [NO_EMOTION, *emotions], key=key))
    with right:
        strength = st.slider(
            f"Strength {k + 1} (residual norms)",
            -LARGEST, LARGEST, 0.5 if k == 0 else 0.0, 0.05, key=f"steer strength {k}",
        )  # fmt: skip
    return None if emotion == NO_EMOTION else Dial(emotion, float(strength))


def _find(engine: Engine, settings: Settings) -> None:
    """Looks for the strength at which the reply degenerates, and keeps it."""
    study = engine.reader.study
    settings.check(study.emotions, study.model.n_layers)
    place = waiting()
    place.info(f"Writing replies at strengths {', '.join(map(str, TRIED))}.")
    sign = -1.0 if settings.dials[0].strength < 0 else 1.0
    with engine.turn(place.info):
        at, table = breaking_strength(engine.reader, settings, [sign * s for s in TRIED])
    place.empty()
    first = settings.dials[0].emotion
    st.session_state["steer breaking"] = (first, settings.layers, at, table)


def _breaking() -> None:
    """The mark at the strength where text begins to break, as it was found."""
    if (found := st.session_state.get("steer breaking")) is None:
        return
    emotion, layers, at, table = found
    where = f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
    if at is None:
        st.text(f"{emotion} at {where}: no reply degenerates up to {TRIED[-1]:g}.")
    else:
        share = 100 * (at + LARGEST) / (2 * LARGEST)
        st.text(f"{emotion} at {where}: the reply begins to break at strength {at:g}.")
        st.html(
            f'<div role="img" aria-label="mark at strength {at:g}" style="height: 14px;'
            ' border-bottom: 2px solid rgba(127, 127, 127, 0.6); position: relative">'
            f'<span style="position: absolute; left: {share:.1f}%">&#9660;</span></div>'
        )
    with st.expander("Replies by strength"):
        st.html(markup.table(table))


def _write(engine: Engine, settings: Settings) -> None:
    """Writes the replies; what is there when it is stopped is kept."""
    replies = Replies(engine.reader, settings)
    state: dict[str, Any] = {"settings": settings, "replies": replies, "written": None}
    st.session_state["steer state"] = state
    place = waiting()
    columns = [column.empty() for column in st.columns(len(replies.names))]
    with engine.turn(place.info), closing(replies.stream()) as stream:
        place.info("Writing. Stop ends it.")
        for state["written"] in stream:
            for column, name, text in zip(
                columns, replies.names, state["written"].texts, strict=True
            ):
                column.text(f"{name}\n\n{markup.visible(text)}")
    for column in (place, *columns):
        column.empty()


def _replies(engine: Engine, chosen: Settings) -> None:
    """The last replies, read again without steering; says so where other settings are chosen."""
    state = st.session_state.get("steer state")
    if state is None or state["written"] is None:
        st.session_state.pop("on screen: Steer", None)
        return
    settings, written = state["settings"], state["written"]
    if "read" not in state:
        place = waiting()
        with engine.turn(place.info):
            state["read"] = state["replies"].read(written)
        place.empty()
    put_on_screen("Steer", settings=settings)
    read: list[Reply] = state["read"]
    emotion = settings.dials[0].emotion
    index = engine.reader.study.emotions.index(emotion)
    layer = max(settings.layers)
    if settings != chosen:
        st.warning(
            "These replies are of earlier settings: press Write replies for the chosen ones."
        )
    dials = ", ".join(f"{dial.emotion} {dial.strength:+g}" for dial in settings.dials)
    st.text(f"{dials}; layers {', '.join(map(str, settings.layers))}; seed {settings.seed}")
    st.caption(
        f"Replies to {markup.visible(settings.question)!r}, each token on the colour of its cosine"
        f" with {emotion} at layer {layer}, read again without steering; grey is the null band."
    )
    for column, reply in zip(st.columns(len(read)), read, strict=True):
        with column:
            _reply(reply, emotion, index)
    emotions = list(engine.reader.study.emotions)
    if all(len(reply.ids) for reply in read):
        table = drift_table(read, emotions, [dial.emotion for dial in settings.dials])
        caption = "Drift: mean cosine over one reply each, steered emotions first"
        st.html(markup.table(table.head(N_DRIFT), caption=caption))
    tables = pd.concat([reply.table(emotions) for reply in read])
    download("Replies as CSV", tables, "replies.csv", "steer csv")


def _reply(reply: Reply, emotion: str, index: int) -> None:
    st.markdown(f"**{reply.name}**")
    if not len(reply.ids):
        st.text("(empty)")
        return
    values = reply.cosines[:, index]
    notes = [
        f"{emotion} {value:+.4f}\nsurprise {surprise:.2f} nats"
        for value, surprise in zip(values, reply.surprise, strict=True)
    ]
    left_out = [False] * len(reply.ids)
    html = markup.token_map(reply.tokens, values, reply.band, notes, left_out, reply.name)
    st.html(html)
    end = reply.degeneration
    st.html(
        markup.table(
            pd.DataFrame(
                {
                    "tokens": [len(reply.ids)],
                    "perplexity": [reply.perplexity],
                    "degenerates at token": [f"{end.token} ({end.why})" if end else "nowhere"],
                    "ended": [reply.ended],
                }
            )
        )
    )
