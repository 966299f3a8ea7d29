"""Residual means of texts: one pass, all layers, float64 sums.

A story's mean is over its tokens from the 50th on (positions within the text; BOS is not counted);
an emotion's is over its stories with equal weight. A story with no token left is dropped and
counted, never averaged in as zeros; so is one that is longer than the model's positions, or has
special tokens of the model in its text.

Massive activations: a few tokens of real models ("." or a line break) have a norm 10 to 1000 times
that of all others, and would decide a mean and the unit of strength alone. At each layer a token
above `MASSIVE` times the median norm of its own text is left out of both, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoexp.models.batches import length_batches
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Row

SKIP_TOKENS = 50
GROUPS = 32
"""Groups of stories whose means are stored by emotion, for split halves, shuffled labels and
smaller numbers of stories; fewer where there are fewer stories."""
MASSIVE = 10.0
"""An activation is massive above so many times the median: of the norms of its text's tokens, or of
the mean activation's dimensions (after Sun et al. 2024, "Massive Activations in LLMs")."""
FLOAT64_DEVICES = ("cpu", "cuda")


class Pooled(NamedTuple):
    """Means and norms of one batch of texts.

    Norms are over all tokens of a text but the first of its sequence and massive ones. The first is
    the BOS or, for a model without one, the text's first token: many models use it as an attention
    sink, with a norm 10 to 100 times the others'.

    Attributes:
        texts: indices of the batch's texts.
        kept: which of them have tokens left after the skip that are not massive, at every layer;
            (text,), bool.
        means: zeros where a text is not kept; (text, layer, d_model), float64.
        norm_sum: sums of norms; (text, layer), float64.
        norm_count: numbers of norms; (text, layer).
        massive: numbers of tokens left out; (text, layer).
    """

    texts: list[int]
    kept: np.ndarray
    means: np.ndarray
    norm_sum: np.ndarray
    norm_count: np.ndarray
    massive: np.ndarray


def summing_device(device: torch.device) -> torch.device:
    """Returns the device for float64 sums: `device`, or the CPU if it has no float64 (mps)."""
    return device if device.type in FLOAT64_DEVICES else torch.device("cpu")


def pool_batches(
    model: SubjectModel, texts: Sequence[str], side: str = "right"
) -> Iterator[Pooled]:
    """Yields the means over tokens 50 onward, batch by batch in order of length, of the texts that
    can be read (see `Checked`).

    Raises:
        EmoexpError: the model's activations are not numbers.
    """
    checked = check_texts(model, texts)
    read = [i for i, text in enumerate(checked) if text.reason is None]
    lengths = [checked[i].length for i in read]
    for rows in length_batches(lengths, model.config.batch_tokens):
        batch = [read[row] for row in rows]
        encoding = model.encode([Prompt(texts[i]) for i in batch], side=side)
        device = summing_device(model.device)
        late = (encoding.is_text & (encoding.text_positions >= SKIP_TOKENS)).to(device)
        normed = (encoding.is_text & (encoding.positions > 0)).to(device)

        pool = partial(_pool, late=late, normed=normed)
        layers = model.each_residual(encoding, range(model.n_layers), pool)
        mean, count, norm_sum, massive = (
            torch.stack(part, 1).cpu().numpy() for part in zip(*layers, strict=True)
        )
        norm_count = normed.sum(1).cpu().numpy()[:, None] - massive
        yield Pooled(batch, count.min(1) > 0, mean, norm_sum, norm_count, massive)


class Checked(NamedTuple):
    """A text's length in tokens, the model's own included, and why it is left out; None if it is
    read.

    `short`: no token is left after the skip. `long`: it has more tokens than the model has
    positions. `special`: its text has special tokens of the model, such as the mark of a turn.
    """

    length: int
    reason: str | None


def check_texts(model: SubjectModel, texts: Sequence[str]) -> list[Checked]:
    """Returns the length of each text, and whether it can be read."""
    tokenizer = model.tokenizer
    added = len(tokenizer("")["input_ids"])
    positions, special = model.positions, model.special_ids
    checked = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        length, reason = len(ids) + added, None
        if len(ids) <= SKIP_TOKENS:
            reason = "short"
        elif positions and length > positions:
            reason = "long"
        elif special & set(ids):
            reason = "special"
        checked.append(Checked(length, reason))
    return checked


def massive_tokens(norms: Tensor, normed: Tensor) -> Tensor:
    """Returns which of the tokens that are `normed` have a norm above `MASSIVE` times the median of
    their row; (row, token) each."""
    medians = norms.masked_fill(~normed, torch.nan).nanmedian(1, keepdim=True).values
    return normed & (norms > MASSIVE * medians)


def _pool(residual: Tensor, late: Tensor, normed: Tensor) -> tuple[Tensor, ...]:
    """Pools one layer's residuals (row, token, d_model) without massive tokens, in float64 on the
    device of `late`.

    Returns:
        By row: the mean over tokens that are `late`, how many they are, the sum of norms over
        tokens that are `normed`, and how many of those are massive.
    """
    h = residual.to(late.device).double()
    norms = h.norm(dim=-1)
    massive = massive_tokens(norms, normed)
    used = (late & ~massive).double()
    count = used.sum(1)
    mean = torch.bmm((used / count.clamp(min=1)[:, None])[:, None], h)[:, 0]
    return mean, count, torch.where(normed & ~massive, norms, 0).sum(1), massive.sum(1)


def pool_texts(model: SubjectModel, texts: Sequence[str], side: str = "right") -> np.ndarray:
    """Returns the mean of each text that has tokens left after the skip, in the order of `texts`.

    Memory grows with the texts.

    Returns:
        (text, layer, d_model), float64.
    """
    means = {
        i: mean
        for batch in pool_batches(model, texts, side)
        for i, kept, mean in zip(batch.texts, batch.kept, batch.means, strict=True)
        if kept
    }
    if not means:
        return np.zeros((0, model.n_layers, model.d_model))
    return np.stack([means[i] for i in sorted(means)])


def pool_stories(model: SubjectModel, texts: Sequence[str]) -> Row:
    """Computes the means and norms of an emotion's stories, streamed.

    Peak memory is one batch and the sums, however many stories there are.

    Returns:
        mean (layer, d_model), equal weight per story; n and n_short (); by group: groups (group,
        layer, d_model) in float32, zeros where group_n (group,) is 0; norm_sum, norm_count and
        massive (group, layer). With n = 0, mean and groups are zeros.
    """
    n_groups = min(GROUPS, len(texts))
    sums = np.zeros((n_groups, model.n_layers, model.d_model))
    counts = np.zeros(n_groups, dtype=np.int64)
    norm_sum = np.zeros((n_groups, model.n_layers))
    norm_count, massive = (np.zeros((n_groups, model.n_layers), dtype=np.int64) for _ in range(2))
    for batch in pool_batches(model, texts):
        group = np.array(batch.texts) % n_groups
        np.add.at(sums, group[batch.kept], batch.means[batch.kept])
        np.add.at(counts, group[batch.kept], 1)
        np.add.at(norm_sum, group, batch.norm_sum)
        np.add.at(norm_count, group, batch.norm_count)
        np.add.at(massive, group, batch.massive)
    n = int(counts.sum())
    return {
        "mean": sums.sum(0) / max(n, 1),
        "n": np.array(n),
        "n_short": np.array(len(texts) - n),
        "norm_sum": norm_sum,
        "norm_count": norm_count,
        "massive": massive,
        "groups": (sums / np.maximum(counts, 1)[:, None, None]).astype(np.float32),
        "group_n": counts,
    }
