"""Conditions of a trial: unsteered, steered with an emotion, and two controls of the same size.

The controls are of the same norm and the same signed strength, and spread their trials over several
directions:

- isotropic random: random directions, every one alike. What they do, any push of that size does.
- other emotions: vectors of emotions drawn at random among those that are not tested. What they do,
  any emotion does.

Neither depends on the emotion that it controls, so the emotions tested share the controls of a
strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoexp.errors import require
from emoexp.stats.labels import ISOTROPIC, OTHER_EMOTIONS
from emoexp.store.artifacts import array_key, key_of
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.vectors import EmotionVectors

BASELINE, EMOTION = "baseline", "emotion"
"""Kinds of conditions; the others are ISOTROPIC and OTHER_EMOTIONS."""


def title_of(kind: str, name: str, strength: float) -> str:
    """Returns a condition's name in tables, such as "desperate +0.05"."""
    return name if kind == BASELINE else f"{name} {strength:+g}"


@dataclass(frozen=True, eq=False)
class Condition:
    """Trials that are steered alike. Equal to itself only, so that it can be a key.

    Attributes:
        kind: BASELINE, EMOTION, ISOTROPIC or OTHER_EMOTIONS.
        name: the emotion, or the kind.
        strength: signed, in multiples of the mean residual norm of each layer; 0 for the baseline.
        labels: of the directions.
        directions: unit norm (zero for the baseline); (direction, layer of the band, d_model).
        norms: mean residual norm of each layer of the band.
    """

    kind: str
    name: str
    strength: float
    labels: tuple[str, ...]
    directions: np.ndarray
    norms: tuple[float, ...]

    @property
    def title(self) -> str:
        """Returns the condition's name in tables."""
        return title_of(self.kind, self.name, self.strength)

    def direction(self, k: int, scenes: int) -> int:
        """Which direction trial `k` is steered with: the next one for each trial, and one more
        whenever the scenes come round."""
        return (k + k // scenes) % len(self.directions)

    def added(self, direction: int) -> np.ndarray:
        """What is added to the residual stream; (layer of the band, d_model)."""
        return self.strength * np.array(self.norms)[:, None] * self.directions[direction]

    def key(self, direction: int, place: object) -> str:
        """Sixteen hex digits of what is added, and at what `place` (layers and span).

        Rounded (`array_key`): the last bits of a direction depend on the number of threads.
        """
        if self.kind == BASELINE:
            return key_of({"added": None})
        sizes = [f"{self.strength * norm:.4g}" for norm in self.norms]
        return key_of(
            {"direction": array_key(self.directions[direction]), "sizes": sizes, "place": place}
        )


def other_emotions(names: Sequence[str], emotions: Sequence[str]) -> list[str]:
    """Returns the emotions under study that are not tested.

    Raises:
        EmoexpError: a tested emotion has no vector, or there is no other emotion.
    """
    unknown = ", ".join(e for e in emotions if e not in names)
    some = f"{len(names)}, such as {', '.join(names[:8])} (see emotions=...)"
    require(not unknown, f"experiment.emotions: no vector of {unknown}; there are {some}")
    others = [e for e in names if e not in emotions]
    none = "all emotions under study are tested, and none is left as a control"
    require(bool(others), f"experiment.emotions: {none}; take more with emotions=...")
    return others


def conditions_of(
    by_layer: Sequence[EmotionVectors],
    emotions: Sequence[str],
    strengths: Sequence[float],
    n_random: int,
    rng: np.random.Generator,
) -> list[Condition]:
    """The baseline, every emotion at every strength, and both controls at every strength.

    Args:
        by_layer: the vectors of each layer of the band.
        strengths: signed.
        n_random: directions of each control, or fewer where there are fewer other emotions.

    Raises:
        EmoexpError: an emotion has no vector, or there is no other emotion.
    """
    others = other_emotions(by_layer[0].names, emotions)
    width = by_layer[0].directions.shape[1]
    drawn = tuple(others[i] for i in rng.permutation(len(others))[:n_random])
    random = np.repeat(isotropic_directions(n_random, width, rng)[:, None], len(by_layer), 1)
    numbered = tuple(f"{ISOTROPIC} {i}" for i in range(n_random))
    norms = tuple(v.residual_norm for v in by_layer)

    def vectors(of: Sequence[str]) -> np.ndarray:
        return np.stack([v.only(tuple(of)) for v in by_layer], 1)

    nothing = np.zeros((1, len(by_layer), width))
    found = [Condition(BASELINE, BASELINE, 0.0, (BASELINE,), nothing, norms)]
    found += [
        Condition(EMOTION, e, s, (e,), vectors([e]), norms) for e in emotions for s in strengths
    ]
    for s in strengths:
        found.append(Condition(ISOTROPIC, ISOTROPIC, s, numbered, random, norms))
        found.append(Condition(OTHER_EMOTIONS, OTHER_EMOTIONS, s, drawn, vectors(drawn), norms))
    return found
