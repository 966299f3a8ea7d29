"""Steered answers in each cell of a grid of layers and strengths, stored cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoexp.config import SteeringSpan
from emoexp.steering.preference import Preferences
from emoexp.steering.replay import PrefixReplay
from emoexp.store.artifacts import Artifacts, Row, array_key

KIND = "steering_map"


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
