"""Emotion vectors of one layer: centred over emotions, neutral components projected out, unit
norm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from emoexp.errors import EmoexpError
from emoexp.stats.matched_pairs import reading_order
from emoexp.store.artifacts import read_tensors, write_tensors
from emoexp.vectors.extraction import StoryMeans

NEUTRAL_VARIANCE = 0.5
"""Share of the neutral texts' variance whose components are projected out (paper, "Extracting
emotion vectors")."""
UNIT_TOLERANCE = 1e-4
"""How far from 1 the norm of a direction from a file may be."""


@dataclass(frozen=True)
class EmotionVectors:
    """Emotion vectors of one layer of one model.

    Attributes:
        names: the emotions.
        directions: unit norm; (emotion, d_model), float64.
        layer: the block whose output they are directions of.
        residual_norm: mean norm of the residual stream there, without BOS: the unit of steering
            strength.
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
        """Returns the direction of an emotion; (d_model,)."""
        return self.directions[self.names.index(name)]

    def only(self, names: tuple[str, ...]) -> np.ndarray:
        """Returns the directions of `names`, in that order; (n, d_model)."""
        return np.stack([self[name] for name in names])

    def save(self, path: Path) -> None:
        """Writes the vectors to a safetensors file, which `read` reads."""
        meta = {
            "names": json.dumps(self.names),
            "layer": str(self.layer),
            "residual_norm": repr(self.residual_norm),
            "n_neutral_components": str(self.n_neutral_components),
            "identity": json.dumps(self.identity, sort_keys=True),
        }
        write_tensors(path, {"directions": self.directions}, meta)

    def _check_numbers(self, path: Path) -> None:
        """Raises EmoexpError where the names are not distinct texts, the directions are not finite,
        of unit norm and one for each name, or the residual norm is not above 0."""
        again = "extract them again, or leave out vectors="
        texts = all(isinstance(name, str) for name in self.names)
        if not texts or not 0 < len(set(self.names)) == len(self.names):
            raise EmoexpError(f"{path}: its names are not distinct emotions: {again}")
        shape, kind = self.directions.shape, self.directions.dtype
        if len(shape) != 2 or shape[0] != len(self.names) or kind.kind != "f":
            raise EmoexpError(
                f"{path} holds directions of shape {shape} and type {kind} for"
                f" {len(self.names)} emotions: {again}"
            )
        norms = np.linalg.norm(self.directions.astype(np.float64), axis=1)
        wrong = ~(np.abs(norms - 1) < UNIT_TOLERANCE)  # NaN is wrong too
        if wrong.any():
            name, norm = self.names[int(wrong.argmax())], norms[wrong.argmax()]
            raise EmoexpError(
                f"{path}: the vector of {name!r} has norm {norm:g}, not 1 "
                f"({wrong.sum()} of {len(norms)} are wrong): {again}"
            )
        if not (np.isfinite(self.residual_norm) and self.residual_norm > 0):
            raise EmoexpError(
                f"{path}: residual_norm is {self.residual_norm}, must be above 0: {again}"
            )

    def check(self, path: Path, identity: Mapping[str, Any], layer: int, d_model: int) -> None:
        """Checks that the vectors of a file are those of this run.

        Raises:
            EmoexpError: they are of other emotions or of another model, width, pack, method or
                layer.
        """
        self.check_emotions(path, identity.get("emotions", self.names))
        self._check_identity(path, identity)
        self.check_layer(path, layer)
        if (width := self.directions.shape[1]) != d_model:
            raise EmoexpError(
                f"{path} holds vectors of width {width}, and the model's is {d_model}: extract them"
                " again, or leave out vectors="
            )

    @classmethod
    def read(cls, path: Path) -> EmotionVectors:
        """Reads vectors from a file, of whatever model they are.

        Raises:
            EmoexpError: the file cannot be read, is not one of emotion vectors, or its numbers are
                not directions.
        """
        give = "give the vectors.safetensors of a run"
        try:
            if not S_ISREG(path.stat().st_mode):
                raise EmoexpError(f"vectors={path} is not a file: {give}")
            path.open("rb").close()
        except OSError as error:
            raise EmoexpError(
                f"vectors={path} cannot be read ({error.strerror}): {give}"
            ) from error
        tensors, meta = read_tensors(path, advice=give)
        vectors = cls._of(path, tensors, meta)
        vectors._check_numbers(path)
        return vectors

    @classmethod
    def _of(
        cls, path: Path, tensors: Mapping[str, np.ndarray], meta: Mapping[str, str]
    ) -> EmotionVectors:
        """The vectors of a file's tensors and metadata. Raises EmoexpError where they are not those
        of emotion vectors."""
        try:
            return cls(
                names=tuple(json.loads(meta["names"])),
                directions=tensors["directions"],
                layer=int(meta["layer"]),
                residual_norm=float(meta["residual_norm"]),
                n_neutral_components=int(meta["n_neutral_components"]),
                identity=dict(json.loads(meta["identity"])),
            )
        except KeyError as error:
            raise EmoexpError(
                f"{path} is not a file of emotion vectors: it lacks {error}"
            ) from error
        except (TypeError, ValueError, RecursionError) as error:
            what = "is not a file of emotion vectors: what it says about them cannot be read"
            raise EmoexpError(f"{path} {what} ({error}); give one that a run has saved") from error

    def check_emotions(self, path: Path, wanted: Sequence[str]) -> None:
        """Raises EmoexpError unless the vectors are of the emotions `wanted`, in that order."""
        if self.names != tuple(wanted):
            difference = difference_of(self.names, tuple(wanted))
            again = "choose the same with emotions=all or emotions.names=[...], or extract anew"
            raise EmoexpError(f"{path} holds the vectors of {difference}: {again}")

    def check_layer(self, path: Path, layer: int) -> None:
        """Raises EmoexpError unless the vectors are of `layer`."""
        if self.layer != layer:
            raise EmoexpError(
                f"{path} holds vectors of layer {self.layer}, not {layer}: set layer={self.layer}"
            )

    def _check_identity(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Raises EmoexpError unless every entry of `identity` agrees."""
        ours = json.loads(json.dumps(dict(identity)))
        if different := [key for key in ours if _differs(self.identity.get(key), ours[key])]:
            raise EmoexpError(
                f"{path} holds vectors of another {' and '.join(different)}: extract them for this"
                " one, or leave out vectors="
            )


