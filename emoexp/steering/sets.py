"""Directions that a steering run adds: the emotions, and controls of the same norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from emoexp.config import SteeringSpan
from emoexp.errors import EmoexpError, NotApplicableError
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES, SHUFFLED
from emoexp.steering.subset import steered_layers
from emoexp.vectors.controls import isotropic_directions, mixture_directions
from emoexp.vectors.vectors import EmotionVectors


class DirectionSets(NamedTuple):
    """Directions to steer with.

    Attributes:
        sets: label of the set of each direction.
        names: of each direction.
        directions: unit norm; (direction, layer, d_model).
    """

    sets: list[str]
    names: list[str]
    directions: np.ndarray

    @classmethod
    def of(cls, parts: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> DirectionSets:
        """Joins sets given by label as names and directions; (direction, layer, d_model) each."""
        return cls(
            [label for label, (names, _) in parts.items() for _ in names],
            [name for names, _ in parts.values() for name in names],
            np.concatenate([directions for _, directions in parts.values()]),
        )

    def names_by_set(self) -> dict[str, list[str]]:
        """Returns the names of the directions of each set."""
        names: dict[str, list[str]] = {}
        for label, name in zip(self.sets, self.names, strict=True):
            names.setdefault(label, []).append(name)
        return names

    def added(self, strength: float, norms: Sequence[float]) -> np.ndarray:
        """Returns what steering adds: strength x residual norm x direction.

        Args:
            norms: mean residual norm of each layer.

        Returns:
            (direction, layer, d_model).
        """
        return np.asarray(strength * np.array(norms)[None, :, None] * self.directions)


def numbered(label: str, n: int) -> list[str]:
    """Returns the names of `n` random directions of a set."""
    return [f"{label} {i}" for i in range(n)]


def emotions_and_controls(
    by_layer: Sequence[EmotionVectors],
    chosen: tuple[str, ...],
    reference: EmotionVectors,
    n_random: int,
    rng: np.random.Generator,
    shuffled: Sequence[np.ndarray] | None = None,
) -> DirectionSets:
    """Returns the chosen emotions, and as many directions of each control as asked for.

    Args:
        by_layer: the vectors of each layer that is steered.
        reference: the vectors that mixtures are drawn from; a control is the same at every layer.
        n_random: directions of each control.
        shuffled: vectors of shuffled labels of each layer; (draw, emotion, d_model). Draw k gives
            the vector of emotion k modulo their number; draws are used again if there are too few.
    """
    alike = {
        ISOTROPIC: isotropic_directions(n_random, reference.directions.shape[1], rng),
        MIXTURES: mixture_directions(n_random, reference.directions, rng),
    }
    sets: dict[str, tuple[Sequence[str], np.ndarray]] = {
        EMOTIONS: (chosen, np.stack([v.only(chosen) for v in by_layer], 1)),
    }
    for label, drawn in alike.items():
        at_each = np.repeat(drawn[:, None], len(by_layer), 1)
        sets[label] = (numbered(label, n_random), at_each)
    if shuffled is not None:
        draws, emotions = shuffled[0].shape[:2]
        k = np.arange(n_random)
        at_layers = np.stack([part[k % draws, k % emotions] for part in shuffled], 1)
        sets[SHUFFLED] = (numbered(SHUFFLED, n_random), at_layers)
    return DirectionSets.of(sets)


def ablation_note(span: SteeringSpan) -> list[str]:
    """Returns a note if `span` is not the paper's."""
    if span is SteeringSpan.steered_activity:
        return []
    return [f"span={span.value}: not the paper's span, an ablation"]


def reaching_layers(model: SubjectModel, band: Sequence[int] | None, layer: int) -> tuple[int, ...]:
    """Returns the layers to steer at, ascending; r is read at `layer`, which is one of them.

    Raises:
        EmoexpError: the model has no such layer, or the band leaves out `layer`.
        NotApplicableError: what is added there cannot reach the answer.
    """
    layers = steered_layers(band, layer)
    model.check_layers(layers)
    if layer not in layers:
        raise EmoexpError(
            f"experiment.band={list(layers)} leaves out layer={layer}, at which r is read: set "
            f"layer to one of {', '.join(map(str, layers))}, or add {layer} to the band"
        )
    if layers[0] > (last := model.last_steerable_layer):
        raise NotApplicableError(
            f"V10, V11: what is added at layer {layers[0]} on an activity's tokens cannot reach "
            "the answer, since no block above it makes keys and values of its own; choose a layer "
            f"up to {last}"
        )
    return layers
