"""The file of cosines: what is written is read back, and what is no such file is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emoexp.errors import EmoexpError
from emoexp.geometry.cosines import Cosines, load_cosines, pair_values, save_cosines
from emoexp.store.artifacts import write_tensors

IDENTITY = {"model": {"files": ["ab"]}, "corpus": "cd", "stories": None, "neutral_variance": 0.5}


def cosines() -> Cosines:
    units = np.random.default_rng(0).standard_normal((2, 4, 9))
    units /= np.linalg.norm(units, axis=2, keepdims=True)
    names = ("happy", "sad", "at ease", "calm")
    return Cosines(names, (1, 3), units @ units.transpose(0, 2, 1), 8, "tiny", IDENTITY)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    save_cosines(tmp_path / "cosines.safetensors", cosines())
    found = load_cosines(tmp_path / "cosines.safetensors")
    assert replace(found, matrices=None) == replace(cosines(), matrices=None)  # type: ignore[arg-type]
    assert found.matrices.dtype == np.float32
    np.testing.assert_allclose(found.matrices, cosines().matrices, atol=1e-7)
    np.testing.assert_allclose(found.depths(), [0.25, 0.5])
    np.testing.assert_array_equal(found.only(("calm", "happy"))[:, 0, 1], found.matrices[:, 3, 0])


def test_pairs_are_each_pair_once() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    assert pair_values(np.stack([matrix, 10 * matrix])).tolist() == [[1, 2, 5], [10, 20, 50]]


def test_what_is_no_file_of_cosines_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cosines.safetensors"
    with pytest.raises(EmoexpError, match="is not there: give the cosines.safetensors of a run"):
        load_cosines(path)
    path.write_bytes(b"broken")
    with pytest.raises(EmoexpError, match="not a whole safetensors file"):
        load_cosines(path)
    write_tensors(path, {"directions": np.zeros((2, 3))}, {"names": "[]"})
    with pytest.raises(EmoexpError, match="is not a file of cosines"):
        load_cosines(path)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((2, 3, 3)), r"shape \(2, 3, 3\), not \(2, 4, 4\)"),
        (np.full((2, 4, 4), np.nan), "not cosine matrices"),
        (np.zeros((2, 4, 4)), "a diagonal that is not 1"),
        (np.tril(np.ones((2, 4, 4))), "not symmetric"),
    ],
)
def test_numbers_that_are_no_cosines_are_refused(
    tmp_path: Path, matrices: np.ndarray, message: str
) -> None:
    save_cosines(tmp_path / "c.safetensors", replace(cosines(), matrices=matrices))
    with pytest.raises(EmoexpError, match=message):
        load_cosines(tmp_path / "c.safetensors")