def _differs(theirs: Any, ours: Any) -> bool:
    """Tells whether two values of an identity differ. A part that only one of two models names, of
    an earlier version, is no difference."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return not theirs or any(theirs[key] != ours[key] for key in theirs.keys() & ours.keys())
    return bool(theirs != ours)


def difference_of(names: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """Returns how the emotions of a file differ from those of a run, in a few words."""
    if len(names) != len(wanted):
        return f"{len(names)} emotions, and this run has {len(wanted)}"
    if set(names) == set(wanted):
        return "the run's emotions in another order"
    lacks, other = (next(e for e in a if e not in b) for a, b in ((wanted, names), (names, wanted)))
    return f"other emotions, and not of {lacks}; the file has {other}"


def fit_vectors(means: StoryMeans, layer: int) -> EmotionVectors:
    """Fits the emotion vectors of `layer` to the means.

    Raises:
        EmoexpError: an emotion's vector is zero, so that it has no direction.
    """
    components = components_at(means, layer)
    return EmotionVectors(
        names=means.emotions,
        directions=directions_of(means.by_emotion[:, layer], components, means.emotions),
        layer=layer,
        residual_norm=float(means.residual_norm[layer]),
        n_neutral_components=len(components),
        identity={
            **means.identity,
            "emotions": list(means.emotions),
            "neutral_variance": NEUTRAL_VARIANCE,
        },
    )


def directions_of(means: np.ndarray, components: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Centres means over the emotions, projects the neutral components out and scales to norm 1.

    Args:
        means: of each emotion at one layer; (emotion, d_model).
        components: (component, d_model).

    Returns:
        (emotion, d_model).

    Raises:
        EmoexpError: an emotion's vector is zero, so that it has no direction.
    """
    centred = means - means.mean(0)
    cleaned = centred - centred @ components.T @ components
    norms = np.linalg.norm(cleaned, axis=1)
    if not np.all(norms > 1e-9):
        raise EmoexpError(
            f"the vector of {names[int(norms.argmin())]!r} is zero: its stories do not differ from"
            " the others'"
        )
    return np.asarray(cleaned / norms[:, None])


@lru_cache(maxsize=4)
def components_at(means: StoryMeans, layer: int) -> np.ndarray:
    """Returns the neutral components of a layer, computed once for all vectors of the layer;
    (component, d_model)."""
    return neutral_components(means.neutral[:, layer], NEUTRAL_VARIANCE)


def neutral_components(neutral: np.ndarray, variance: float) -> np.ndarray:
    """Returns the leading principal components that together explain a share `variance`, or more.

    Args:
        neutral: means of the neutral texts; (text, d_model).

    Returns:
        (component, d_model).
    """
    return np.asarray(PCA(n_components=variance, svd_solver="full").fit(neutral).components_)


def emotions_table(vectors: EmotionVectors, valence: Mapping[str, float]) -> pd.DataFrame:
    """Lists the emotions with their valence and their place on a map.

    Returns:
        columns emotion, valence (NaN where it is not known) and position: by valence where all are
        known, else by clusters of the directions.
    """
    order = reading_order(vectors.names, dict(valence), vectors.directions)
    known = [valence.get(name, np.nan) for name in vectors.names]
    return pd.DataFrame({"emotion": vectors.names, "valence": known, "position": np.argsort(order)})
