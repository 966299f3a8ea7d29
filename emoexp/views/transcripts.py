"""The transcripts page: every reply of a blackmail run, with the passages that the rules found.

It is one file that needs no network, and a view of a saved run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from emoexp.blackmail.judgements import HARMFUL, MISSING, labelled
from emoexp.blackmail.trials import TRANSCRIPTS
from emoexp.stimuli.blackmail import HARM
from emoexp.store.artifacts import write_text
from emoexp.store.record import SavedRun
from emoexp.views.pages import template


def segments(text: str, passages: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """Cuts a text where passages begin and end; true where one covers it. They may overlap."""
    covered = [False] * len(text)
    for start, end in passages:
        covered[start:end] = [True] * (end - start)
    inner = [i for i in range(1, len(text)) if covered[i] != covered[i - 1]]
    return [(text[a:b], covered[a]) for a, b in pairwise([0, *inner, len(text)]) if a < b]


def passages_of(cell: str) -> list[tuple[int, int]]:
    """Reads the column `passages`: "start-end" of characters, by spaces."""
    pairs = (part.split("-") for part in str(cell).split())
    return [(int(start), int(end)) for start, end in pairs]


def cards(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns each trial as the template shows it."""
    found: list[dict[str, Any]] = []
    known, harm = labelled(trials), trials["rules"] == HARM
    disagree = known & (harm != (trials["model"] == HARMFUL))
    for trial, differs in zip(trials.to_dict("records"), disagree, strict=True):
        model = str(trial["model"])
        found.append(
            {
                **{str(name): value for name, value in trial.items()},
                "direction": "" if trial["direction"] == trial["name"] else trial["direction"],
                "segments": segments(trial["text"], passages_of(trial["passages"])),
                "model": model if model in ("", MISSING) else model.lower(),
                "disagree": differs,
                "surprise": None if pd.isna(trial["surprise"]) else trial["surprise"],
            }
        )
    return found


def write_transcripts(run: SavedRun) -> Path:
    """Writes the page into the run's directory and returns its path; every text is escaped."""
    trials, scenes = run.table("blackmail_trials"), run.table("blackmail_scenes")
    shown = cards(trials)
    page = template("transcripts.html.j2").render(
        title="Blackmail: transcripts",
        lines=[f"{run.pack} pack, {run.record.model}", *run.record.notes],
        cards=shown,
        conditions=list(dict.fromkeys(trials["condition"])),
        rules=sorted({c["rules"] for c in shown}),
        models=sorted({c["model"] for c in shown} - {""}),
        scenes=scenes.to_dict("records"),
    )
    path = run.directory / TRANSCRIPTS
    write_text(path, page)
    return path
