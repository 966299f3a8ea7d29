"""Emotion vectors of one layer: centred over emotions, neutral components projected out, unit norm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from emoexp.artifacts import read_tensors, write_tensors
from emoexp.errors import EmoexpError
from emoexp.extraction import StoryMeans

NEUTRAL_VARIANCE = 0.5
"""Share of the neutral texts' variance whose components are projected out (paper, "Extracting emotion vectors")."""


@dataclass(frozen=True)
class EmotionVectors:
    """Attributes:
    names: the emotions.
    directions: unit norm; (emotion, d_model), float64.
    layer: the block whose output they are directions of.
    residual_norm: mean norm of the residual stream there, without BOS: the unit of steering strength.
    n_neutral_components: how many neutral components were projected out.
    identity: model, pack and method; two vector files are comparable only if these agree.
    """

    names: tuple[str, ...]
    directions: np.ndarray
    layer: int
    residual_norm: float
    n_neutral_components: int
    identity: dict[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.directions[self.names.index(name)]

    def only(self, names: tuple[str, ...]) -> np.ndarray:
        """Directions of `names`, in that order; (n, d_model)."""
        return np.stack([self[name] for name in names])

    def save(self, path: Path) -> None:
        meta = {
            "names": json.dumps(self.names), "layer": str(self.layer), "residual_norm": repr(self.residual_norm),
            "n_neutral_components": str(self.n_neutral_components), "identity": json.dumps(self.identity, sort_keys=True),
        }  # fmt: skip
        write_tensors(path, {"directions": self.directions}, meta)

    @classmethod
    def load(cls, path: Path, *, identity: Mapping[str, Any], layer: int) -> EmotionVectors:
        """Vectors from a file.

        Raises:
            EmoexpError: the file is broken, or it is of another model, pack, method or layer.
        """
        tensors, meta = read_tensors(path)
        try:
            vectors = cls(
                names=tuple(json.loads(meta["names"])),
                directions=tensors["directions"],
                layer=int(meta["layer"]),
                residual_norm=float(meta["residual_norm"]),
                n_neutral_components=int(meta["n_neutral_components"]),
                identity=json.loads(meta["identity"]),
            )
        except (KeyError, ValueError) as error:
            raise EmoexpError(f"{path} is not a file of emotion vectors: it lacks {error}") from error
        if different := [k for k in identity if vectors.identity.get(k) != json.loads(json.dumps(identity[k]))]:
            theirs = {k: vectors.identity.get(k) for k in different}
            raise EmoexpError(f"{path} holds vectors of another {' and '.join(different)} ({theirs}): extract them for this one")
        if vectors.layer != layer:
            raise EmoexpError(f"{path} holds vectors of layer {vectors.layer}, not {layer}: set layer={vectors.layer}")
        return vectors


def fit_vectors(means: StoryMeans, layer: int, *, neutral_variance: float = NEUTRAL_VARIANCE) -> EmotionVectors:
    """The vectors of `layer`.

    Raises:
        EmoexpError: an emotion's vector vanishes, so that it has no direction.
    """
    components = neutral_components(means.neutral[:, layer], neutral_variance)
    return EmotionVectors(
        names=means.emotions,
        directions=directions_of(means.by_emotion[:, layer], components, means.emotions),
        layer=layer,
        residual_norm=float(means.residual_norm[layer]),
        n_neutral_components=len(components),
        identity={**means.identity, "emotions": list(means.emotions), "neutral_variance": neutral_variance},
    )


def directions_of(means: np.ndarray, components: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Emotions' means at one layer, centred over the emotions, without the neutral components, unit norm; (emotion, d_model).

    Raises:
        EmoexpError: an emotion's vector vanishes, so that it has no direction.
    """
    centred = means - means.mean(0)
    cleaned = centred - centred @ components.T @ components
    norms = np.linalg.norm(cleaned, axis=1)
    if not np.all(norms > 1e-9):
        raise EmoexpError(f"the vector of {names[int(norms.argmin())]!r} is zero: its stories do not differ from the others'")
    return np.asarray(cleaned / norms[:, None])


def neutral_components(neutral: np.ndarray, variance: float) -> np.ndarray:
    """The leading principal components over texts that together explain at least `variance`; (component, d_model)."""
    if variance == 0:
        return np.zeros((0, neutral.shape[1]))
    return np.asarray(PCA(n_components=variance, svd_solver="full").fit(neutral).components_)


def isotropic_directions(n: int, d_model: int, rng: np.random.Generator) -> np.ndarray:
    """Random unit vectors, every direction alike; (n, d_model)."""
    draws = rng.standard_normal((n, d_model))
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))


def mixture_directions(n: int, directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random unit vectors within the span of `directions`: normal mixtures of them; (n, d_model)."""
    draws = rng.standard_normal((n, len(directions))) @ directions
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))
