"""Ratings from win probabilities: Elo as published, and Bradley-Terry, which does not depend on the
order of games."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

ELO_K = 32.0
ELO_PASSES = 10
ELO_MEAN = 1500.0
"""The paper's Table 9 has a mean of exactly 1500; K and passes are the Llama reproduction's."""
PRIOR_SD = 1000.0
"""Bradley-Terry: standard deviation of the normal prior on ratings, in Elo points. Weak: it only
stops saturated wins from running off."""
ELO_SCALE = 400.0 / np.log(10.0)


def win_probabilities(margins: np.ndarray) -> np.ndarray:
    """Returns P(i is preferred to j), averaged over both orders.

    Args:
        margins: logit(A) - logit(B) with i as A and j as B; (..., i, j), the diagonal ignored.

    Returns:
        (..., i, j), with w + w^T = 1 off the diagonal and 0.5 on it.

    Raises:
        ValueError: a margin is not a number.
    """
    p = expit(np.asarray(margins, dtype=np.float64))
    wins = (p + 1 - p.swapaxes(-1, -2)) / 2
    n = wins.shape[-1]
    wins[..., np.arange(n), np.arange(n)] = 0.5
    if not np.isfinite(wins).all():
        raise ValueError("a win probability is not a number: a margin is missing")
    return wins


def position_bias(margins: np.ndarray) -> float:
    """Returns the mean P(the option named first is chosen) - 0.5 over all ordered pairs."""
    off = ~np.eye(margins.shape[-1], dtype=bool)
    return float(expit(margins[off].astype(np.float64)).mean() - 0.5)


def elo(wins: np.ndarray, seed: int) -> np.ndarray:
    """Computes sequential Elo over all pairs, `ELO_PASSES` times in an order drawn from `seed`.

    Wins are fractional; the mean is 1500.

    Args:
        wins: (..., i, j). All leading entries have the same games in the same order, so differences
            between them are not noise of the order.

    Returns:
        (..., i).
    """
    n = wins.shape[-1]
    first, second = np.triu_indices(n, 1)
    flat = wins.reshape(-1, n, n)
    ratings = np.full((len(flat), n), ELO_MEAN)
    rng = np.random.default_rng(seed)
    for _ in range(ELO_PASSES):
        for g in rng.permutation(len(first)):
            i, j = first[g], second[g]
            expected = expit((ratings[:, i] - ratings[:, j]) / ELO_SCALE)
            change = ELO_K * (flat[:, i, j] - expected)
            ratings[:, i] += change
            ratings[:, j] -= change
    return ratings.reshape(wins.shape[:-1])


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Estimates ratings of one win matrix (i, j) by maximum a posteriori, weak normal prior.

    Returns:
        (i,), in Elo points, mean 1500.
    """
    precision = (ELO_SCALE / PRIOR_SD) ** 2
    upper = np.triu(np.ones_like(wins), 1)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        gap = theta[:, None] - theta[None, :]
        loss = np.sum(upper * (np.logaddexp(0, -gap) * wins + np.logaddexp(0, gap) * (1 - wins)))
        gradient = (expit(gap) - wins).sum(1) + precision * theta
        return float(loss + 0.5 * precision * theta @ theta), gradient

    fit = minimize(
        objective,
        np.zeros(len(wins)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-9},
    )
    theta = np.asarray(fit.x)
    return ELO_MEAN + ELO_SCALE * (theta - theta.mean())
