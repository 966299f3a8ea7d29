"""Cosines between the emotion vectors of a layer, and the file in which a run keeps them.

Emotion vectors are of unit norm, so their Gram matrix holds their cosines. Since the means are
centred over the emotions before they are scaled, the cosines of n emotions average about
-1 / (n - 1) off the diagonal, not 0, also where the labels carry nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.store.artifacts import read_tensors, write_tensors
from emoexp.vectors.extraction import StoryMeans
from emoexp.vectors.vectors import NEUTRAL_VARIANCE

FILE = "cosines.safetensors"
"""Name of the file in a run's directory."""
TOLERANCE = 1e-4
"""How far a cosine from a file may be from symmetric, and its diagonal from 1."""
ADVICE = f"give the {FILE} of a run of experiment=geometry"


@dataclass(frozen=True)
class Cosines:
    """Cosine matrices of one model and one corpus, at several layers.

    Attributes:
        names: the emotions, in the order of rows and columns.
        layers: 0-based blocks, ascending.
        matrices: (layer, emotion, emotion); float32 in the file.
        n_layers: blocks of the model, for depths.
        model: the model's name, for people.
        identity: what the vectors depend on: `model` (the model's identity), `corpus` (its
            sha256), `stories` (per emotion; None is all), `neutral_variance`.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    matrices: np.ndarray
    n_layers: int
    model: str
    identity: dict[str, Any]

    def depths(self) -> np.ndarray:
        """Returns the share of the blocks up to and with each layer: (layer + 1) / n_layers."""
        return (np.array(self.layers) + 1) / self.n_layers

    def only(self, names: tuple[str, ...]) -> np.ndarray:
        """Returns the cosines of `names`, in that order; (layer, name, name)."""
        rows = [self.names.index(name) for name in names]
        return np.asarray(self.matrices[:, rows][:, :, rows])


def pair_values(matrices: np.ndarray) -> np.ndarray:
    """Returns the cosines of all pairs of different emotions, each pair once, in the order of
    `np.triu_indices`; (..., n, n) -> (..., pair)."""
    first, second = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[..., first, second])


def cosine_rows(names: tuple[str, ...], matrix: np.ndarray) -> pd.DataFrame:
    """Returns a cosine matrix as a table: the emotion, then a column for each emotion."""
    table = pd.DataFrame(matrix, columns=list(names))
    table.insert(0, "emotion", names)
    return table


def identity_of(means: StoryMeans) -> dict[str, Any]:
    """Returns what the vectors that are fitted to `means` depend on, as `Cosines` has it."""
    kept = {name: means.identity[name] for name in ("model", "corpus", "stories")}
    return kept | {"neutral_variance": NEUTRAL_VARIANCE}


def save_cosines(path: Path, cosines: Cosines) -> None:
    """Writes cosine matrices to a safetensors file, which `load_cosines` reads."""
    meta = {
        "names": json.dumps(cosines.names),
        "layers": json.dumps([int(layer) for layer in cosines.layers]),
        "n_layers": str(cosines.n_layers),
        "model": cosines.model,
        "identity": json.dumps(cosines.identity, sort_keys=True),
    }
    write_tensors(path, {"cosines": cosines.matrices.astype(np.float32)}, meta)


def load_cosines(path: Path) -> Cosines:
    """Reads the cosine matrices of a run.

    Raises:
        EmoexpError: there is no such file, it is broken or of another kind, or its numbers are not
            cosine matrices.
    """
    if not path.is_file():
        raise EmoexpError(f"{path} is not there: {ADVICE}")
    tensors, meta = read_tensors(path, advice=ADVICE)
    try:
        cosines = Cosines(
            names=tuple(json.loads(meta["names"])),
            layers=tuple(json.loads(meta["layers"])),
            matrices=tensors["cosines"],
            n_layers=int(meta["n_layers"]),
            model=meta["model"],
            identity=dict(json.loads(meta["identity"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EmoexpError(f"{path} is not a file of cosines ({error!r}): {ADVICE}") from error
    _check(path, cosines)
    return cosines


def _check(path: Path, cosines: Cosines) -> None:
    """Raises EmoexpError unless the matrices have the shape that the names and layers say, are
    symmetric, and have ones on their diagonals."""
    n, found = len(cosines.names), cosines.matrices
    if found.shape != (wanted := (len(cosines.layers), n, n)):
        raise EmoexpError(f"{path} holds cosines of shape {found.shape}, not {wanted}: {ADVICE}")
    symmetric = np.abs(found - found.transpose(0, 2, 1)) < TOLERANCE  # NaN is not
    ones = np.abs(np.diagonal(found, axis1=1, axis2=2) - 1) < TOLERANCE
    if not (symmetric.all() and ones.all()):
        raise EmoexpError(
            f"{path} holds numbers that are not cosine matrices (not symmetric, or a diagonal that"
            f" is not 1): {ADVICE}"
        )
