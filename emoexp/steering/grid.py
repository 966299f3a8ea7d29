"""A steering map: its layers and directions, the answers in each cell (layer x strength), which are
stored cell by cell, and what steering does there to the Elo of a subset of the activities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emoexp.config import SteeringSpan
from emoexp.errors import NotApplicableError
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, SUBTRACTED
from emoexp.stats.ratings import elo, win_probabilities
from emoexp.steering.preference import Preferences
from emoexp.steering.replay import PrefixReplay
from emoexp.steering.sets import DirectionSets, numbered
from emoexp.steering.subset import same_order
from emoexp.store.artifacts import Artifacts, Row, array_key
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.vectors import EmotionVectors

KIND = "steering_map"
MOST_LAYERS = 12
"""Layers of a map that names none."""


def grid_layers(model: SubjectModel, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Returns the layers of a map, ascending; null is every k-th up to the last that reaches.

    Raises:
        EmoexpError: the model does not have a layer.
        NotApplicableError: what is added there cannot reach the answer.
    """
    last = model.last_steerable_layer
    if layers is None:
        step = -(-(last + 1) // MOST_LAYERS)
        return tuple(range(step - 1, last + 1, step))
    model.check_layers(layers)
    if max(layers) > last:
        raise NotApplicableError(
            f"steering_map: what is added at layer {max(layers)} on an activity's tokens cannot "
            f"reach the answer; choose layers up to {last}"
        )
    return tuple(sorted(layers))


def grid_sets(
    vectors: EmotionVectors,
    emotions: tuple[str, ...],
    exemplars: tuple[str, ...],
    rng: np.random.Generator,
) -> tuple[DirectionSets, np.ndarray]:
    """Returns the directions of one layer: emotions, as many isotropic ones, exemplars subtracted.

    Returns:
        the sets, (direction, 1, d_model), and the sign with which each is added; (direction,).
    """
    width, n = vectors.directions.shape[1], len(emotions)
    own = vectors.only(exemplars) if exemplars else np.zeros((0, width))
    sets = DirectionSets.of(
        {
            EMOTIONS: (emotions, vectors.only(emotions)[:, None]),
            ISOTROPIC: (numbered(ISOTROPIC, n), isotropic_directions(n, width, rng)[:, None]),
            SUBTRACTED: (exemplars, own[:, None]),
        }
    )
    return sets, np.where(np.array(sets.sets) == SUBTRACTED, -1.0, 1.0)


def answers_by_strength(
    preferences: Preferences,
    artifacts: Artifacts,
    span: SteeringSpan,
    layer: int,
    added: np.ndarray,
    strengths: Sequence[float],
) -> list[Row]:
    """Returns the answers at each strength; each is one artifact row, so a killed map resumes.

    Args:
        added: what strength 1 adds; (direction, d_model).

    Returns:
        for each strength, `Preferences.answers`: margins and mass, (direction, pair).
    """
    replays = dict[int, PrefixReplay]()
    identity = {
        **preferences.steered_identity(span),
        "layer": layer,
        "vectors": array_key(added),
    }

    def row(label: str) -> Row:
        return preferences.answers(span, (layer,), float(label) * added[:, None], replays)

    title = f"steering map, layer {layer}: strengths, {len(added)} directions each"
    return artifacts.rows(KIND, identity, [repr(float(s)) for s in strengths], row, title)


def unsteered_mass(
    preferences: Preferences, artifacts: Artifacts, span: SteeringSpan, layer: int
) -> float:
    """Returns the mean p(A) + p(B) of the unsteered model over the pairs that steering affects.

    Args:
        layer: any that can be steered; nothing is added there.
    """
    nothing = np.zeros((1, 1, preferences.model.d_model))

    def row(_: str) -> Row:
        return preferences.answers(span, (layer,), nothing, {})

    identity = preferences.steered_identity(span)
    rows = artifacts.rows(KIND, identity, ["unsteered"], row, "steering map, unsteered")
    return float(rows[0]["mass"].astype(np.float64).mean())


@dataclass(frozen=True)
class SubsetElo:
    """The Elo of a subset of activities, unsteered and steered.

    Attributes:
        preferences: between the activities of the subset.
        baseline: unsteered margins between them; (i, j).
        mass: mean p(A) + p(B) of the unsteered model over the affected pairs.
        seed: of the order of the games.
    """

    preferences: Preferences
    baseline: np.ndarray
    mass: float
    seed: int

    @cached_property
    def ratings(self) -> np.ndarray:
        """Unsteered Elo; (activity,)."""
        return elo(win_probabilities(self.baseline), self.seed)

    def effects(self, answer: Row) -> dict[str, np.ndarray]:
        """Returns what each direction does in a cell; arrays (direction,).

        `delta_elo` of the steered half, `coherence` (p(A) + p(B) relative to the unsteered model's)
        and the rank correlation of Elo with and without steering, of the steered activities
        (`order_kept`) and of the others (`order_unsteered`).
        """
        steered = self.preferences.steered
        margins = np.repeat(self.baseline[None], len(answer["margins"]), 0)
        margins[:, *self.preferences.affected_pairs] = answer["margins"]
        moved = elo(win_probabilities(margins), self.seed)
        return {
            "delta_elo": (moved - self.ratings)[:, steered].mean(1),
            "coherence": answer["mass"].astype(np.float64).mean(1) / self.mass,
            "order_kept": same_order(moved[:, steered], self.ratings[steered]),
            "order_unsteered": same_order(moved[:, ~steered], self.ratings[~steered]),
        }
