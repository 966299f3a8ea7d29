"""W&B without a network: what a run leaves in its own .wandb file is read back from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf

pytest.importorskip(
    "wandb", reason="the optional package wandb is not installed: pip install 'emoexp[wandb]'"
)

from emoexp.cli.main import CONF
from emoexp.cli.wandb import (
    LoggerConfig,
    LoggerKind,
    Tracker,
    group_of,
    mirror,
    run_id,
    secrets,
    summary,
    without_secrets,
)
from emoexp.stats.criteria import Measurement, judge
from emoexp.stats.intervals import Interval
from tests.helpers.wandb_file import Offline, read_wandb

SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567",
    "OPENAI_API_KEY": "sk-test-not-a-real-key",
    "HF_TOKEN": "hf_testnotarealtoken",
}
SWEEP = """
import json, sys
from pathlib import Path
import wandb
from emoexp.cli.wandb import LoggerConfig, LoggerKind, mirror, open_tracker

stories = {"server": "http://me:hunter22@host/v1", "request": {"k": sys.argv[2]}}
config = {"layer": "auto", "model": {"name": "organism"}, "stories": stories}

def job(name, layer, end=None):
    directory = Path(sys.argv[1]) / name
    record = json.loads((directory / "result.json").read_text())
    run = {
        "directory": directory, "group": "2026-11-20_12-00-00", "experiment": "verify",
        "model": "organism", "layer": layer, "config": config,
    }
    try:
        with open_tracker(LoggerConfig(kind=LoggerKind.wandb), run) as tracker:
            if isinstance(end, SystemExit):
                raise end
            mirror(tracker, record, directory)
            if end is not None:
                raise end
    except BaseException as error:
        assert error is end, error
    assert wandb.run is None

