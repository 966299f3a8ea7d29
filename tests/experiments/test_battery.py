"""The battery on the shipped organisms: it finds what is planted, and stays silent where nothing
is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from emoexp.stats.criteria import EFFECT_FLOOR
from tests.helpers.command import emoexp

FEWER = ("scale.random_directions=12", "scale.activities_per_category=4")
"""Fewer steered directions and activities, where the test is that steering says nothing."""


def verify(store: Path, name: str, *arguments: str) -> dict[str, Any]:
    place = f"artifacts={store}/artifacts"
    done = emoexp(*arguments, place, f"hydra.run.dir={name}", cwd=store)
    assert done.returncode == 0, done.stderr[-3000:]
    record: dict[str, Any] = json.loads((store / name / "result.json").read_text())
    record["by_id"] = {v["id"]: v for v in record["verdicts"]}
    return record


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("battery")


@pytest.fixture(scope="session")
def controls(store: Path) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """The two controls, one after the other, while the organism runs beside them."""
    with ThreadPoolExecutor(1) as pool:
        yield {
            name: pool.submit(
                verify,
                store,
                name,
                f"model=organism_{name}",
                "experiment.steering.n_emotions=12",
                *FEWER,
            )
            for name in ("indifferent", "untrained")
        }


@pytest.fixture(scope="session")
def organism(store: Path, controls: object) -> dict[str, Any]:
    return verify(store, "organism")


@pytest.fixture(scope="session")
def both(store: Path, organism: dict[str, Any]) -> dict[str, Any]:
    return verify(store, "both", "experiment=steering", "span=both_activities", *FEWER)


@pytest.fixture(scope="session")
def indifferent(controls: dict[str, Future[dict[str, Any]]]) -> dict[str, Any]:
    return controls["indifferent"].result()


@pytest.fixture(scope="session")
def untrained(controls: dict[str, Future[dict[str, Any]]]) -> dict[str, Any]:
    return controls["untrained"].result()


def test_the_battery_finds_what_is_planted(organism: dict[str, Any]) -> None:
    verdicts = organism["by_id"]
    assert set(verdicts) == {f"V{i}" for i in range(1, 12)}
    assert sum(v["passed"] for v in verdicts.values()) >= 9
    assert verdicts["V10"]["value"] >= 0.8
    assert verdicts["V11"]["value"] >= 0.8 * verdicts["V11"]["n"]
    assert verdicts["V11"]["n"] >= 35
    assert organism["metrics"]["effect_ratio"] >= 2
    assert organism["metrics"]["effect_ratio_low"] > 1
    assert organism["metrics"]["mean_abs_delta_elo"] > EFFECT_FLOOR
    assert verdicts["V10"]["informative"]
    assert verdicts["V11"]["informative"]
    assert organism["metrics"]["delta_elo_blissful"] > 0 > organism["metrics"]["delta_elo_hostile"]


def test_random_directions_have_their_row(store: Path, organism: dict[str, Any]) -> None:
    lines = (store / "organism" / "steering_rows.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        "emotions",
        "isotropic random",
        "random mixtures of emotions",
        "shuffled labels",
    ]
    assert {"V10_isotropic", "V11_isotropic_share", "mean_abs_delta_elo_isotropic"} <= set(
        organism["metrics"]
    )


def test_the_emotions_steer_more_than_shuffled_labels_do(organism: dict[str, Any]) -> None:
    assert organism["metrics"]["effect_ratio_over_shuffled_low"] > 1


@pytest.mark.parametrize("identifier", ["V1", "V3", "V4", "V9"])
def test_the_organism_is_beyond_every_null(store: Path, identifier: str) -> None:
    nulls = pd.read_csv(store / "organism" / "nulls.csv")
    rows = nulls[nulls["criterion"] == identifier]
    wanted = {"isotropic random", "shuffled labels"}
    assert wanted <= set(rows["null"]) and rows["beyond"].all()


def test_steering_both_activities_fails_v11(both: dict[str, Any]) -> None:
    """The famous bug, on the same model and layer."""
    assert not both["by_id"]["V11"]["passed"]
    assert any("span=both_activities" in note for note in both["notes"])


def test_a_model_without_preferences_is_told_apart(
    organism: dict[str, Any], indifferent: dict[str, Any]
) -> None:
    for identifier in ("V10", "V11"):
        assert not indifferent["by_id"][identifier]["informative"]
    assert not indifferent["by_id"]["V7"]["passed"]
    for identifier in ("V2", "V3", "V4", "V5"):
        assert (
            abs(indifferent["by_id"][identifier]["value"] - organism["by_id"][identifier]["value"])
            <= 2
        ), identifier


@pytest.mark.xfail(
    strict=True, reason="docs/limitations.md: V1 is 54 and 59 of 64, V6 is 20 and 23 of 24"
)
@pytest.mark.parametrize("identifier", ["V1", "V6"])
def test_v1_and_v6_differ_by_no_more_than_two_counts(
    organism: dict[str, Any], indifferent: dict[str, Any], identifier: str
) -> None:
    assert (
        abs(indifferent["by_id"][identifier]["value"] - organism["by_id"][identifier]["value"]) <= 2
    )


def test_nothing_holds_in_random_weights(untrained: dict[str, Any]) -> None:
    assert [v["id"] for v in untrained["verdicts"] if v["passed"] and v["informative"]] == []


def test_every_number_has_its_interval_and_null(
    organism: dict[str, Any], indifferent: dict[str, Any], untrained: dict[str, Any]
) -> None:
    for record in (organism, indifferent, untrained):
        for v in record["verdicts"]:
            assert v["ci_low"] <= v["value"] <= v["ci_high"]
            assert v["null_low"] <= v["null_high"]
            assert all(
                math.isfinite(v[k])
                for k in ("value", "ci_low", "ci_high", "null_low", "null_high", "threshold")
            )


def test_a_second_run_reads_what_the_first_computed(store: Path, organism: dict[str, Any]) -> None:
    rows = {p: p.stat().st_mtime_ns for p in (store / "artifacts").rglob("*.safetensors")}
    again = verify(store, "again")
    assert again["verdicts"] == organism["verdicts"]
    assert {p: p.stat().st_mtime_ns for p in (store / "artifacts").rglob("*.safetensors")} == rows
