"""Control directions.

Random directions show the effect of any direction of that norm. Vectors of shuffled labels show the
effect of any vector that these stories give by the same method: the labels carry nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import sparse

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


def shuffled_weights(counts: np.ndarray, rng: np.random.Generator) -> sparse.csr_array:
    """Draws which groups of stories each shuffled emotion has, as weights that sum to 1.

    Group g of each emotion holds stories on the same topics where the emotions share their topics,
    so the labels are shuffled among the groups g of all emotions: each shuffled emotion has as many
    groups as before, on the same topics, of emotions drawn at random.

    Args:
        counts: stories in each group; (emotion, group).

    Returns:
        (shuffled emotion, emotion x group).
    """
    n, n_groups = counts.shape
    filled = [np.flatnonzero(column) for column in counts.T]
    source = [rng.permutation(emotions) for emotions in filled]
    taken = np.concatenate([e * n_groups + g for g, e in enumerate(source)])
    weights = counts.ravel()[taken].astype(np.float64)
    labels = np.concatenate(filled)
    weights /= np.bincount(labels, weights, n)[labels]
    return sparse.csr_array((weights, (labels, taken)), shape=(n, n * n_groups))


def each_shuffle(
    groups: StoryGroups, components: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields `n` sets of vectors from shuffled labels, by the same steps as the emotion vectors;
    (emotion, d_model) each.

    Args:
        groups: the stories, in groups.
        components: neutral components, which are projected out; (component, d_model).
    """
    means = groups.means.reshape(groups.counts.size, -1).astype(np.float64)
    for _ in range(n):
        shuffled = shuffled_weights(groups.counts, rng) @ means
        yield directions_of(shuffled, components, groups.emotions)


def shuffled_directions(
    groups: StoryGroups, components: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws `n` sets of vectors from shuffled labels (`each_shuffle`); (n, emotion, d_model)."""
    return np.stack(list(each_shuffle(groups, components, n, rng)))
