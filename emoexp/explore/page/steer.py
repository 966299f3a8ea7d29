"""Tab Steer: a chat, unsteered and steered side by side, written token by token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from emoexp.config import ReplySpan
from emoexp.errors import require
from emoexp.explore.page import markup
from emoexp.explore.page.common import download, put_on_screen, waiting
from emoexp.explore.page.engine import Engine
from emoexp.explore.steering import (
    MOST_DIALS,
    MOST_NEW_TOKENS,
    Dial,
    Exchange,
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
ASKED = 64
"""Positions of a short model that stay free for the prompt."""
TRIED = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
SPANS = {
    "the reply": ReplySpan.generated,
    "the assistant's turn": ReplySpan.turn,
    "all tokens": ReplySpan.all,
}


def show(engine: Engine) -> None:
    """Shows the tab."""
    chosen = _settings(engine)
    begin, go_on, clear, find = _buttons()
    chat: list[dict[str, Any]] = st.session_state.setdefault("steer chat", [])
    if clear:
        chat.clear()
    if find:
        _find(engine, chosen)
    _breaking()
    if begin:
        replies = Replies(engine.reader, chosen)  # a mistake leaves the chat as it is
        chat.clear()
    else:
        _chat(engine, chat, chosen)
    if go_on:
        replies = Replies(engine.reader, replace(chosen, earlier=_so_far(chat)))
    if begin or go_on:
        _write(engine, chat, replies)
        st.rerun()


def _buttons() -> tuple[bool, bool, bool, bool]:
    """Shows the buttons; returns whether to begin a chat, to go on, to clear it, and to search."""
    row = st.container(horizontal=True)
    begin = row.button("Write replies", key="steer write", type="primary", help="In a new chat.")
    said = "The prompt is the next turn of the chat below: each branch has its own replies so far."
    go_on = row.button("Continue the chat", key="steer continue", help=said)
    row.button("Stop", key="steer stop", help="Ends the replies at the token they are at.")
    clear = row.button("Clear", key="steer clear", help="Removes the chat.")
    return begin, go_on, clear, row.button("Find where text breaks", key="steer find")


def _so_far(chat: list[dict[str, Any]]) -> tuple[Exchange, ...]:
    """Returns the turns that a chat has.

    Raises:
        EmoexpError: it has none.
    """
    require(bool(chat), "there is no chat to continue: press Write replies first")
    return tuple(
        Exchange(turn["settings"].question, {reply.name: reply.text for reply in turn["read"]})
        for turn in chat
    )


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
        most = min(MOST_NEW_TOKENS, (study.model.positions or MOST_NEW_TOKENS + ASKED) - ASKED)
        tokens = st.slider("New tokens, at most", 10, most, min(60, most), key="steer tokens")
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
    sign = -1.0 if settings.dials[0].strength < 0 else 1.0
    with waiting() as say:
        say(f"Writing replies at strengths {', '.join(map(str, TRIED))}.")
        with engine.turn(say):
            at, table = breaking_strength(engine.reader, settings, [sign * s for s in TRIED])
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


def _write(engine: Engine, chat: list[dict[str, Any]], replies: Replies) -> None:
    """Writes a turn of the chat; what is there when it is stopped is kept."""
    turn: dict[str, Any] = {"settings": replies.settings, "replies": replies, "written": None}
    chat.append(turn)
    place = st.empty()
    columns = [column.empty() for column in st.columns(len(replies.names))]
    with engine.turn(place.info), closing(replies.stream()) as stream:
        place.info("Writing. Stop ends it.")
        for turn["written"] in stream:
            texts = turn["written"].texts
            for column, name, text in zip(columns, replies.names, texts, strict=True):
                column.text(f"{name}\n\n{markup.visible(text)}")


def _chat(engine: Engine, chat: list[dict[str, Any]], chosen: Settings) -> None:
    """Shows the chat, its replies read again without steering; says so where other settings are
    chosen than those of its last turn."""
    chat[:] = [turn for turn in chat if turn["written"] is not None]
    if not chat:
        st.session_state.pop("on screen: Steer", None)
        return
    for turn in chat:
        if "read" not in turn:
            with waiting() as say, engine.turn(say):
                turn["read"] = turn["replies"].read(turn["written"])
            del turn["replies"]  # only numbers stay, so that another model can be opened
    emotions = engine.reader.study.emotions
    for k, turn in enumerate(chat):
        _turn(turn, emotions, k)
    last: Settings = chat[-1]["settings"]
    put_on_screen("Steer", settings=last)
    if replace(last, earlier=()) != chosen:
        st.warning(
            "These replies are of earlier settings: press Write replies for the chosen ones."
        )
    _numbers(chat, emotions)


def _turn(turn: dict[str, Any], emotions: Sequence[str], k: int) -> None:
    """Shows the user's turn and the replies to it."""
    settings: Settings = turn["settings"]
    first = settings.dials[0].emotion
    dials = ", ".join(f"{dial.emotion} {dial.strength:+g}" for dial in settings.dials)
    with st.chat_message("user"):
        st.text(markup.visible(settings.question))
    st.caption(
        f"Turn {k + 1}: {dials}; layers {', '.join(map(str, settings.layers))}; seed"
        f" {settings.seed}. Each token is on the colour of its cosine with {first} at layer"
        f" {max(settings.layers)}, read again without steering; grey is the null band."
    )
    read: list[Reply] = turn["read"]
    for column, reply in zip(st.columns(len(read)), read, strict=True):
        with column:
            _reply(reply, first, emotions.index(first))


def _numbers(chat: list[dict[str, Any]], emotions: Sequence[str]) -> None:
    """Shows the drift of the last turn, and a button that saves the tokens of all turns."""
    read: list[Reply] = chat[-1]["read"]
    if all(len(reply.ids) for reply in read):
        first = [dial.emotion for dial in chat[-1]["settings"].dials]
        table = drift_table(read, emotions, first)
        caption = "Drift: mean cosine over one reply each, steered emotions first"
        st.html(markup.table(table.head(N_DRIFT), caption=caption))
    tables = [
        reply.table(emotions).assign(turn=k + 1)
        for k, turn in enumerate(chat)
        for reply in turn["read"]
    ]
    download("Replies as CSV", pd.concat(tables), "replies.csv", "steer csv")


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
    st.html(markup.token_map(reply.tokens, values, reply.band, notes, left_out, reply.name))
    end = reply.degeneration
    row = {
        "tokens": len(reply.ids),
        "perplexity": reply.perplexity,
        "degenerates at token": f"{end.token} ({end.why})" if end else "nowhere",
        "ended": reply.ended,
    }
    st.html(markup.table(pd.DataFrame([row])))
