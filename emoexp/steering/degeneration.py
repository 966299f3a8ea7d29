"""Finds where generated text degenerates: by repetition of its own n-grams, or by surprise under
the unsteered model.

The rule compares steered texts with unsteered texts of the same prompts. A text degenerates at the
first token of the first window of WINDOW tokens that

- repeats: at least REPEATED of the 3-grams that begin in it have occurred in the text before, or
- surprises: its mean surprise under the unsteered model is more than MARGIN nats (a factor of e in
  perplexity) above the 99th percentile of the windows of the unsteered texts.

Unsteered texts are judged by the same rule, so that its false alarms are known. A text shorter than
a window is one window if it ended by itself or was cut; an empty text does not degenerate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emoexp.models.prompts import Prompt
from emoexp.models.subject import Generated, SubjectModel
from emoexp.steering.continuations import batches, continued

WINDOW, REPEATED, MARGIN = 16, 0.5, 1.0


class Degeneration(NamedTuple):
    """The token at which a text degenerates, and why: "repetition" or "surprise"."""

    token: int
    why: str


def repeats(ids: Sequence[int]) -> np.ndarray:
    """Tells for each 3-gram of `ids` whether it has occurred before; (len(ids) - 2,), bool, empty
    for a shorter text."""
    seen = set[tuple[int, ...]]()
    repeated = []
    for gram in zip(ids, ids[1:], ids[2:], strict=False):
        repeated.append(gram in seen)
        seen.add(gram)
    return np.array(repeated, dtype=bool)


def repetition(ids: Sequence[int]) -> float:
    """Returns the share of the 3-grams of `ids` that have occurred in it before.

    It is 0 for a text without a repetition or of fewer than 3 tokens, and near 1 for a loop.
    """
    repeated = repeats(ids)
    return float(repeated.mean()) if len(repeated) else 0.0


def token_surprise(
    model: SubjectModel, prompts: Sequence[Prompt], replies: Generated
) -> list[np.ndarray]:
    """Returns -log p (nats) of each token of each reply under the unsteered model.

    The end of the text is not counted.

    Returns:
        one array (token,) per reply, float64.
    """
    texts = continued(model, prompts, replies.ids)
    surprise: list[np.ndarray] = []
    for part in batches(len(prompts), texts.encoding.ids.shape[1], model.config.batch_tokens):
        batch = texts.rows(part)
        log_probs = model.log_probs(batch.encoding, batch.reply)
        for row, reply in zip(log_probs, batch.reply, strict=True):
            surprise.append(-row[reply].double().numpy())
    return surprise


def window_means(values: np.ndarray) -> np.ndarray:
    """Returns the means of all windows, by their first token.

    A text shorter than a window is one window; an empty one has none.
    """
    if len(values) == 0:
        return np.zeros(0)
    width = min(WINDOW, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, np.float64), width)
    return np.asarray(windows.mean(1))


def surprise_limit(unsteered: Sequence[np.ndarray]) -> float:
    """Returns the mean surprise (nats) above which a window is degenerate.

    Args:
        unsteered: surprise of each token of each unsteered text.

    Raises:
        ValueError: all of them are empty, or there are none.
    """
    means = np.concatenate([np.zeros(0), *map(window_means, unsteered)])
    if len(means) == 0:
        raise ValueError("no unsteered text has a token to be measured by")
    return limit_above(means)


def limit_above(surprise: np.ndarray) -> float:
    """Returns the limit (nats) that mean surprises of unsteered text seldom reach: their 99th
    percentile and MARGIN."""
    return float(np.quantile(np.asarray(surprise, dtype=np.float64), 0.99) + MARGIN)


def find_degeneration(
    ids: Sequence[int], surprise: np.ndarray, limit: float
) -> Degeneration | None:
    """Finds where a text degenerates by the rule above; None if it does not.

    Args:
        surprise: of each token, nats; (token,).
        limit: that of `surprise_limit`.
    """
    windows = {
        "repetition": np.flatnonzero(window_means(repeats(ids)) >= REPEATED),
        "surprise": np.flatnonzero(window_means(surprise) > limit),
    }
    degenerations = [
        Degeneration(int(tokens[0]), why) for why, tokens in windows.items() if len(tokens)
    ]
    return min(degenerations, default=None)
