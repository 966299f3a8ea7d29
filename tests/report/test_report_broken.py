"""A file that is no run's result, beside good ones, is named and left out; closed outputs and
failed runs end a command as its user expects."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from emoexp.cli.status import main as status
from emoexp.compare import main as compare
from emoexp.explore.runs import list_runs
from emoexp.report import main
from emoexp.stats.criteria import MEASURES
from tests.helpers.report_runs import change, verdicts, write_run


def broken(good: dict[str, Any]) -> dict[str, str | bytes]:
    """Returns contents of a result.json that is not the whole result of a run, by name."""
    text = json.dumps(good)

    def with_verdict(**changes: Any) -> str:
        first, *others = good["verdicts"]
        return json.dumps(good | {"verdicts": [first | changes, *others]})

    changed: dict[str, dict[str, Any]] = {
        "schema 3": {"schema": 3},
        "schema of text": {"schema": "2"},
        "status": {"status": "done"},
        "layer of text": {"layer": "four"},
        "layer below 0": {"layer": -3},
        "layer beyond the depth": {"layer": 8},
        "true as a seed": {"seed": True},
        "verdicts as an object": {"verdicts": {}},
        "metrics of text": {"metrics": {"a": "b"}},
        "no time": {"provenance": {}},
        "model of text": {"provenance": {"time": "2026", "model": "x"}},
        "pack without a name": {"stimuli": {}},
        "pack of numbers": {"stimuli": {"name": 1, "sha256": 2}},
        "corpus as a list": {"corpus": [1]},
        "author as a list": {"corpus": {"name": "a", "sha256": "b", "author": []}},
        "no notes": {"notes": None},
        "time": {"ended": "now"},
        "table elsewhere": {"tables": {"../implicit": []}},
    }
    return {
        "foreign": '{"a": 1}',
        "empty": "",
        "truncated": text[: len(text) // 2],
        "list": "[1, 2]",
        "number": "3",
        "null": "null",
        "text": '"x"',
        "deep": "[" * 100_000,
        "UTF-16": text.encode("utf-16"),
        "zeros": b"\0" * 100,
        "NaN": with_verdict(value=float("nan")),
        "too large": text.replace('"seed": 0', '"seed": 1e999'),
        "value of text": with_verdict(value="x"),
        "no such criterion": with_verdict(id="V12"),
        **{name: json.dumps(good | fields) for name, fields in changed.items()},
    }


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures out of reports, which are not what is looked at."""
    module = sys.modules["emoexp.report.document"]  # its name is that of a function too
    monkeypatch.setattr(module, "layer_blocks", lambda parts: [])


@pytest.mark.usefixtures("undrawn")
def test_what_is_no_result_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.loads((write_run(tmp_path / "good") / "result.json").read_text())
    contents = broken(good)
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name / "result.json").write_bytes(raw)
    (tmp_path / "a folder" / "result.json").mkdir(parents=True)
    for k, config in enumerate(("- 1", "a: [", "experiment: 3", "", "[" * 5000)):
        (write_run(tmp_path / f"config {k}") / "config.yaml").write_text(config)
    (tmp_path / "config 0" / "sweep.json").write_text('{"exp')
    overrides = write_run(tmp_path / "overrides") / ".hydra" / "overrides.yaml"
    overrides.parent.mkdir(exist_ok=True)
    overrides.write_text("- [")
    main([str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("emoexp: left out: ") for line in lines)
    for name in (*contents, "a folder", "overrides", *(f"config {k}" for k in range(5))):
        assert sum(f"/{name}" in line and "sweep.json" not in line for line in lines) == 1, name
    assert len(lines) == len(contents) + 8
    assert f"1 of {len(contents) + 8} runs finished" in (tmp_path / "report.md").read_text()
    with pytest.raises(SystemExit) as stopped:
        status([str(tmp_path)])
    assert stopped.value.code == 0
    assert "7 success" in capsys.readouterr().out
    states = [run.state for run in list_runs(str(tmp_path))]
    assert states.count("success") == 1


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("command", [main, status, compare])
def test_nothing_that_can_be_read_is_one_line(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").write_text('{"a": 1}')
    with pytest.raises(SystemExit) as stopped:
        command([str(tmp_path)])
    assert stopped.value.code == 2
    assert "is not the whole result of a run" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_no_finished_run_is_reported_and_is_no_success(tmp_path: Path) -> None:
    change(write_run(tmp_path / "a"), status="error", error="ValueError: no")
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path)])
    assert stopped.value.code == 1
    assert "1 failed" in (tmp_path / "report.md").read_text()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("command", [main, status, compare])
@pytest.mark.parametrize("words", [["{}"], ["--help"]])
def test_an_output_that_is_closed_is_no_error(
    command: Any, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a")
    reading, writing = os.pipe()
    os.close(reading)
    with (
        os.fdopen(writing, "w") as closed,
        contextlib.redirect_stdout(closed),
        pytest.raises(SystemExit),
    ):
        command([word.format(tmp_path) for word in words])
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "report.html").exists() == (command is main and words == ["{}"])


@pytest.mark.usefixtures("undrawn")
def test_each_run_has_its_command_settings_and_links_that_lead_there(tmp_path: Path) -> None:
    here = "a [4],x=1 & (b)"
    for k, strength in enumerate((0.1, 0.5)):
        command = ["experiment=steering", f"stories.columns={{text: b}} {k}"]
        run = write_run(
            tmp_path / here / f"run {k}",
            provenance={"command": command},
            config__experiment={"steering": {"strength": strength, "n_emotions": 8}},
        )
        (run / "elo.png").touch()
    (tmp_path / "out").mkdir()
    out, beside = tmp_path / "out/r.html", tmp_path / "r.md"
    files = ["--html", str(out), "--markdown", str(beside), "--csv", str(tmp_path / "r.csv")]
    main([str(tmp_path / here), "--mix", *files])
    page, text = out.read_text(), beside.read_text()
    for folder, found in (
        (tmp_path / "out", re.findall(r'href="([^"]*)"', page)),
        (tmp_path, re.findall(r"\]\(([^)]*)\)", text)),
    ):
        assert len(found) == 4
        assert all((folder / unquote(address)).exists() for address in found)
        assert not any(address.startswith("/") for address in found)
    assert "    python -m emoexp experiment=steering 'stories.columns={text: b} 1'\n" in text
    assert "steering.strength 0.1 |" in text
    assert "Settings of all runs: span steered\\_activity" in text
    assert "steering.n\\_emotions 8" in text
    assert "2026-11-21T08:04:00+00:00" in text
    assert all(sentence.split(":")[0] in text for sentence in MEASURES.values())
    assert "Informative: the value lies beyond" in page
    assert "effect ratio, emotions over isotropic | 95 % above 1 | 6.7 | 4.2 .. 9.1" in text


def test_every_criterion_says_what_it_measures() -> None:
    assert set(MEASURES) == {verdict["id"] for verdict in verdicts("organism", 4)}
