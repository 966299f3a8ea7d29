"""Preferences by full forwards, one prompt at a time: slow, and right by construction."""

from __future__ import annotations

import numpy as np
import torch

from emoexp.config import SteeringSpan
from emoexp.models.prompts import token_mask
from emoexp.models.subject import Steering
from emoexp.steering.preference import Preferences, marks


def exact_margins(
    preferences: Preferences,
    i: int,
    others: list[int],
    span: SteeringSpan,
    band: tuple[int, ...],
    vector: torch.Tensor,
) -> np.ndarray:
    """The slow path: full forwards, one prompt at a time, masks from the prompt's own spans."""
    model, found = preferences.model, []
    for j in others:
        prompt = preferences.prompt(i, j)
        encoding = model.encode([prompt])
        names = marks(span, (bool(preferences.steered[i]), bool(preferences.steered[j])))
        steering = None
        if names:
            mask = token_mask([prompt], names, encoding)
            steering = Steering({layer: vector[None, b] for b, layer in enumerate(band)}, mask)
        logits = model.next_token_logits(encoding, steering)[0]
        a, b = preferences.options
        found.append(float(logits[a] - logits[b]))
    return np.array(found)
