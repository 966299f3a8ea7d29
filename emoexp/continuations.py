"""Prompts with tokens after them, as they were generated: never text read anew, which a tokenizer may cut otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.model import SubjectModel
from emoexp.prompts import Encoding, Prompt, pad, reply_mask


@dataclass(frozen=True)
class Continued:
    """Left-padded prompts, each with a continuation; `reply` (row, token) is true on the continuation's tokens."""

    prompts: tuple[Prompt, ...]
    encoding: Encoding
    reply: Tensor

    def rows(self, indices: list[int]) -> Continued:
        return Continued(tuple(self.prompts[i] for i in indices), self.encoding.rows(indices), self.reply[indices])

    def steered(self, span: ReplySpan) -> Tensor:
        """What is steered where a reply made under `span` is read again: the prompt's part of it, and every token of the reply; (row, token)."""
        return reply_mask(self.prompts, span, self.encoding) | self.reply


def continued(model: SubjectModel, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]]) -> Continued:
    """`prompts` with the ids of `replies` after them; an empty reply leaves its prompt as it is."""
    encoding = model.encode(prompts)
    rows, offsets = [], []
    for r, reply in enumerate(replies):
        real = encoding.mask[r]
        marks = list(zip(encoding.starts[r][real].tolist(), encoding.ends[r][real].tolist(), strict=True))
        rows.append([*encoding.ids[r][real].tolist(), *reply])
        offsets.append([*marks, *[(-1, -1)] * len(reply)])
    if len(rows) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts with {len(rows)} replies")
    whole = pad(rows, offsets, pad_id=model.tokenizer.pad_token_id or 0, side="left")
    width = whole.ids.shape[1]
    lengths = torch.tensor([len(reply) for reply in replies])
    return Continued(tuple(prompts), whole, torch.arange(width)[None] >= width - lengths[:, None])


def batches(rows: int, width: int, batch_tokens: int) -> Iterator[list[int]]:
    """Row indices in parts of at most `batch_tokens` padded tokens (at least one row)."""
    size = max(1, batch_tokens // width)
    for start in range(0, rows, size):
        yield list(range(start, min(rows, start + size)))


def next_ids(model: SubjectModel, prompt: Prompt, word: str) -> tuple[int, ...]:
    """The ids of `word` where it follows `prompt` after a space.

    Raises:
        EmoexpError: the tokenizer merges the word with what stands before it.
    """
    before, both = (model.tokenizer(text, add_special_tokens=prompt.special_tokens)["input_ids"] for text in (prompt.text, f"{prompt.text} {word}"))
    if both[: len(before)] != before or len(both) == len(before):
        raise EmoexpError(f"the tokenizer does not read {word!r} after {prompt.text[-20:]!r} as tokens of its own")
    return tuple(both[len(before) :])
