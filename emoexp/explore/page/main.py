"""The page itself: what Streamlit runs for each open page, and again after each change on it."""

from __future__ import annotations

import streamlit as st

from emoexp.errors import EmoexpError
from emoexp.explore.page import compare, read, results, share, steer
from emoexp.explore.page.common import KEPT, choose_model
from emoexp.explore.page.engine import Engine, installed

TABS = {"Read": read, "Compare": compare, "Steer": steer, "Results": results, "Share": share}


def page() -> None:
    """Shows what is being loaded, and then the five tabs; an error is one line in its tab."""
    st.set_page_config(page_title="emoexp explorer", layout="wide")
    place = st.empty()
    try:
        engine = installed()
    except EmoexpError as error:
        place.error(str(error))
        return
    try:
        engine.wait_until_loaded(place.info)
    except EmoexpError as error:
        place.error(str(error))
        choose_model(engine)
        return
    place.empty()
    _forget_another_model(engine)
    _headline(engine)
    for tab, (name, module) in zip(st.tabs(list(TABS)), TABS.items(), strict=True):
        with tab:
            try:
                module.show(engine)
            except EmoexpError as error:
                st.session_state.pop(f"on screen: {name}", None)
                st.error(str(error))


def _forget_another_model(engine: Engine) -> None:
    """Empties what was chosen and shown for the model that was open before; kept readings stay."""
    if st.session_state.get("overrides") != engine.overrides:
        for key in set(st.session_state) - {KEPT}:
            del st.session_state[key]
        st.session_state["overrides"] = engine.overrides


def _headline(engine: Engine) -> None:
    study = engine.reader.study
    count = study.config.scale.stories_per_emotion
    few = f", the first {count} of each emotion (scale.stories_per_emotion)" if count else ""
    st.html("<style>.stMainBlockContainer {padding-top: 2.5rem}</style>")
    st.markdown("#### emoexp explorer")
    st.text(
        f"{study.config.model.name}, {study.model.n_layers} layers; pack {study.stimuli.name};"
        f" {len(study.emotions)} emotions; stories {study.corpus.name}{few}"
    )


page()
