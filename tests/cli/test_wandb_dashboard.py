"""The dashboard's specification, as far as it can be looked at without W&B."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "wandb_workspaces",
    reason="the optional package wandb-workspaces is not installed: pip install 'emoexp[wandb]'",
)

from emoexp.cli import wandb_dashboard
from emoexp.cli.wandb import summary
from emoexp.stats.criteria import CRITERIA
from tests.cli.test_wandb import python, record_of, verdict
from tests.cli.test_wandb_modes import dead_server


def test_the_dashboard_needs_no_network_to_be_looked_at(tmp_path: Path) -> None:
    """Every key that a panel draws is one that a run's summary has, and every criterion is
    drawn."""
    done = python(
        "from emoexp.cli.wandb_dashboard import main; main()",
        "--entity",
        "me",
        "--dry-run",
        home=tmp_path,
        HTTPS_PROXY=dead_server(),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    spec = json.loads(done.stdout)
    sections = {
        s["name"]: s["panels"]
        for s in spec["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    }
    assert list(sections) == [
        "Verification by layer",
        "Across models, best layer",
        "Detection and steering",
    ]
    grids = [b["metadata"] for b in spec["report"]["spec"]["blocks"] if b["type"] == "panel-grid"]
    reported = [panel for grid in grids for panel in grid["panelBankSectionConfig"]["panels"]]
    row = summary(
        record_of(5, *(verdict(i, 10, 12) for i in CRITERIA))
        | {"metrics": {"effect_ratio": 2.0, "mean_abs_delta_elo": 20.0}}
    )
    for panels in (*sections.values(), reported):
        for panel in panels:
            config = panel["config"]
            axes = [config[a] for a in ("xAxis", "yAxis") if a in config]
            drawn = {a.removeprefix("summary:") for a in (*config.get("metrics", []), *axes)}
            assert drawn <= set(row), panel
    lines = {
        m for panel in sections["Verification by layer"] for m in panel["config"].get("metrics", [])
    }
    assert {m.partition("/")[0] for m in lines if m.startswith("V")} == set(CRITERIA)
    assert {p["config"]["groupBy"] for p in sections["Across models, best layer"]} == {
        "model.value.name"
    }
    (worst_is_high,) = (
        p for p in sections["Across models, best layer"] if p["config"]["metrics"] == ["V4/value"]
    )
    assert worst_is_high["config"]["groupAgg"] == "min"
    assert (
        len({json.dumps(p["layout"]) for p in grids[0]["panelBankSectionConfig"]["panels"]})
        == len(CRITERIA) + 3
    )
    texts = json.dumps([g["runSets"][0]["filters"] for g in grids])
    assert texts.count('"two_thirds"') == 1
    assert texts.count('"status"') == len(grids) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --entity"),
        (["foo"], "unrecognized arguments: foo"),
        (["--entity", "me", "--what"], "--what"),
        (["--entity", "me"], "the dashboard needs a W&B key"),
    ],
)
def test_a_mistake_with_the_dashboard_is_one_line(
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dashboard", *arguments])
    monkeypatch.setattr(wandb_dashboard, "has_key", lambda: False)
    with pytest.raises(SystemExit) as end:
        wandb_dashboard.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("emoexp: ") and says in said.err
