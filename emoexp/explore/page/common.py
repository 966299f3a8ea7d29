"""What several tabs share: choosing a text, a layer, a read-out; charts and downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from emoexp.errors import EmoexpError
from emoexp.explore.page import markup
from emoexp.explore.page.engine import Engine, models
from emoexp.explore.reading import READ_OUTS, Part, Reading

KEPT = "kept readings"
"""The key of the readings that stay when another model is opened."""
OWN = "your own text"
PART_WORDS: dict[Part, str] = {
    "text": "mean over the text",
    "turn": "last token (where the reply begins)",
}
READ_OUT_HELP = (
    "raw: the cosine as it is. centred: less the same direction's mean over the pack's scenarios,"
    " which takes out what all texts of the model share."
)


def sources(engine: Engine) -> dict[str, str]:
    """Returns the texts to pick from: scenarios, a story of each emotion, preference prompts."""
    study = engine.reader.study
    found = {f"scenario: {s.emotion}": s.text for s in study.stimuli.scenarios}
    for emotion in study.emotions:
        if stories := study.corpus.by_emotion.get(emotion):
            found[f"story: {emotion}"] = stories[0].text
    feeling = study.stimuli.templates["feeling"]
    for activity in study.stimuli.activities[:12]:
        found[f"preference: {activity.text}"] = feeling.replace("{activity}", activity.text)
    return found


def choose_text(engine: Engine, key: str, start: str, upload: bool = False) -> tuple[str, bool]:
    """Shows how a text is chosen and typed; returns it, and whether it is a user's turn."""
    texts = sources(engine)
    field = f"{key} text"
    if field not in st.session_state:
        st.session_state[field] = texts.get(start, next(iter(texts.values()), ""))

    def picked() -> None:
        if (name := st.session_state[f"{key} source"]) in texts:
            st.session_state[field] = texts[name]

    names = [OWN, *texts]
    index = names.index(start) if start in names else 0
    st.selectbox("Pick a text", names, index, key=f"{key} source", on_change=picked)
    text = st.text_area("Text", key=field, height=110)
    if upload:
        text = _uploaded(key) or text
    as_turn = st.radio(
        "Read it as", ["a user's turn", "text alone"], key=f"{key} frame", horizontal=True
    )
    return text, as_turn == "a user's turn"


def _uploaded(key: str) -> str | None:
    """Returns the text of an uploaded file, which is read as UTF-8 and nothing else."""
    with st.expander("Or read a text file (UTF-8, at most 1 MB)"):
        file = st.file_uploader("Text file", type=["txt", "md"], key=f"{key} file")
    if file is None:
        return None
    try:
        return file.getvalue().decode("utf-8")
    except UnicodeDecodeError as error:
        raise EmoexpError("the file is not a text in UTF-8: save it as UTF-8") from error


def choose_layer(n_layers: int, first: int, key: str, label: str = "Layer") -> int:
    """Shows the slider of layers, at `first` to begin with; returns the layer."""
    return int(st.slider(label, 0, n_layers - 1, first, key=f"{key} layer"))


def choose_model(engine: Engine) -> None:
    """Shows the models that can be opened in place of the open one."""
    names = models()
    own = engine.reader.study.config.model.name
    name = st.selectbox("Model", names, names.index(own) if own in names else 0, key="model")
    if st.button("Free this model and open the chosen one", key="model open"):
        engine.open_model(str(name), st.empty().info)
        st.rerun()


def choose_read_out(key: str) -> str:
    """Shows raw and centred; returns one of them."""
    return str(
        st.radio(
            "Cosine", READ_OUTS, index=1, key=f"{key} read-out", horizontal=True, help=READ_OUT_HELP
        )
    )


def layer_chart(
    reading: Reading, emotions: list[str], layer: int, part: Part, read_out: str
) -> None:
    """Draws the cosine of emotions against the layer, over the null band."""
    table = reading.layer_table(part, read_out)
    lines = table.melt("layer", emotions, "emotion", "cosine")
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1))
    band = (
        alt.Chart(table)
        .mark_area(color="#7f7f7f", opacity=0.25)
        .encode(x=x, y=alt.Y("null_low:Q", title="cosine"), y2="null_high:Q")
    )
    curves = (
        alt.Chart(lines)
        .mark_line(point=True)
        .encode(
            x=x,
            y="cosine:Q",
            color=alt.Color("emotion:N", sort=emotions, legend=alt.Legend(orient="bottom")),
            tooltip=["emotion", "layer", alt.Tooltip("cosine", format=".4f")],
        )
    )
    rule = alt.Chart(pd.DataFrame({"layer": [layer]})).mark_rule(strokeDash=[4, 4], color="#7f7f7f")
    names = ", ".join(emotions)
    alt_text = f"Cosine of {names} by layer; the grey band is the null"
    st.altair_chart(band + curves + rule.encode(x="layer:Q"), alt=alt_text)


def show_tokens(reading: Reading, emotion: str, layer: int, read_out: str, label: str) -> None:
    """Shows the tokens of a reading, each on the colour of its cosine with an emotion.

    Args:
        label: what a screen reader says of the whole.
    """
    values = reading.at_tokens(layer, read_out)[:, reading.emotions.index(emotion)]
    left_out = reading.tokens.first | reading.tokens.massive[layer]
    notes = [f"{emotion} {value:+.4f}" for value in values]
    band, tokens = reading.bands[read_out][layer], reading.tokens.shown
    st.html(markup.token_map(tokens, values, band, notes, left_out.tolist(), label))


def download(label: str, table: pd.DataFrame, name: str, key: str) -> None:
    """Shows a button that saves a table as CSV, with all digits."""
    content = table.to_csv(index=False)
    st.download_button(label, content, name, "text/csv", key=key, on_click="ignore")


def put_on_screen(tab: str, **shown: Any) -> None:
    """Keeps what a tab shows, for the commands of the tab Share."""
    st.session_state[f"on screen: {tab}"] = shown


def on_screen(tab: str) -> dict[str, Any] | None:
    """Returns what a tab shows; None while it shows nothing."""
    return st.session_state.get(f"on screen: {tab}")


@contextmanager
def waiting() -> Iterator[Callable[[str], object]]:
    """Yields the function that shows a message while a page waits; it is gone after the block."""
    place = st.empty()
    yield place.info
    place.empty()
