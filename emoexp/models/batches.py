"""Texts of like length together: padding is work for nothing."""

from __future__ import annotations

from collections.abc import Sequence

PADDING = 0.05
"""Most padding in a batch, over its real tokens: with less, batches become too small to keep the
hardware busy."""


def length_batches(
    lengths: Sequence[int], batch_tokens: int, padding: float = PADDING
) -> list[list[int]]:
    """Indices sorted by length and cut so that no padded batch exceeds `batch_tokens` (one text at
    the least), nor has more than `padding` over its real tokens."""
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
