"""Prompts with tokens after them, as they were generated: never text read anew, which a tokenizer
may cut otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.prompts import Encoding, Prompt, pad, reply_mask
from emoexp.models.subject import LOGITS_AT_ONCE, Steering, SubjectModel


@dataclass(frozen=True)
class Continued:
    """Left-padded prompts, each with a continuation; `reply` (row, token) is true on the
    continuation's tokens."""

    prompts: tuple[Prompt, ...]
    encoding: Encoding
    reply: Tensor

    def rows(self, indices: list[int]) -> Continued:
        return Continued(
            tuple(self.prompts[i] for i in indices),
            self.encoding.rows(indices),
            self.reply[indices],
        )

    def steered(self, span: ReplySpan) -> Tensor:
        """What is steered where a reply made under `span` is read again: the prompt's part of it,
        and every token of the reply; (row, token)."""
        return reply_mask(self.prompts, span, self.encoding) | self.reply


def continued(
    model: SubjectModel, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]]
) -> Continued:
    """`prompts` with the ids of `replies` after them; an empty reply leaves its prompt as it is."""
    encoding = model.encode(prompts)
    rows, offsets = [], []
    for r, reply in enumerate(replies):
        real = encoding.mask[r]
        marks = list(
            zip(encoding.starts[r][real].tolist(), encoding.ends[r][real].tolist(), strict=True)
        )
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
    before, both = (
        model.tokenizer(text, add_special_tokens=prompt.special_tokens)["input_ids"]
        for text in (prompt.text, f"{prompt.text} {word}")
    )
    if both[: len(before)] != before or len(both) == len(before):
        raise EmoexpError(
            f"the tokenizer does not read {word!r} after {prompt.text[-20:]!r} as tokens of its own"
        )
    return tuple(both[len(before) :])


class NextWords:
    """What the model says next after one prompt made by `ask`, of given words.

    The words' beginnings (all their tokens but the last) are the rows of a forward pass, each once:
    words of one token share a single row, and no row of the vocabulary is made twice.
    """

    def __init__(
        self, model: SubjectModel, prompt: Prompt, words: Sequence[str], span: ReplySpan
    ) -> None:
        self.model = model
        self.ids = [next_ids(model, prompt, word) for word in words]
        stems = sorted({ids[:k] for ids in self.ids for k in range(len(ids))})
        self.row = {stem: r for r, stem in enumerate(stems)}
        self.continued = continued(model, [prompt] * len(stems), stems)
        self.mask = self.continued.steered(span)

    def log_probs(self, layer: int, vector: Tensor | None) -> np.ndarray:
        """Log-probability (nats) of each word, all its tokens, with `vector` (d_model,) added at
        `layer`; (word,), float64."""
        encoding, n_vocabulary = self.continued.encoding, len(self.model.tokenizer)
        followers = [
            sorted(
                {
                    ids[len(stem)]
                    for ids in self.ids
                    if ids[: len(stem)] == stem and len(ids) > len(stem)
                }
            )
            for stem in self.row
        ]
        found = dict[tuple[int, ...], float]()
        stems = list(self.row)
        width = max(
            encoding.ids.shape[1], self.model.config.batch_tokens * n_vocabulary // LOGITS_AT_ONCE
        )  # a row of logits may weigh more than its tokens
        for part in batches(len(stems), width, self.model.config.batch_tokens):
            steering = None if vector is None else Steering({layer: vector[None]}, self.mask[part])
            log_probs = self.model.next_token_logits(encoding.rows(part), steering).log_softmax(-1)
            for r, index in enumerate(part):
                values = log_probs[r, followers[index]].tolist()
                found.update(
                    {
                        (*stems[index], token): value
                        for token, value in zip(followers[index], values, strict=True)
                    }
                )
        return np.array([sum(found[ids[: k + 1]] for k in range(len(ids))) for ids in self.ids])
