"""Batches of texts of similar length, since padding tokens cost time without a use."""

from __future__ import annotations

from collections.abc import Sequence

PADDING = 0.05
"""Largest share of padding tokens in a batch, relative to its real tokens: with less, batches
become too small to keep the hardware busy."""


def length_batches(
    lengths: Sequence[int], batch_tokens: int, padding: float = PADDING
) -> list[list[int]]:
    """Sorts the indices by length and cuts them into batches. No padded batch has more than
    `batch_tokens` tokens (but at least one text), nor more padding than the share `padding` of its
    real tokens."""
    batches: list[list[int]] = []
    real = 0
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        real += lengths[index]
        padded = (len(batches[-1]) + 1) * lengths[index] if batches else 0
        if not batches or padded > batch_tokens or padded > (1 + padding) * real:
            batches.append([])
            real = lengths[index]
        batches[-1].append(index)
    return batches
