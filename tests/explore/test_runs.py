"""Saved runs are opened with the numbers of the terminal, and lead to the prompts behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoexp.errors import EmoexpError
from emoexp.explore import runs
from emoexp.explore.reader import Reader
from emoexp.store.record import SavedRun
from tests.helpers.records import saved

NAMES = ("happy", "calm", "sad")


def made(folder: Path, reader: Reader, layer: int = 4) -> SavedRun:
    """A run of the open pack and model with an implicit table and an Elo table."""
    study = reader.study
    matrix = pd.DataFrame(np.eye(3), columns=list(NAMES))
    matrix.insert(0, "scenario", list(NAMES))
    pack = {"name": study.stimuli.name, "sha256": study.stimuli.sha256, "is_paper": False}
    tables = {"implicit": matrix}
    model = study.model.identity
    return saved(
        folder, tables, stimuli=pack, provenance={"model": model, "time": "1"}, layer=layer
    )


def test_runs_of_a_folder_are_listed(reader: Reader, tmp_path: Path) -> None:
    made(tmp_path / "a", reader)
    made(tmp_path / "b", reader, layer=5)
    listed = runs.list_runs(str(tmp_path))
    assert [(item.label, item.state) for item in listed] == [
        ("implicit: organism, layer 4", "success"),
        ("implicit: organism, layer 5", "success"),
    ]
    for wrong in (str(tmp_path / "none"), str(tmp_path / "a" / "result.json")):
        with pytest.raises(EmoexpError, match="is not a folder"):
            runs.list_runs(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmoexpError, match="no result.json"):
        runs.list_runs(str(tmp_path / "empty"))


def test_a_cell_leads_to_its_scenario(reader: Reader, tmp_path: Path) -> None:
    run = made(tmp_path, reader)
    matrix = runs.scenario_matrix(run)
    assert matrix is not None
    assert list(matrix.index) == list(NAMES)
    text = runs.scenario_text(run, reader.study.stimuli, "calm")
    assert text in [s.text for s in reader.study.stimuli.scenarios if s.emotion == "calm"]
    other = saved(tmp_path / "o", {}, stimuli={"name": "x", "sha256": "0", "is_paper": False})
    with pytest.raises(EmoexpError, match="was made with the pack 'x'"):
        runs.scenario_text(other, reader.study.stimuli, "calm")


def test_a_run_s_figures_are_drawn(reader: Reader, tmp_path: Path) -> None:
    drawn, failed = runs.figures(made(tmp_path, reader))
    assert [name for name, _ in drawn] == ["implicit"]
    assert drawn[0][1].startswith(b"\x89PNG")
    assert failed == []


def test_lost_pairs_are_those_of_the_margins(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, run = reader.study, made(tmp_path, reader)
    texts = [a.text for a in study.stimuli.activities]
    margins = np.zeros((len(texts), len(texts)))
    margins[0, 3], margins[3, 0] = -2.0, 1.0  # 3 is preferred to 0 by 1.5, 0 to 1 by 0.5
    margins[0, 1] = 1.0
    monkeypatch.setitem(vars(study), "baseline", margins)
    lost = runs.lost_pairs(run, study, texts[0])
    assert list(lost["preferred"]) == [texts[3]]
    assert list(lost["margin"]) == [1.5]
    with pytest.raises(EmoexpError, match="no activity 'x'"):
        runs.lost_pairs(run, study, "x")
    run.record.provenance["model"] = {"repo_id": "another"}
    with pytest.raises(EmoexpError, match="not of the open model"):
        runs.lost_pairs(run, study, texts[0])
