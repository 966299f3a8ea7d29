"""Tab Results: a saved run or sweep, with links from its numbers to the prompts behind them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from emoexp.errors import EmoexpError
from emoexp.explore import runs
from emoexp.explore.page import markup
from emoexp.explore.page.common import download, put_on_screen, show_tokens, waiting
from emoexp.explore.page.engine import Engine
from emoexp.explore.reading import Reading
from emoexp.figures.files import png
from emoexp.stats.own_probe import RAW
from emoexp.store.record import RESULT, SavedRun
from emoexp.study.study import Study
from emoexp.views.terminal import headline, tables_of

MOST_ROWS = 200


def show(engine: Engine) -> None:
    """Shows the tab."""
    folder = st.text_input("Folder of a run or a sweep", key="results folder", value="")
    if not folder.strip():
        st.text("Type the folder that a run has printed after 'results:', or one above it.")
        return
    listed = runs.list_runs(folder)
    labels = [f"{item.label} ({item.state}) {item.directory.name}" for item in listed]
    index = st.selectbox(
        "Run", range(len(listed)), format_func=lambda i: labels[i], key="results run"
    )
    for picture in _layer_pictures(folder):
        st.image(picture, "criteria by layer")
    item = listed[int(index)]
    if item.state != "success":
        raise EmoexpError(f"{item.directory}: its state is {item.state}, so there is no result yet")
    run = SavedRun.load(item.directory)
    put_on_screen("Results", directory=item.directory)
    st.text(headline(run.record))
    if run.record.verdicts:
        st.html(markup.table(runs.verdict_frame(run), caption="Verdicts"))
    _scenarios(engine, run)
    _activities(engine.reader.study, run)
    _figures(item.directory)
    _tables(run)


def _scenarios(engine: Engine, run: SavedRun) -> None:
    """The matrix of scenarios by probes: a cell leads to its scenario, token by token."""
    matrix = runs.scenario_matrix(run)
    if matrix is None:
        return
    st.markdown("##### Scenarios by probes")
    most = float(matrix.abs().to_numpy().max())
    shown = matrix.style.format("{:.4f}")
    shown.background_gradient(cmap="RdBu", axis=None, vmin=-most, vmax=most)  # white is 0
    event = st.dataframe(
        shown,
        on_select="rerun",
        selection_mode="single-cell",
        key=f"results matrix {run.directory}",
        alt="cosine of each scenario with each probe",
    )
    cells = event.selection["cells"]
    names = list(matrix.index)
    row, probe = (cells[0][0], str(cells[0][1])) if cells else (0, names[0])
    if not cells:
        st.caption("Click a cell to read its scenario token by token with that probe.")
    scenario = names[row]
    if probe not in names:
        probe = scenario
    text = runs.scenario_text(run, engine.reader.study.stimuli, scenario)
    with waiting() as say:
        reading = engine.read(text, True, say)
    _scenario(run, reading, scenario, probe)


def _scenario(run: SavedRun, reading: Reading, scenario: str, probe: str) -> None:
    layer = run.record.layer
    if layer is None or layer >= reading.n_layers or probe not in reading.emotions:
        raise EmoexpError(
            f"layer {layer} or the probe {probe!r} is not of the open model: start the explorer"
            " with the run's model and emotions"
        )
    st.text(f"scenario: {scenario}, probe: {probe}, layer {layer}, raw, read by the open model")
    st.caption(
        "The cosines are with this page's vectors, which may be of fewer stories than the run's."
    )
    show_tokens(reading, probe, layer, RAW, f"tokens of the scenario {scenario}")


def _activities(study: Study, run: SavedRun) -> None:
    """The activities with their Elo: one leads to the pairs that it lost."""
    if "elo" not in run.names:
        return
    st.markdown("##### Activities")
    table = run.table("elo").sort_values("elo", ascending=False).reset_index(drop=True)
    names = list(table["activity"])
    key, rows = f"results activity {run.directory}", f"results elo {run.directory}"

    def take() -> None:
        chosen = st.session_state[rows].selection["rows"]
        st.session_state[key] = names[chosen[0]] if chosen else ""

    st.dataframe(
        table, hide_index=True, alt="Elo of each activity", key=rows,
        on_select=take, selection_mode="single-row",
    )  # fmt: skip
    activity = st.selectbox(
        "Select a row to see the pairs that its activity lost, or choose here",
        ["", *names],
        key=key,
    )
    if activity:
        lost = runs.lost_pairs(run, study, str(activity))
        caption = f"{len(lost)} of {len(names) - 1} pairs lost; the margin is in logits"
        st.html(markup.table(lost, caption=caption))


@st.cache_data(max_entries=8, show_spinner="Drawing the figures.")
def _drawn(directory: str, changed: float) -> tuple[list[tuple[str, bytes]], list[str]]:
    """The figures of a run as it was saved at the time `changed`."""
    return runs.figures(SavedRun.load(Path(directory)))


def _figures(directory: Path) -> None:
    drawn, failed = _drawn(str(directory), (directory / RESULT).stat().st_mtime)
    for name, picture in drawn:
        st.image(picture, name)
        st.download_button(
            f"{name} as PNG", picture, f"{name}.png", "image/png",
            key=f"results png {directory} {name}", on_click="ignore",
        )  # fmt: skip
    for line in failed:
        st.warning(line)


@st.cache_data(max_entries=8, show_spinner="Drawing the curves by layer.", ttl=30)
def _layer_pictures(folder: str) -> list[bytes]:
    return [png(figure) for figure in runs.layer_figures(folder)]


def _tables(run: SavedRun) -> None:
    """The tables that the terminal shows, and generated texts."""
    for title, table in tables_of(run):
        with st.expander(title):
            st.html(markup.table(table.head(MOST_ROWS)))
            download(f"{title} as CSV", table, f"{title}.csv", f"results csv {title}")
    for name, table in runs.transcripts(run).items():
        with st.expander(f"texts: {name}"):
            st.html(markup.table(table.head(MOST_ROWS)))
    for note in run.record.notes:
        st.text(f"note: {note}")
