"""Detects where generated text degenerates: by repetition of its own n-grams, and by surprise of
the unsteered model.

The rule is for steered texts beside unsteered texts of the same prompts. A text
degenerates at the first token of the first window of WINDOW tokens that

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


def repeats(ids: Sequence[int], n: int = 3) -> np.ndarray:
    """For each n-gram of `ids`, whether it has occurred before; (len(ids) - n + 1,), empty for a
    shorter text."""
    seen, found = set[tuple[int, ...]](), []
    for gram in zip(*(ids[k:] for k in range(n)), strict=False):
        found.append(gram in seen)
        seen.add(gram)
    return np.array(found, dtype=bool)


def repetition(ids: Sequence[int], n: int = 3) -> float:
    """Share of the n-grams of `ids` that have occurred before in it: 0 for a text without a
    repetition or shorter than n, near 1 for a loop."""
    found = repeats(ids, n)
    return float(found.mean()) if len(found) else 0.0


def token_surprise(
    model: SubjectModel, prompts: Sequence[Prompt], replies: Generated
) -> list[np.ndarray]:
    """-log p (nats) of each token of each reply under the unsteered model; one array (token,) per
    reply. The end of the text is not counted."""
    whole = continued(model, prompts, replies.ids)
    found: list[np.ndarray] = []
    for part in batches(len(prompts), whole.encoding.ids.shape[1], model.config.batch_tokens):
        some = whole.rows(part)
        log_probs = model.log_probs(some.encoding, some.reply)
        found += [
            -row[wanted].double().numpy() for row, wanted in zip(log_probs, some.reply, strict=True)
        ]
    return found


def perplexities(model: SubjectModel, prompts: Sequence[Prompt], replies: Generated) -> np.ndarray:
    """Perplexity of each reply under the unsteered model; (reply,). NaN for an empty reply, which
    has none."""
    return np.array(
        [np.exp(s.mean()) if len(s) else np.nan for s in token_surprise(model, prompts, replies)]
    )


def window_means(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Means of all windows, by their first token; a shorter text is one window, an empty one has
    none."""
    if len(values) == 0:
        return np.zeros(0)
    width = min(window, len(values))
    return np.asarray(
        np.lib.stride_tricks.sliding_window_view(np.asarray(values, np.float64), width).mean(1)
    )


def surprise_limit(unsteered: Sequence[np.ndarray], window: int = WINDOW) -> float:
    """Mean surprise of a window (nats) above which it counts as broken, from the surprises of
    unsteered texts.

    Raises:
        ValueError: all of them are empty.
    """
    means = (
        np.concatenate([window_means(s, window) for s in unsteered])
        if len(unsteered)
        else np.zeros(0)
    )
    if len(means) == 0:
        raise ValueError("no unsteered text has a token to be measured by")
    return float(np.quantile(means, 0.99) + MARGIN)


def find_degeneration(
    ids: Sequence[int], surprise: np.ndarray, limit: float, window: int = WINDOW
) -> Degeneration | None:
    """Finds where a text degenerates by the rule above; None where it does not."""
    looped = np.flatnonzero(window_means(repeats(ids), window) >= REPEATED)
    broken = np.flatnonzero(window_means(surprise, window) > limit)
    found = [
        Degeneration(int(where[0]), why)
        for where, why in ((looped, "repetition"), (broken, "surprise"))
        if len(where)
    ]
    return min(found) if found else None
