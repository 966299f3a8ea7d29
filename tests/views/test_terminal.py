"""No number and no name is cut at any width, and the width is what the terminal or COLUMNS says."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.table import Table

from emoexp.console import FILE_WIDTH, LEAST_WIDTH, open_console
from emoexp.report.groups import load_runs, measured, parts, verdict_rows
from emoexp.report.terminal import layer_table
from emoexp.stats.criteria import Verdict
from emoexp.views.terminal import frame_table, show_cell, size_line, verdict_table
from tests.helpers.narrow import WIDTHS, check_nothing_is_cut, rendered
from tests.helpers.records import record
from tests.helpers.report_runs import verdicts, write_sweep

FRAME = pd.DataFrame(
    {
        "layer": [3, 21],
        "an emotion, centred": ["self-conscious -0.123 (-0.234 .. -0.012)", ""],
        "text": ["a reply of many words which goes on and on, 1234.5 of them " * 3, "[bold]no[/]"],
        "mean |delta Elo|": [1516.4, 0.00001234],
        "95 %": ["-1516.12 .. 1730.55", "0.000 .. 0.002"],
    }
)


def tables(tmp_path: Path) -> dict[str, Table]:
    runs = load_runs([write_sweep(tmp_path / "sweep")])
    groups = {"": measured(runs)}
    return {
        "verdicts": verdict_table([Verdict(**v) for v in verdicts("organism", 4)], "verify: x"),
        "frame": frame_table(FRAME, "a title of 3 layers, which is longer than forty columns"),
        "no rows": frame_table(FRAME[:0], "nothing"),
        "by layer": layer_table(parts(groups, verdict_rows(groups))[0]),
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_and_no_name_is_cut(width: int, tmp_path: Path) -> None:
    for table in tables(tmp_path).values():
        check_nothing_is_cut(table, width)


def test_a_table_that_fits_has_columns_and_another_is_stacked(tmp_path: Path) -> None:
    table = tables(tmp_path)["verdicts"]
    assert "\n  value: 11/12   95 %: 10.4 .. 11.6   threshold: >= 8/12" in rendered(table, 80)
    assert "┃" in rendered(table, 160)


def test_what_decides_v10_and_v11_is_over_every_null() -> None:
    metrics = {"mean_abs_delta_elo": 41.0}
    for key in ("effect_ratio", "effect_ratio_over_shuffled"):
        metrics |= {key: 2.0, f"{key}_low": 1.5, f"{key}_high": 3.0}
    judged = [Verdict(**v) for v in verdicts("organism", 4)]
    found = record(metrics=metrics, verdicts=judged)
    line = size_line(found)
    assert "2.00 over isotropic random (1.50 .. 3.00), 2.00 over shuffled labels" in line
    assert size_line(record(metrics=metrics)) == ""


def test_an_elo_is_no_power_of_ten() -> None:
    assert [show_cell(x) for x in (1516.4, 99.44, 1e-5, 7)] == ["1516", "99.4", "1e-05", "7"]


@pytest.mark.parametrize(
    ("columns", "width"),
    [("60", 60), ("0", FILE_WIDTH), ("-5", FILE_WIDTH), ("many", FILE_WIDTH), ("3", LEAST_WIDTH)],
)
def test_columns_are_obeyed_where_they_are_a_number(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert open_console().width == width


def test_a_terminal_without_a_size_is_taken_to_have_eighty_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert open_console().width == 80
    os.close(parent)
