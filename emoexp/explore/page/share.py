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
    st.markdown("##### This page")
    st.code(commands.explore_command(overrides), language="bash", wrap_lines=True)
    if read := on_screen("Read"):
        st.markdown("##### Read")
        st.code(commands.read_command(overrides, **read), language="bash", wrap_lines=True)
        st.code(commands.read_python(overrides, **read), language="python", wrap_lines=True)
    if compared := on_screen("Compare"):
        st.markdown("##### Compare")
        lines = commands.compare_python(**compared)
        st.code(lines, language="python", wrap_lines=True)
    if steered := on_screen("Steer"):
        st.markdown("##### Steer")
        settings = steered["settings"]
        if not settings.earlier:  # a command line has no place for the replies of earlier turns
            command = commands.steer_command(overrides, settings)
            st.code(command, language="bash", wrap_lines=True)
        lines = commands.steer_python(overrides, settings)
        st.code(lines, language="python", wrap_lines=True)
    if result := on_screen("Results"):
        st.markdown("##### Results")
        command = commands.report_command(result["directory"])
        st.code(command, language="bash", wrap_lines=True)
