"""Prompts followed by tokens as they were generated: the text is never tokenized again, since a
tokenizer may divide it in another way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emoexp.config import ReplySpan
from emoexp.models.prompts import Encoding, Prompt, next_ids, pad, reply_mask
from emoexp.models.subject import LOGITS_AT_ONCE, Steering, SubjectModel


@dataclass(frozen=True)
class Continued:
    """Left-padded prompts, each with a continuation.

    Attributes:
        reply: true on the continuation's tokens; (row, token).
    """

    prompts: tuple[Prompt, ...]
    encoding: Encoding
    reply: Tensor

    def rows(self, indices: list[int]) -> Continued:
        """Returns some of the rows."""
        return Continued(
            tuple(self.prompts[i] for i in indices),
            self.encoding.rows(indices),
            self.reply[indices],
        )

    def steered(self, span: ReplySpan) -> Tensor:
        """Returns which tokens are steered when a reply made under `span` is read again.

        They are the tokens of the prompt that `span` names, and every token of the reply; (row,
        token), bool.
        """
        return reply_mask(self.prompts, span, self.encoding) | self.reply


def continued(
    model: SubjectModel, prompts: Sequence[Prompt], replies: Sequence[Sequence[int]]
) -> Continued:
    """Returns `prompts` with the ids of `replies` after them; a reply may be empty.

    Raises:
        ValueError: there are not as many replies as prompts.
    """
    encoding = model.encode(prompts)
    rows, offsets = [], []
    for r, reply in enumerate(replies):
        real = encoding.mask[r]
        starts, ends = encoding.starts[r][real].tolist(), encoding.ends[r][real].tolist()
        marks = list(zip(starts, ends, strict=True))
        rows.append([*encoding.ids[r][real].tolist(), *reply])
        offsets.append([*marks, *[(-1, -1)] * len(reply)])
    if len(rows) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts with {len(rows)} replies")
    whole = pad(rows, offsets, pad_id=model.tokenizer.pad_token_id or 0, side="left")
    width = whole.ids.shape[1]
    lengths = torch.tensor([len(reply) for reply in replies])
    return Continued(tuple(prompts), whole, torch.arange(width)[None] >= width - lengths[:, None])


def batches(rows: int, width: int, batch_tokens: int) -> Iterator[list[int]]:
    """Yields row indices in parts of at most `batch_tokens` padded tokens (at least one row)."""
    size = max(1, batch_tokens // width)
    for start in range(0, rows, size):
        yield list(range(start, min(rows, start + size)))


class NextWords:
    """The probabilities of given words directly after one prompt that `ask` made.

    The words' beginnings (all their tokens but the last) are the rows of a forward pass, each once:
    words of one token share a single row, and no row of the vocabulary is computed twice.
    """

    def __init__(
        self, model: SubjectModel, prompt: Prompt, words: Sequence[str], span: ReplySpan
    ) -> None:
        self.model = model
        self.ids = [next_ids(model.tokenizer, prompt, word) for word in words]
        stems = sorted({ids[:k] for ids in self.ids for k in range(len(ids))})
        self.row = {stem: r for r, stem in enumerate(stems)}
        self.continued = continued(model, [prompt] * len(stems), stems)
        self.mask = self.continued.steered(span)

    def log_probs(self, layer: int, vector: Tensor | None) -> np.ndarray:
        """Returns the log-probability (nats) of each word, over all its tokens.

        Args:
            vector: what is added at `layer`, None for unsteered; (d_model,).

        Returns:
            (word,), float64.
        """
        encoding, batch_tokens = self.continued.encoding, self.model.config.batch_tokens
        stems = list(self.row)
        followers = [self._followers(stem) for stem in stems]
        # a row of logits may need more memory than its tokens
        logits_width = batch_tokens * len(self.model.tokenizer) // LOGITS_AT_ONCE
        values = dict[tuple[int, ...], float]()
        for part in batches(len(stems), max(encoding.ids.shape[1], logits_width), batch_tokens):
            steering = None if vector is None else Steering({layer: vector[None]}, self.mask[part])
            log_probs = self.model.next_token_logits(encoding.rows(part), steering).log_softmax(-1)
            for r, index in enumerate(part):
                of_followers = log_probs[r, followers[index]].tolist()
                for token, value in zip(followers[index], of_followers, strict=True):
                    values[(*stems[index], token)] = value
        sums = [sum(values[ids[: k + 1]] for k in range(len(ids))) for ids in self.ids]
        self.model.check_logits(torch.tensor(sums))
        return np.array(sums)

    def _followers(self, stem: tuple[int, ...]) -> list[int]:
        """The tokens that follow `stem` in the words, ascending."""
        n = len(stem)
        return sorted({ids[n] for ids in self.ids if ids[:n] == stem and len(ids) > n})
