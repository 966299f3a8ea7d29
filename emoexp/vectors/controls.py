"""Control directions.

Random directions show the effect of any direction of that norm. Vectors of shuffled labels show the
effect of any vector that these stories give by the same method: the labels carry nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.vectors import directions_of


def direction_rng(
    seed: int, layer: int, model_identity: Mapping[str, Any], *stream: int
) -> np.random.Generator:
    """Returns the generator from which control directions of one layer of one model are drawn.

    Each layer and each model has draws of its own, so that the nulls of a sweep are independent. A
    model is identified by its files, or by its repository where there are none, not by its path or
    dtype. `stream` tells draws apart that must not share their numbers.
    """
    files = model_identity.get("files")
    name = files or [model_identity.get(key) for key in ("repo_id", "revision")]
    digest = hashlib.sha256(json.dumps(name).encode()).digest()
    return np.random.default_rng([seed, layer, int.from_bytes(digest[:8], "big"), *stream])


def isotropic_directions(n: int, d_model: int, rng: np.random.Generator) -> np.ndarray:
    """Draws unit vectors, every direction equally likely; (n, d_model)."""
    draws = rng.standard_normal((n, d_model))
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))


def mixture_directions(n: int, directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws unit vectors within the span of `directions`: normal mixtures of them; (n, d_model)."""
    draws = rng.standard_normal((n, len(directions))) @ directions
    return np.asarray(draws / np.linalg.norm(draws, axis=1, keepdims=True))


def shuffled_means(groups: StoryGroups, rng: np.random.Generator) -> np.ndarray:
    """Returns emotions' means with the labels shuffled; (emotion, d_model), float64.

    Group g of each emotion holds stories on the same topics where the emotions share their topics,
    so the labels are shuffled among the groups g of all emotions: each shuffled emotion has as many
    groups as before, on the same topics, of emotions drawn at random.
    """
    sums = np.zeros((len(groups.emotions), groups.means.shape[2]))
    weights = np.zeros(len(groups.emotions))
    for g in range(groups.counts.shape[1]):
        filled = np.flatnonzero(groups.counts[:, g])
        source = rng.permutation(filled)
        n = groups.counts[source, g]
        sums[filled] += n[:, None] * groups.means[source, g].astype(np.float64)
        weights[filled] += n
    return np.asarray(sums / weights[:, None])


def shuffled_directions(
    groups: StoryGroups, components: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws sets of vectors from shuffled labels, by the same steps as the emotion vectors.

    Args:
        groups: the stories, in groups.
        components: neutral components, which are projected out; (component, d_model).
        n: how many sets are drawn.

    Returns:
        unit vectors; (n, emotion, d_model).
    """
    return np.stack(
        [directions_of(shuffled_means(groups, rng), components, groups.emotions) for _ in range(n)]
    )
