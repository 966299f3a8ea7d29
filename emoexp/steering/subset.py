"""Choices of a steering run: its layers, its emotions, and the activities that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from emoexp.errors import EmoexpError, require
from emoexp.stats.intervals import correlate_columns
from emoexp.steering.preference import Preferences


def steered_layers(band: Sequence[int] | None, layer: int) -> tuple[int, ...]:
    """Returns the layers of a band, ascending, or the one `layer` if there is no band."""
    return (layer,) if band is None else tuple(sorted(band))


def check_number(n: int, default: int, known: int) -> None:
    """Raises EmoexpError where `n` emotions are asked for and fewer are `known`; the default number
    means all of them there."""
    require(
        n <= known or n == default,
        f"n_emotions={n}: the run has {known} (emotions=...): at most {known}",
    )


def spread(
    r: np.ndarray, names: tuple[str, ...], n: int, exemplars: Sequence[str]
) -> tuple[str, ...]:
    """Chooses `n` emotions at even steps of the rank of r, the exemplars among them; all if there
    are no more than `n`.

    Where an exemplar is at none of the steps, the others are chosen at even steps of what is left.

    Args:
        r: of each of `names`.

    Returns:
        the chosen, in the order of `names`.
    """
    picked = set(_at_even_steps(r, names, n))
    if not picked.issuperset(exemplars):
        others = [k for k, e in enumerate(names) if e not in exemplars]
        rest = tuple(names[k] for k in others)
        picked = {*exemplars, *_at_even_steps(r[others], rest, n - len(exemplars))}
    return tuple(e for e in names if e in picked)


def _at_even_steps(r: np.ndarray, names: tuple[str, ...], n: int) -> tuple[str, ...]:
    if n >= len(names):
        return names
    order = np.argsort(r)
    steps = np.linspace(0, len(names) - 1, n).round().astype(int)
    return tuple(names[order[i]] for i in steps)


def representatives(ratings: np.ndarray, steered: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Chooses `n` activities that span the range of ratings, half of them of the steered half.

    Either half is divided by rating into n / 2 groups, and one activity is drawn from each.

    Args:
        ratings: (activity,).
        steered: (activity,), bool.

    Returns:
        their indices, ascending; all activities if `n` is not below their number.

    Raises:
        EmoexpError: a half has fewer than n / 2 activities.
    """
    if n >= len(ratings):
        return np.arange(len(ratings))
    halves = [np.flatnonzero(steered == on) for on in (True, False)]
    rng = np.random.default_rng(seed)
    if (fewest := min(map(len, halves))) < n // 2:
        raise EmoexpError(
            f"experiment.activities={n}: the smaller half of the pack has {fewest}, so at most "
            f"{2 * fewest}"
        )
    by_rating = [half[np.argsort(ratings[half])] for half in halves]
    groups = [group for half in by_rating for group in np.array_split(half, n // 2)]
    return np.sort([rng.choice(group) for group in groups])


def subset(preferences: Preferences, chosen: np.ndarray) -> Preferences:
    """Returns the preferences between some of the activities, as if they were a whole pack.

    Args:
        chosen: indices of the activities.
    """
    stimuli = preferences.stimuli
    activities = tuple(stimuli.activities[k] for k in chosen)
    return Preferences(preferences.model, replace(stimuli, activities=activities))


def same_order(moved: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Returns Spearman's rank correlation of each row with `ratings`.

    Args:
        moved: (direction, activity).
        ratings: (activity,).

    Returns:
        (direction,).
    """
    return correlate_columns(rankdata(moved, axis=1).T, rankdata(ratings))
