"""Logit lens: vectors as logits over the vocabulary, and the rank of an emotion's own word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

LISTED = 5
"""How many of the tokens that a vector promotes, and of those that it suppresses, a table lists."""


def rank_of(logits: np.ndarray, ids: Sequence[int]) -> int:
    """Counts the other tokens whose logit is not below that of the word's own token.

    NaN ranks last. A word of several tokens has no token of its own and ranks below all.

    Args:
        logits: (vocabulary,).
        ids: the tokens of the word.
    """
    return int((~(logits < logits[ids[0]])).sum()) - 1 if len(ids) == 1 else len(logits)


def within_top(lens: np.ndarray, words: Sequence[Sequence[int]], top: int) -> np.ndarray:
    """Tells whether `rank_of` is below `top`, for each word in each row.

    Args:
        lens: (row, vocabulary).
        words: the tokens of each word.

    Returns:
        (row, word), bool.
    """
    never = np.full(len(lens), lens.shape[1] < top)
    if top >= lens.shape[1]:
        return np.stack([np.full(len(lens), len(ids) == 1) | never for ids in words], 1)
    # rank < top, ties last: the token lies above the value at rank `top`
    beyond = np.partition(lens, -top - 1, axis=1)[:, -top - 1]
    return np.stack([lens[:, ids[0]] > beyond if len(ids) == 1 else never for ids in words], 1)


def centre(lens: np.ndarray) -> np.ndarray:
    """Subtracts each row's mean over the vocabulary; (row, vocabulary).

    Logits mean the same up to a constant; dot products of them do not.
    """
    return np.asarray(lens - lens.mean(1, keepdims=True))


def opposition(
    lens: np.ndarray, pairs: Sequence[tuple[str, str]], names: Sequence[str]
) -> np.ndarray:
    """Returns the dot product in logit space of the two emotions of each pair; (pair,)."""
    return np.array([lens[names.index(a)] @ lens[names.index(b)] for a, b in pairs])


def extreme_tokens(lens: np.ndarray, tokenizer: Any) -> pd.DataFrame:
    """Lists the `LISTED` tokens that each row promotes (`up`) and suppresses (`down`) most."""

    def text(ids: np.ndarray) -> str:
        return " ".join(tokenizer.decode([token]).strip() for token in ids)

    orders = [np.argsort(row) for row in lens]
    return pd.DataFrame(
        {
            "up": [text(order[::-1][:LISTED]) for order in orders],
            "down": [text(order[:LISTED]) for order in orders],
        }
    )
