"""Records of runs that nobody ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from emoexp.figures.draw import draw_each
from emoexp.store.record import RunRecord, RunStatus, SavedRun, save_tables


def record(**changes: Any) -> RunRecord:
    """A run of `implicit` that has just started; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "experiment": "implicit",
        "model": "organism",
        "span": "steered_activity",
        "seed": 0,
        "settings": {},
        "identity": "1d",
        "code": "c0de",
        "where": {},
        "started": "2026-11-20T09:00:00+00:00",
        "provenance": {"time": "2026-11-20T09:00:00+00:00"},
    }
    return RunRecord(**(fields | changes))


def saved(folder: Path, tables: dict[str, pd.DataFrame], **changes: Any) -> SavedRun:
    """A finished run with these tables in `folder`; `changes` replace fields of its record."""
    finished = record(**({"status": RunStatus.success, "layer": 4, "n_layers": 8} | changes))
    folder.mkdir(parents=True, exist_ok=True)
    save_tables(finished, tables, folder)
    finished.save(folder)
    return SavedRun(folder, finished)


def drawn(run: SavedRun) -> dict[str, Figure]:
    """Every figure of a saved run, by name."""
    figures: dict[str, Figure] = {}
    assert draw_each(run, figures.__setitem__) == []
    return figures
