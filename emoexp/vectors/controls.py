"""Control directions: random directions, which show the effect of any direction of that norm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def direction_rng(seed: int, layer: int, model_identity: Mapping[str, Any]) -> np.random.Generator:
    """Returns the generator from which control directions of one layer of one model are drawn.

    Each layer and each model has draws of its own, so that the nulls of a sweep are independent. A
    model is identified by its files, or by its repository where there are none, not by its path or
    dtype.
    """
    files = model_identity.get("files")
    name = files or [model_identity.get(key) for key in ("repo_id", "revision")]
    digest = hashlib.sha256(json.dumps(name).encode()).digest()
    return np.random.default_rng([seed, layer, int.from_bytes(digest[:8], "big")])


def isotropic_directions(n: int, d_model: int, rng: np.random.Generator) -> np.ndarray:
    """Draws unit vectors, every direction equally likely; (n, d_model)."""
    draws = rng.standard_normal((n, d_model))
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))


def mixture_directions(n: int, directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws unit vectors within the span of `directions`: normal mixtures of them; (n, d_model)."""
    draws = rng.standard_normal((n, len(directions))) @ directions
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))
