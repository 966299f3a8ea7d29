"""Logit lens: vectors as logits over the vocabulary, and the rank of an emotion's own word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emoexp.store.progress import track

LOGITS_AT_ONCE = 2**25
"""Largest number of logits in memory at once: 256 MB of float64."""
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


def own_words(lens: np.ndarray, words: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Ranks each emotion's own word in its row; columns emotion, rank_of_own_word, single_token.

    Args:
        lens: (emotion, vocabulary), in the order of `words`.
        words: the tokens of each emotion's word.
    """
    return pd.DataFrame(
        {
            "emotion": list(words),
            "rank_of_own_word": [rank_of(lens[i], words[e]) for i, e in enumerate(words)],
            "single_token": [len(ids) == 1 for ids in words.values()],
        }
    )


def shuffled_lens(
    unembed: Callable[[np.ndarray], np.ndarray],
    directions: np.ndarray,
    words: Mapping[str, Sequence[int]],
    pairs: Sequence[tuple[str, str]],
    top: int,
    vocabulary: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measures own words and opposite pairs of vectors of shuffled labels.

    Args:
        directions: (draw, emotion, d_model), in the order of `words`.
        vocabulary: number of tokens; draws are unembedded together, `LOGITS_AT_ONCE` at most.

    Returns:
        whether each own word is within `top`, 0 or 1, (draw, emotion); and the dot product of each
        pair in centred logit space, (draw, pair).
    """
    names, hits, dots = list(words), [], []
    paired = [name for name in names if any(name in pair for pair in pairs)]
    together = max(1, LOGITS_AT_ONCE // (len(names) * vocabulary))
    blocks = np.array_split(directions, -(-len(directions) // together))
    for block in track(blocks, "lens, shuffled labels"):
        logits = unembed(block.reshape(-1, block.shape[2])).reshape(*block.shape[:2], -1)
        for lens in logits:
            own = zip(lens, words.values(), strict=True)
            hits.append([int(rank_of(row, ids) < top) for row, ids in own])
            some = lens[[names.index(name) for name in paired]]
            dots.append(opposition(centre(some), pairs, paired) if pairs else np.zeros(0))
    return (
        pd.DataFrame(hits, columns=names),
        pd.DataFrame(np.array(dots), columns=list(map(", ".join, pairs))),
    )
