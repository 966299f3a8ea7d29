"""Tab Share: the commands that reproduce what the other tabs show."""

from __future__ import annotations

import streamlit as st

from emoexp.explore import commands
from emoexp.explore.page.common import on_screen
from emoexp.explore.page.engine import Engine


def show(engine: Engine) -> None:
    """Shows the tab. Nothing is sent: the lines are to copy."""
    overrides = engine.overrides
    st.caption("Lines that reproduce what the other tabs show now. Nothing leaves this machine.")
    _lines("This page", bash=commands.explore_command(overrides))
    if read := on_screen("Read"):
        python = commands.read_python(overrides, **read)
        _lines("Read", bash=commands.read_command(overrides, **read), python=python)
    if compared := on_screen("Compare"):
        _lines("Compare", python=commands.compare_python(**compared))
    if steered := on_screen("Steer"):
        settings = steered["settings"]
        # a command line has no place for the replies of earlier turns
        command = "" if settings.earlier else commands.steer_command(overrides, settings)
        _lines("Steer", bash=command, python=commands.steer_python(overrides, settings))
    if result := on_screen("Results"):
        _lines("Results", bash=commands.report_command(result["directory"]))


def _lines(tab: str, **by_language: str) -> None:
    """Shows the lines that reproduce a tab, in each language that there are some in."""
    st.markdown(f"##### {tab}")
    for language, lines in by_language.items():
        if lines:
            st.code(lines, language=language, wrap_lines=True)
