"""Prompts with named character spans, and the token masks that come from them by offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from emoexp.config import PromptFormat, ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.chat import chat_of

Range = tuple[int, int]
"""Half-open range of characters."""


@dataclass(frozen=True)
class Prompt:
    """A text as the model will read it. `spans` were marked while it was formatted, never searched
    for."""

    text: str
    spans: Mapping[str, tuple[Range, ...]] = field(default_factory=dict)
    special_tokens: bool = True
    """Whether the tokenizer adds its special tokens (false where a chat template has written them
    already)."""

    def shifted(self, by: int, prefix: str, suffix: str, *, special_tokens: bool) -> Prompt:
        """This prompt inside a longer text, its spans moved along."""
        moved = {
            name: tuple((s + by, e + by) for s, e in ranges) for name, ranges in self.spans.items()
        }
        return Prompt(prefix + self.text + suffix, moved, special_tokens)

    def with_text(self, text: str) -> Prompt:
        """The same prompt with a longer or a shorter end; spans stay where they are."""
        return replace(self, text=text)


def fill(template: str, **parts: str) -> Prompt:
    """`template` with each `{name}` replaced; every part becomes a span of its name.

    Raises:
        EmoexpError: a field of the template is not among `parts`, or a part is not in the template.
    """
    text, spans, rest = "", dict[str, tuple[Range, ...]](), template
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, closed, rest = after.partition("}")
        if not closed or name not in parts:
            raise EmoexpError(
                f"template {template!r} asks for {name!r}; it may use: {', '.join(sorted(parts))}"
            )
        text += before
        spans[name] = (*spans.get(name, ()), (len(text), len(text) + len(parts[name])))
        text += parts[name]
    if missing := sorted(set(parts) - set(spans)):
        raise EmoexpError(f"template {template!r} has no place for {', '.join(missing)}")
    return Prompt(text + rest, spans)


def ask(
    content: Prompt,
    style: PromptFormat,
    tokenizer: Any,
    prefill: str = "",
    system: str | None = None,
) -> Prompt:
    """`content` as a user's turn up to the assistant's first token, then `prefill` as the
    assistant's own start.

    The span "turn" is the start of the assistant's turn and the prefill. A plain prompt's `system`
    stands before "Human:".
    """
    if style is PromptFormat.plain:
        head = f"{system}\n\nHuman: " if system else "Human: "
        turn, special = f"Assistant:{' ' + prefill if prefill else ''}", True
        asked = content.shifted(len(head), head, "\n\n" + turn, special_tokens=special)
    else:
        chat = chat_of(tokenizer, content.text, system)
        turn, special = chat.reply + prefill if prefill else chat.turn, False
        asked = content.shifted(len(chat.head), chat.head, turn, special_tokens=special)
    return replace(
        asked, spans={**asked.spans, "turn": ((len(asked.text) - len(turn), len(asked.text)),)}
    )


@dataclass(frozen=True)
class Encoding:
    """Prompts as padded ids. All four are (row, token); `starts` and `ends` are character offsets,
    -1 where there are none."""

    ids: Tensor
    mask: Tensor
    starts: Tensor
    ends: Tensor

    def rows(self, indices: list[int]) -> Encoding:
        """Some rows (also repeated), still padded."""
        return Encoding(*(t[indices] for t in (self.ids, self.mask, self.starts, self.ends)))

    @property
    def positions(self) -> Tensor:
        """Position ids, counted over real tokens whatever the padding side."""
        return (self.mask.long().cumsum(1) - 1).clamp(min=0)

    @property
    def is_text(self) -> Tensor:
        """True on tokens of the text itself: neither padding nor special tokens such as BOS."""
        return self.ends > self.starts

    @property
    def text_positions(self) -> Tensor:
        """Position within the text: 0 on its first own token (BOS is not counted), -1 before it."""
        return self.is_text.long().cumsum(1) - 1

    @property
    def last(self) -> Tensor:
        """Index of the last real token of each row, under either padding."""
        width = self.mask.shape[1]
        return width - 1 - self.mask.flip(1).long().argmax(1)


@dataclass(frozen=True)
class Tokens:
    """One prompt as token ids, with the character range of each; (-1, -1) for a special token."""

    ids: list[int]
    offsets: list[Range]


def tokenize(prompt: Prompt, tokenizer: Any) -> Tokens:
    """Token ids of one prompt and their character offsets. A double BOS raises EmoexpError."""
    row = tokenizer(
        prompt.text, add_special_tokens=prompt.special_tokens, return_offsets_mapping=True
    )
    bos = tokenizer.bos_token_id
    if bos is not None and row["input_ids"][:2] == [bos, bos]:
        raise EmoexpError(
            f"two BOS tokens at the start of {prompt.text[:40]!r}: "
            "the template and the tokenizer both add one"
        )
    special = set(tokenizer.all_special_ids)
    marks = zip(row["input_ids"], row["offset_mapping"], strict=True)
    offsets = [(-1, -1) if token in special else (int(s), int(e)) for token, (s, e) in marks]
    return Tokens(list(row["input_ids"]), offsets)


def encode(prompts: Sequence[Prompt], tokenizer: Any, side: str = "left") -> Encoding:
    """Prompts as token ids padded on `side`, with offsets. Raises as `tokenize` does."""
    return encode_tokens([tokenize(prompt, tokenizer) for prompt in prompts], tokenizer, side)


def encode_tokens(rows: Sequence[Tokens], tokenizer: Any, side: str = "left") -> Encoding:
    """Tokenized prompts padded on `side`, with offsets."""
    if not rows:
        raise ValueError("no prompts to encode")
    ids, offsets = [row.ids for row in rows], [row.offsets for row in rows]
    return pad(ids, offsets, pad_id=tokenizer.pad_token_id or 0, side=side)


def pad(
    ids: Sequence[Sequence[int]], offsets: Sequence[Sequence[Range]], *, pad_id: int, side: str
) -> Encoding:
    """Rows of unequal length as one Encoding."""
    width = max(len(row) for row in ids)
    shape = (len(ids), width)
    out = (
        torch.full(shape, pad_id),
        torch.zeros(shape, dtype=torch.bool),
        torch.full(shape, -1),
        torch.full(shape, -1),
    )
    for r, (row, marks) in enumerate(zip(ids, offsets, strict=True)):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        out[0][r, where] = torch.tensor(row)
        out[1][r, where] = True
        out[2][r, where] = torch.tensor([s for s, _ in marks])
        out[3][r, where] = torch.tensor([e for _, e in marks])
    return Encoding(*out)


def token_mask(prompts: Sequence[Prompt], spans: Collection[str], encoding: Encoding) -> Tensor:
    """True on the tokens that touch one of the named spans; (row, token).

    Raises:
        EmoexpError: a marked range touches no token, or no prompt has any of the spans.
    """
    mask = torch.zeros_like(encoding.mask)
    for row, prompt in enumerate(prompts):
        for name in spans:
            for start, end in prompt.spans.get(name, ()):
                touched = (
                    (encoding.starts[row] < end)
                    & (encoding.ends[row] > start)
                    & encoding.is_text[row]
                )
                if not touched.any():
                    raise EmoexpError(f"span {name!r} of {prompt.text!r} touches no token")
                mask[row] |= touched
    if not mask.any():
        raise EmoexpError(f"none of the prompts has a span named {' or '.join(sorted(spans))}")
    return mask


def word_ids(tokenizer: Any, word: str) -> list[int]:
    """The ids of `word` where it follows another word, as it would in a sentence (a SentencePiece
    tokenizer writes it differently by itself).

    Raises:
        EmoexpError: the tokenizer merges the word with the one before it.
    """
    before, both = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("feeling", f"feeling {word}")
    )
    if both[: len(before)] != before:
        raise EmoexpError(
            f"the tokenizer does not read {word!r} after another word as tokens of its own"
        )
    return list(both[len(before) :])


def reply_mask(prompts: Sequence[Prompt], span: ReplySpan, encoding: Encoding) -> Tensor:
    """Which tokens of prompts made by `ask` are steered along with the reply; (row, token). BOS
    never is."""
    if span is ReplySpan.generated:
        return torch.zeros_like(encoding.mask)
    first = encoding.is_text if span is ReplySpan.all else token_mask(prompts, ["turn"], encoding)
    return first.cumsum(1).bool() & encoding.mask
