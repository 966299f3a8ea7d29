"""The store: computed once, whole or not at all, resumed after a kill, shared by twins."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.store.artifacts import (
    Artifacts,
    Row,
    clear,
    key_of,
    read_layer,
    read_tensors,
    write_tensors,
)


def test_rows_are_computed_once_and_resume_where_they_stopped(tmp_path: Path) -> None:
    store, calls = Artifacts(tmp_path), []

    def compute(label: str, fail_at: str | None = None) -> Row:
        if label == fail_at:
            raise KeyboardInterrupt
        calls.append(label)
        return {"x": np.array([float(label)]), "zero_dimensional": np.array(7)}

    with pytest.raises(KeyboardInterrupt):
        store.rows("k", {"a": 1}, ["0", "1", "2"], lambda label: compute(label, "2"), "t")
    rows = store.rows("k", {"a": 1}, ["0", "1", "2"], compute, "t")
    assert calls == ["0", "1", "2"], "a kill loses one row"
    assert [float(r["x"][0]) for r in rows] == [0, 1, 2]
    assert rows[0]["zero_dimensional"].shape == ()
    store.rows("k", {"a": 1}, ["0", "1", "2"], compute, "t")
    assert len(calls) == 3
    store.rows("k", {"a": 2}, ["0"], compute, "t")
    assert len(calls) == 4, "another identity is another artifact"


def test_the_key_does_not_depend_on_order() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)

    def unwritable(_: str) -> Row:
        return {"x": np.array(["text"])}

    with pytest.raises(Exception):  # noqa: B017
        store.rows("k", {}, ["0"], unwritable, "t")
    assert not list(tmp_path.rglob("0.safetensors"))


def test_what_a_killed_job_left_half_written_goes_when_the_next_one_computes(
    tmp_path: Path,
) -> None:
    store = Artifacts(tmp_path)
    store.rows("k", {}, ["0"], lambda _: {"x": np.zeros(1)}, None)
    left = store.path("k", {}, "1").with_name(".1.safetensors.999999999.tmp")
    left.write_bytes(b"half")
    store.rows("k", {}, ["0", "1"], lambda _: {"x": np.zeros(1)}, None)
    assert not left.exists()


def test_what_a_live_process_writes_is_left(tmp_path: Path) -> None:
    mine, dead = (tmp_path / f".a.png.{pid}.tmp" for pid in (os.getpid(), 999999999))
    for path in (mine, dead):
        path.write_bytes(b"half")
    clear(tmp_path)
    assert mine.exists() and not dead.exists()


def test_twin_jobs_compute_once(tmp_path: Path) -> None:
    calls, started = [], threading.Barrier(4)

    def compute(label: str) -> Row:
        calls.append(label)
        return {"x": np.zeros(1)}

    def job() -> None:
        started.wait()
        Artifacts(tmp_path).rows("k", {}, [str(i) for i in range(6)], compute, "t")

    jobs = [threading.Thread(target=job) for _ in range(4)]
    for j in jobs:
        j.start()
    for j in jobs:
        j.join()
    assert sorted(calls) == [str(i) for i in range(6)]


def test_a_corrupted_row_is_one_line(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    store.rows("k", {}, ["0"], lambda _: {"x": np.zeros(100)}, "t")
    path = next(tmp_path.rglob("0.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(
        EmoexpError, match="is not a whole safetensors file .* delete it and run again"
    ):
        store.rows("k", {}, ["0"], lambda _: {"x": np.zeros(100)}, "t")


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    row = {"small": np.arange(2.0), "large": np.arange(24.0).reshape(2, 3, 4)}
    assert store.rows("k", {}, ["0"], lambda _: row, "t", names=["small"])[0].keys() == {"small"}
    assert store.rows("k", {}, ["0"], lambda _: row, "t")[0].keys() == {"small", "large"}
    path = store.path("k", {}, "0")
    np.testing.assert_array_equal(read_layer(path, "large", 1), row["large"][:, 1])
    with pytest.raises(EmoexpError, match="is not a whole safetensors file .*other.* delete it"):
        read_tensors(path, ["other"])
    with pytest.raises(EmoexpError, match="does not exist"):
        read_layer(tmp_path / "none", "large", 1)


def test_one_layer_is_read_from_a_file_whose_other_layers_are_far_larger_than_what_comes_back(
    tmp_path: Path,
) -> None:
    write_tensors(tmp_path / "x", {"groups": np.ones((2, 50, 8), np.float32)}, {})
    layer = read_layer(tmp_path / "x", "groups", 7)
    assert (layer.shape, layer.dtype, layer.base is None or layer.base.nbytes == layer.nbytes) == (
        (2, 8),
        np.float32,
        True,
    )


def test_a_label_may_hold_what_a_file_name_may_not(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    rows = store.rows(
        "k", {}, ["at ease", "and/or", ".."], lambda label: {"x": np.array(len(label))}, "t"
    )
    assert [int(r["x"]) for r in rows] == [7, 6, 2]
    assert store.path("k", {}, "at ease").name == "at ease.safetensors"
    assert {p.parent for p in tmp_path.rglob("*.safetensors")} == {
        store.path("k", {}, "and/or").parent
    }
