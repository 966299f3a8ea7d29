"""The report on jobs: what failed, was killed or never started comes first, with what it had found;
nothing of it is chosen from."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from emoexp.report import load_runs, report, report_sweep
from emoexp.report.jobs import look
from emoexp.store.runs import expected_places, run_lock
from tests.helpers.report_runs import change, verdicts, write_run, write_sweep


def test_failed_killed_silent_and_missing_jobs_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep(tmp_path, models=["organism"], expected=range(2, 9))
    change(
        sweep / "layer=2,model=organism",
        status="error",
        error="RuntimeError: first\n\nthe last line\n",
    )
    change(sweep / "layer=3,model=organism", status="started", where={"host": "node7", "pid": 7})
    (sweep / "layer=4,model=organism" / "result.json").write_text('{"status": "succ')
    (sweep / "layer=5,model=organism" / "result.json").unlink()
    troubles = [(t.state, t.job) for t in look([sweep], load_runs([sweep])).troubles]
    assert troubles == [
        ("failed", "verify, organism, layer 2"),
        ("killed", "verify, organism, layer 3"),
        ("result unreadable", "layer=4,model=organism"),
        ("no result", "layer=5,model=organism"),
        ("never started", "layer=8,model=organism"),
    ]
    report([sweep])
    shown = capsys.readouterr().out
    assert (
        "2 of 7 runs finished, 1 failed, 1 killed, 1 result unreadable, 1 no result, 1 never"
        " started" in shown
    )
    assert shown.index("the last line") < shown.index("V3")
    page = (sweep / "report.html").read_text()
    assert page.index("the last line") < page.index("<h2>Verification")
    assert "node7" in page
    assert "layers run: 6, 7" in page


def test_a_failure_that_was_done_again_says_where(tmp_path: Path) -> None:
    write_run(tmp_path / "old", status="error", error="OSError: disk")
    write_run(tmp_path / "new")
    write_run(tmp_path / "other", layer=5, status="error", error="OSError: disk")
    runs = load_runs([tmp_path])
    why = {Path(t.path).name: t.why for t in look([tmp_path], runs).troubles}
    assert why["old"].endswith(f"(finished in {tmp_path / 'new'})")
    assert why["other"] == "OSError: disk"


def test_a_report_of_failures_alone_is_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", status="error", error="ValueError: no", verdicts=[])
    report([tmp_path])
    assert "0 of 1 runs finished, 1 failed" in capsys.readouterr().out
    assert "there is nothing to compare" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "report.csv").exists()


def test_what_a_failed_run_had_found_is_shown_apart_and_never_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Layer 4 would be the best layer if its verdicts counted; it failed, and layer 3 is."""
    for layer in (2, 3):
        write_run(tmp_path / str(layer), layer=layer)
    failed = write_run(
        tmp_path / "4",
        status="error",
        error="RuntimeError: out of memory",
        verdicts=verdicts("organism", 4, ["V1", "V3"]),
    )
    (failed / "logit_lens.csv").write_text("a\n1\n")
    write_run(
        tmp_path / "5",
        layer=5,
        status="error",
        error="RuntimeError: at once",
        verdicts=[],
        metrics={},
    )
    change(tmp_path / "5", metrics={})
    report([tmp_path])
    shown = capsys.readouterr().out
    assert "partial verify, organism, layer 4: V1 50/64 *, V3 11/12 *, 4 metrics" in shown
    assert "layer 5: V" not in shown
    assert (
        shown.index("out of memory")
        < shown.index("partial verify")
        < shown.index("2 of 4 runs finished")
    )
    assert "best: 3 (of 2)" in shown
    text = (tmp_path / "report.md").read_text()
    assert (
        text.index("out of memory")
        < text.index("### Partial: found before the run failed")
        < text.index("## Verification")
    )
    assert re.search(
        r"\| verify, organism, layer 4 \| V3 .* \| 11/12 \\\* \| 10.4 .. 11.6 \| 0 .. 3 \| \\>="
        r" 8/12 \|",
        text,
    )
    assert "also 4 metrics in result.json; tables logit\\_lens.csv" in text
    assert "11/12" not in text.split("## Verification")[1]
    with (tmp_path / "report.csv").open() as handle:
        assert {row["layer"] for row in csv.DictReader(handle)} == {"2", "3"}


def test_a_finished_run_without_a_layer_is_not_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`experiment=preference` reads no layer."""
    change(
        write_run(
            tmp_path / "a", experiment="preference", verdicts=verdicts("organism", 4, ["V7"])
        ),
        layer=None,
        metrics={},
    )
    report([tmp_path])
    assert "at no layer: preference, organism: V7 855 *" in capsys.readouterr().out
    assert re.search(
        r"## At no layer.*\| preference, organism \| V7 ",
        (tmp_path / "report.md").read_text(),
        re.DOTALL,
    )


def test_a_sweep_of_which_nothing_started_has_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"expected": ["layer=2", "layer=3"]}))
    report_sweep(tmp_path)
    assert "0 of 2 runs finished, 2 never started" in capsys.readouterr().out


def test_what_keeps_a_sweep_s_report_from_being_made_does_not_hide_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_sweep(tmp_path)
    assert (
        capsys.readouterr().err
        == f"emoexp: no report: no result.json below {tmp_path}: give the directory of a run or a"
        " sweep\n"
    )
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=1)
    report_sweep(tmp_path)
    assert "2 of 2 runs finished" in capsys.readouterr().out, (
        "a sweep over seeds is mixed by design"
    )


def test_a_running_job_is_not_a_killed_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", status="started")
    with run_lock(run):
        assert [t.state for t in look([tmp_path], load_runs([tmp_path])).troubles] == ["running"]
    assert [t.state for t in look([tmp_path], load_runs([tmp_path])).troubles] == ["killed"]


def test_each_layer_of_a_job_with_several_is_expected(tmp_path: Path) -> None:
    """Layer 4 of the first job, and all of the second, never started; settings are in the config of
    the job, one folder up."""
    for layer in (2, 3):
        write_run(tmp_path / "a" / f"layer-{layer}", layer=layer)
        (tmp_path / "a" / f"layer-{layer}" / "config.yaml").rename(tmp_path / "a" / "config.yaml")
    names = [f"a/layer-{layer}" for layer in (2, 3, 4)] + ["b/layer-5", "b/layer-6"]
    (tmp_path / "sweep.json").write_text(json.dumps({"expected": names}))
    assert expected_places(tmp_path) == [tmp_path / name for name in names]
    runs = load_runs([tmp_path])
    assert [Path(t.job).name for t in look([tmp_path], runs).troubles] == [
        "layer-4",
        "layer-5",
        "layer-6",
    ]
    assert look([tmp_path], runs).summary() == "2 of 5 runs finished, 3 never started"
    assert [run["config"]["scale"] for run in runs] == [{"permutations": 1000}] * 2


@pytest.mark.parametrize("name", ["x" * 300, "../elsewhere", "/elsewhere", "a\0b"])
def test_a_list_of_jobs_that_names_no_folders_is_left_out(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"expected": [name]}))
    assert expected_places(tmp_path) == []
    assert "is not the list of a sweep's jobs" in capsys.readouterr().err