job("first", "auto")
job("second", 4)
job("fails", 6, ValueError("weights are gone"))
job("preempted", 7, SystemExit(-1))
job("preempted", 7)
"""


def verdict(identifier: str, value: float, n: int) -> dict[str, Any]:
    return judge(
        Measurement(
            identifier,
            value,
            n,
            Interval(value - 1, value + 1),
            {"isotropic random": Interval(0, 3)},
        )
    ).as_dict()


def record_of(
    layer: int | None, *verdicts: dict[str, Any], status: str = "success", **more: Any
) -> dict[str, Any]:
    return {
        "status": status,
        "experiment": "verify",
        "model": "organism",
        "layer": layer,
        "n_layers": 8,
        "stimuli": {"name": "organism", "sha256": "ab12"},
        "corpus": {"author": "nobody"},
        "span": "steered_activity",
        "seed": 3,
        "metrics": {"effect_ratio": 5.5},
        "verdicts": list(verdicts),
        "notes": [],
        "provenance": {
            "commit": "c0ffee",
            "command": ["layer=auto", f"stories.request.k={SECRETS['OPENAI_API_KEY']}"],
        },
        **more,
    }


def leave(directory: Path, record: dict[str, Any]) -> None:
    """What a run leaves: result.json, a table with missing and textual cells, a figure."""
    directory.mkdir(parents=True)
    (directory / "result.json").write_text(json.dumps(record))
    (directory / "steering.csv").write_text("emotion,elo,sign\nhappy,12.5,True\nNA,,False\n,3,\n")
    Figure((1, 1)).savefig(directory / "steering.png")


def python(code: str, *arguments: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Python in a home without a key, and without what the developer's shell says of W&B."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("WANDB_") and k not in ("RANK", "NETRC")
    } | {"HOME": str(home)}
    command = (sys.executable, "-c", code, *arguments)
    return subprocess.run(
        command, cwd=home, capture_output=True, text=True, env=clean | env, timeout=300
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Four runs and a requeued one, in one process; and what that process said."""
    home = tmp_path_factory.mktemp("sweep")
    v3, v4 = verdict("V3", 10, 12), verdict("V4", 1.5, 12)
    leave(home / "first", record_of(5, v3, v4))
    leave(home / "second", record_of(4, v4, notes=["not measured: V3"]))
    leave(
        home / "fails",
        record_of(6, v3, status="error", error=f"EmoexpError: {SECRETS['HF_TOKEN']}"),
    )
    leave(home / "preempted", record_of(7, v3))
    done = python(
        SWEEP, str(home), SECRETS["OPENAI_API_KEY"], home=home, WANDB_MODE="offline", **SECRETS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home, done.stdout + done.stderr


def offline(sweep: tuple[Path, str], name: str) -> list[Offline]:
    return [
        Offline(d)
        for d in sorted((sweep[0] / name / "wandb").iterdir(), key=lambda d: d.stat().st_mtime)
    ]


def test_a_run_is_found_by_sweep_experiment_model_and_layer(sweep: tuple[Path, str]) -> None:
    (first,) = offline(sweep, "first")
    run = first.run
    assert (run.project, run.run_group, run.job_type, run.display_name) == (
        "emoexp",
        "2026-11-20_12-00-00",
        "verify",
        "organism-L5",
    )
    assert run.run_id == run_id(sweep[0] / "first")
    assert (first.config["layer"], first.config["model"]["name"]) == ("auto", "organism")
    assert (
        first.config["origin"]["provenance"]["commit"],
        first.config["origin"]["stimuli"]["sha256"],
    ) == ("c0ffee", "ab12")
    assert first.exit == 0


def test_the_summary_has_the_same_flat_keys_for_every_run(sweep: tuple[Path, str]) -> None:
    (first,), (second,) = offline(sweep, "first"), offline(sweep, "second")
    wanted = {
        "layer": 5,
        "depth": 0.625,
        "two_thirds": 1,
        "model": "organism",
        "V3/value": 10,
        "V3/passed": 1,
        "V3/informative": 1,
        "V3/n": 12,
        "V3/ci_low": 9,
        "V3/ci_high": 11,
        "V3/null_low": 0,
        "V3/null_high": 3,
        "V3/share": 10 / 12,
        "V4/value": 1.5,
        "V4/informative": 0,
        "metrics/effect_ratio": 5.5,
        "verdicts/passed": 2,
        "verdicts/both": 1,
        "status": "success",
    }
    assert {k: first.summary.get(k) for k in wanted} == wanted
    assert (second.summary["layer"], second.summary["two_thirds"], second.summary["notes"]) == (
        4,
        0,
        "not measured: V3",
    )


def test_runs_of_one_process_do_not_leak(sweep: tuple[Path, str]) -> None:
    (first,), (second,) = offline(sweep, "first"), offline(sweep, "second")
    assert first.run.run_id != second.run.run_id
    assert not [key for key in second.summary if key.startswith("V3/")]
    assert [row["layer"] for row in second.history if "layer" in row] == [4]


def test_a_whole_run_is_one_point_of_the_curves_over_layers(sweep: tuple[Path, str]) -> None:
    (first,), (failed,) = offline(sweep, "first"), offline(sweep, "fails")
    assert [(row["layer"], row["V3/value"]) for row in first.history if "layer" in row] == [(5, 10)]
    assert not [row for row in failed.history if "V3/value" in row]
    definitions = {
        r.metric.glob_name or r.metric.name: r.metric.step_metric
        for r in read_wandb(first.directory)
        if r.HasField("metric")
    }
    assert definitions == {"layer": "", "V*": "layer", "metrics/*": "layer", "verdicts/*": "layer"}


def test_tables_and_figures_come_along(sweep: tuple[Path, str]) -> None:
    (first,) = offline(sweep, "first")
    media = {
        key: value
        for row in first.history
        for key, value in row.items()
        if key.startswith(("tables/", "figures/"))
    }
    assert {key: value for key, value in media.items() if key.endswith("_type")} == {
        "tables/steering/_type": "table-file",
        "figures/steering/_type": "image-file",
    }
    files = first.directory / "files"
    table = json.loads((files / media["tables/steering/path"]).read_text())
    assert table["columns"] == ["emotion", "elo", "sign"]
    assert table["data"] == [["happy", 12.5, True], ["NA", None, False], [None, 3.0, None]]
    assert (files / media["figures/steering/path"]).read_bytes() == (
        sweep[0] / "first" / "steering.png"
    ).read_bytes()


def test_a_failed_run_is_marked_and_keeps_what_it_found(sweep: tuple[Path, str]) -> None:
    (failed,) = offline(sweep, "fails")
    assert (failed.exit, failed.preempted) == (1, False)
    assert (failed.summary["status"], failed.summary["V3/value"], failed.summary["error"]) == (
        "error",
        10,
        "EmoexpError: ***",
    )


def test_a_requeued_run_is_one_run_with_one_part(sweep: tuple[Path, str]) -> None:
    """Uploaded after each other, of two parts of one id the later would overwrite the earlier."""
    (part,) = offline(sweep, "preempted")
    assert part.run.run_id == run_id(sweep[0] / "preempted")
    assert (part.exit, part.preempted, part.summary["V3/value"]) == (0, False, 10)
    sync = (
        "import sys; from wandb.cli.cli import cli; sys.argv[1:] = ['sync', '--dry-run',"
        " sys.argv[1]]; cli()"
    )
    done = python(sync, str(sweep[0] / "preempted" / "wandb"), home=sweep[0])
    assert done.returncode == 0, done.stderr
    assert part.directory.name in done.stdout + done.stderr


def test_all_that_is_said_is_how_to_upload(sweep: tuple[Path, str]) -> None:
    home, said = sweep
    wanted = [
        home / name / "wandb" for name in ("first", "second", "fails", "preempted", "preempted")
    ]
    assert said.splitlines() == [
        f"W&B: kept offline (W&B's own mode is offline); upload it with: wandb sync {d}"
        for d in wanted
    ]


def test_no_key_is_in_any_file(sweep: tuple[Path, str]) -> None:
    home, said = sweep
    texts = {
        path: path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "wandb" in path.parts
    }
    assert len(texts) > 10
    for secret in (*SECRETS.values(), "hunter22"):
        assert secret not in said
        assert not [path for path, text in texts.items() if secret.encode() in text]
    assert offline(sweep, "first")[0].config["stories"] == {
        "server": "http://***@host/v1",
        "request": {"k": "***"},
    }


def test_what_was_not_measured_has_no_key() -> None:
    row = summary(record_of(None) | {"metrics": {}})
    assert row == {
        "status": "success",
        "model": "organism",
        "experiment": "verify",
        "span": "steered_activity",
        "seed": 3,
        "notes": "",
        "error": "",
    }
    no_depth = record_of(3, verdict("V4", 1.5, 12))
    del no_depth["n_layers"]
    assert not {"depth", "two_thirds", "V4/share"} & set(summary(no_depth))
    assert "V1/paper" not in summary(
        record_of(3, verdict("V1", 20, 64))
    )  # the paper has no number for it


class Broken(Tracker):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def attach(self, *_: Any) -> None:
        raise self.error


def test_trouble_of_wandb_costs_no_result_and_ours_is_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    mirror(Broken(wandb.errors.CommError("no\nroute")), record_of(3), tmp_path)
    mirror(Broken(OSError("disk full")), record_of(3), tmp_path)
    assert capsys.readouterr().err == "".join(
        f"W&B: not mirrored ({why}); result.json is whole\n" for why in ("no route", "disk full")
    )
    with pytest.raises(KeyError):
        mirror(Broken(KeyError("bug")), record_of(3), tmp_path)
    mirror(Tracker(), record_of(3), tmp_path)


def test_secrets_go_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", 'with "quotes" in it')
    monkeypatch.setenv("SSH_KEY_FILE", "/home/me/key")
    monkeypatch.setenv("SHORT_KEY", "layer")
    content = {
        "a": ['x with "quotes" in it y', "/home/me/key", "layer", 1.5, None],
        "url": "https://tok:en@host/a@b",
        "plain": "https://host/a@b",
    }
    wanted = {
        "a": ["x *** y", "/home/me/key", "layer", 1.5, None],
        "url": "https://***@host/a@b",
        "plain": "https://host/a@b",
    }
    assert without_secrets(content, secrets()) == wanted


def test_names_are_stable_and_tell_days_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_id(Path("a")) == run_id(tmp_path / "a") != run_id(tmp_path / "b")
    assert group_of(Path("multirun/2026-11-20/12-00-00")) == "2026-11-20_12-00-00"
    assert group_of(Path("sweep")) == f"{tmp_path.name}_sweep"


@pytest.mark.parametrize("kind", ["none", "wandb"])
def test_the_files_fit_the_schema(kind: str) -> None:
    content = OmegaConf.load(CONF / "logger" / f"{kind}.yaml")
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(LoggerConfig), content))
    assert config == LoggerConfig(kind=LoggerKind(kind))
