"""What the hardware allows: floating-point operations and bytes from the shapes, over a measured
matrix product and a measured copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.race import timed


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    ff: int
    vocabulary: int | None = None
    """null: the tokenizer's."""

    @property
    def block_weights(self) -> int:
        """Entries of one block's matrices."""
        kv = self.d_model * self.kv_heads // self.heads
        return 2 * self.d_model**2 + 2 * self.d_model * kv + 3 * self.d_model * self.ff

    @property
    def kv_width(self) -> int:
        """Entries of keys and values of one token in one block."""
        return 2 * self.d_model * self.kv_heads // self.heads

    def flops(self, tokens: float, attended: float, layers: float | None = None) -> float:
        """Of `tokens` tokens in `layers` blocks (all of them); `attended` is the sum over these
        tokens of how many tokens each looks at."""
        return (self.layers if layers is None else layers) * (
            2.0 * self.block_weights * tokens + 4.0 * self.d_model * attended
        )

    def read_last(self, length: int, start: int = 0, layers: int | None = None) -> float:
        """Of the tokens start..length-1 in `layers` blocks (all of them), where nothing but the
        last token is read: of the others the last block makes keys and values only."""
        layers = self.layers if layers is None else layers
        keys = 2.0 * self.d_model * self.kv_width * (length - start - 1)
        return (
            self.flops(length - start, causal(length, start), layers - 1)
            + keys
            + self.flops(1, length, 1)
            if layers
            else 0.0
        )

    def keys_of(self, length: int, layers: int | None = None) -> float:
        """Of a prefix of `length` tokens in `layers` blocks, of which nothing but keys and values
        is wanted."""
        layers = self.layers if layers is None else layers
        return (
            self.flops(length, causal(length), layers - 1)
            + 2.0 * self.d_model * self.kv_width * length
            if layers
            else 0.0
        )


def causal(length: int, start: int = 0) -> float:
    """How many tokens the tokens start..length-1 look at together."""
    return (length * (length + 1) - start * (start + 1)) / 2


SHAPES = {
    "tiny": Shape(layers=4, d_model=64, heads=4, kv_heads=2, ff=128),
    "small": Shape(layers=12, d_model=512, heads=8, kv_heads=8, ff=1408),
    "organism": Shape(layers=8, d_model=128, heads=4, kv_heads=4, ff=384),
    "smollm2": Shape(layers=30, d_model=576, heads=9, kv_heads=3, ff=1536, vocabulary=49152),
    "8b": Shape(layers=32, d_model=4096, heads=32, kv_heads=8, ff=14336, vocabulary=128256),
}

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOP/s on the data sheet."""


@dataclass(frozen=True)
class Rates:
    """Measured here: FLOP/s of a matrix product and bytes/s of a copy (each byte read and written),
    the best of several."""

    flops: float
    bytes: float

    def seconds(self, flops: float, read: float = 0.0) -> float:
        """The least time for so many operations and so many bytes read, if both go on at once."""
        return max(flops / self.flops, read / (2 * self.bytes))


@torch.no_grad()
def measure_rates(device: torch.device, dtype: torch.dtype, tries: int = 7) -> Rates:
    """The best of `tries` matrix products (as wide as pays) and of as many copies larger than any
    cache."""
    on_gpu = device.type == "cuda"
    n = 8192 if on_gpu else 1536
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    size = 2**30 if on_gpu else 2**27
    source, target = (
        torch.empty(size, dtype=torch.uint8, device=device).fill_(1) for _ in range(2)
    )

    def best(run: Any) -> float:
        run()
        return min(timed(run) for _ in range(tries))

    return Rates(2.0 * n**3 / best(lambda: a @ b), size / best(lambda: target.copy_(source)))
