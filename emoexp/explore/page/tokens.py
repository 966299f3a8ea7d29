"""A token of the map is chosen by a click, a tap, or the arrow keys and Enter."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

LISTEN = """
export default function ({ setTriggerValue, parentElement }) {
  const token = (event) => event.target.closest && event.target.closest("[data-token]");
  const choose = (event) => {
    const chosen = token(event);
    if (chosen) setTriggerValue("chosen", Number(chosen.dataset.token));
  };
  const move = (event) => {
    const from = token(event);
    if (!from) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const to = document.querySelector(`[data-token="${Number(from.dataset.token) + step}"]`);
      if (to) to.focus();
    } else if (event.key === "Enter" || event.key === " ") choose(event);
    else return;
    event.preventDefault();
  };
  if (parentElement.stopListening) parentElement.stopListening();
  document.addEventListener("click", choose);
  document.addEventListener("keydown", move);
  parentElement.stopListening = () => {
    document.removeEventListener("click", choose);
    document.removeEventListener("keydown", move);
  };
  return parentElement.stopListening;
}
"""
"""It reads numbers of tokens only, and puts nothing on the page."""
_listener = st.components.v2.component("emoexp_tokens", js=LISTEN, isolate_styles=False)


def on_choice(key: str, use: Callable[[int], object]) -> None:
    """Calls `use` with the index of the token that a person chooses in the map with
    `markup.token_map(..., choose=True)`, of which a page has one."""

    def chosen() -> None:
        index = st.session_state[key].get("chosen")
        if index is not None:
            use(int(index))

    _listener(key=key, on_chosen_change=chosen)
