"""Saved runs, opened to look at: verdicts, tables, figures and curves by layer. No model is run;
only the pairs that an activity lost are looked up in the open study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from emoexp.errors import EmoexpError
from emoexp.figures.draw import draw_each
from emoexp.figures.files import png
from emoexp.figures.style import styled
from emoexp.figures.validation import layer_curves
from emoexp.report.curves import measured_with
from emoexp.report.groups import UNREADABLE, grouped, load_runs, measured, parts, verdict_rows
from emoexp.stimuli import Stimuli
from emoexp.store.record import SavedRun
from emoexp.study.study import Study
from emoexp.views.terminal import COLUMNS, verdict_cells

LISTED = 500
"""Runs of one folder that are listed."""


@dataclass(frozen=True)
class Listed:
    """A run of a folder: where it is, what it says of itself, and its state."""

    directory: Path
    label: str
    state: str


def list_runs(folder: str) -> list[Listed]:
    """Lists the runs below a folder.

    Raises:
        EmoexpError: there is no such folder, it has no run, or more than `LISTED`.
    """
    path = Path(folder.strip() or ".").expanduser()
    if not path.is_dir():
        raise EmoexpError(f"{path} is not a folder: give the directory of a run or a sweep")
    found = load_runs([path])
    if len(found) > LISTED:
        raise EmoexpError(f"{path} has {len(found)} runs: give a folder with {LISTED} or fewer")
    listed = []
    for run in found:
        layer = "" if run.get("layer") is None else f", layer {run['layer']}"
        what = run["error"] if run["state"] == UNREADABLE else ""
        what = what or f"{run['experiment']}: {run['model']}{layer}"
        listed.append(Listed(Path(run["path"]), what, run["state"]))
    return listed


def layer_figures(folder: str) -> list[Figure]:
    """Draws the criteria by layer for each model of a folder that has more than one layer."""
    runs = measured(load_runs([Path(folder).expanduser()]))
    if not runs:
        return []
    groups = grouped(runs, mix=True)
    several = [p for p in parts(groups, verdict_rows(groups)) if len(p.layers) > 1]
    with styled():
        return [layer_curves(part.rows, measured_with([part]), part.two_thirds) for part in several]


def verdict_frame(run: SavedRun) -> pd.DataFrame:
    """Returns the verdict table as the terminal shows it, in text."""
    rows = [verdict_cells(verdict) for verdict in run.record.verdicts]
    return pd.DataFrame(rows, columns=["id", *COLUMNS[1:]])


def figures(run: SavedRun) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Draws every figure of a run.

    Returns:
        name and PNG of each; and a line for each that could not be drawn.
    """
    drawn: list[tuple[str, bytes]] = []
    failed = draw_each(run, lambda name, figure: drawn.append((name, png(figure))))
    return drawn, failed


def transcripts(run: SavedRun) -> dict[str, pd.DataFrame]:
    """Returns the tables of a run that hold generated texts, by name."""
    names = ("drift_transcripts", "blackmail_trials")
    return {name: run.table(name) for name in names if name in run.names}


def scenario_matrix(run: SavedRun) -> pd.DataFrame | None:
    """Returns the cosines of scenarios with probes, a row per scenario; None if the run has none.

    Raises:
        EmoexpError: the table is not a square of scenarios by probes.
    """
    if "implicit" not in run.names:
        return None
    table = run.table("implicit").set_index("scenario")
    if list(table.columns) != list(table.index):
        raise EmoexpError(f"{run.directory}/implicit.csv is not a square of scenarios by probes")
    return table


def scenario_text(run: SavedRun, stimuli: Stimuli, emotion: str) -> str:
    """Returns the text of a run's scenario.

    Raises:
        EmoexpError: the run was made with another pack than the open one.
    """
    _check_pack(run, stimuli)
    found = [s.text for s in stimuli.scenarios if s.emotion == emotion]
    if not found:
        raise EmoexpError(f"the pack {stimuli.name!r} has no scenario of {emotion!r}")
    return found[0]


def lost_pairs(run: SavedRun, study: Study, activity: str) -> pd.DataFrame:
    """Returns the activities that the open model prefers to `activity`, unsteered.

    Of each pair both orders count: the margin is the mean logit of the other option minus that of
    `activity`.

    Returns:
        columns category, preferred, margin; the largest margin first.

    Raises:
        EmoexpError: the run is of another pack or model than the open ones, or has no such
            activity.
    """
    _check_pack(run, study.stimuli)
    identity = run.record.provenance.get("model", {})
    if any(identity.get(key, value) != value for key, value in study.model.identity.items()):
        raise EmoexpError(
            f"the run is of {run.record.model}, not of the open model as it is loaded: start the"
            " explorer with the run's model"
        )
    activities = study.stimuli.activities
    texts = [a.text for a in activities]
    if activity not in texts:
        raise EmoexpError(f"the pack has no activity {activity!r}")
    k, margins = texts.index(activity), study.baseline
    other = (margins[:, k] - margins[k, :]) / 2
    table = pd.DataFrame(
        {"category": [a.category for a in activities], "preferred": texts, "margin": other}
    )
    lost = table[(table["margin"] > 0) & (table.index != k)]
    return lost.sort_values("margin", ascending=False).reset_index(drop=True)


def _check_pack(run: SavedRun, stimuli: Stimuli) -> None:
    recorded = (run.record.stimuli or {}).get("sha256")
    if recorded != stimuli.sha256:
        raise EmoexpError(
            f"the run was made with the pack {run.pack!r}, and {stimuli.name!r} is open: start the"
            " explorer with the run's stimuli and scale"
        )
