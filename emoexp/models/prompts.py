"""Prompts with named character spans, and token masks computed from the spans by offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emoexp.config import PLAIN_TURNS, PromptFormat, ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.chat import Exchanges, chat_of

Range = tuple[int, int]
"""Half-open range of characters."""


@dataclass(frozen=True)
class Prompt:
    """A text as the model reads it. `spans` are marked while the text is formatted; they are never
    found by a search in it."""

    text: str
    spans: Mapping[str, tuple[Range, ...]] = field(default_factory=dict)
    special_tokens: bool = True
    """Whether the tokenizer adds its special tokens (false where a chat template has written them
    already)."""

    def shifted(self, by: int, prefix: str, suffix: str, *, special_tokens: bool) -> Prompt:
        """Returns this prompt between `prefix` and `suffix`, with its spans moved by `by`
        characters."""
        moved = {
            name: tuple((s + by, e + by) for s, e in ranges) for name, ranges in self.spans.items()
        }
        return Prompt(prefix + self.text + suffix, moved, special_tokens)

    def with_text(self, text: str) -> Prompt:
        """Returns the same prompt with a longer or a shorter end; spans do not move."""
        return replace(self, text=text)


def fill(template: str, **parts: str) -> Prompt:
    """Returns `template` with each `{name}` replaced; every part becomes a span of its name.

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
    *,
    turns: Sequence[str] = PLAIN_TURNS,
    earlier: Exchanges = (),
) -> Prompt:
    """Returns `content` as a user's turn up to the assistant's first token, followed by `prefill`
    as the start of the assistant's reply.

    The span "turn" is the start of the assistant's turn and the prefill. A plain prompt's `system`
    stands before the user's turn; `turns` is how the user's and the assistant's turn begin in it.
    `earlier` exchanges of the same chat come before the user's turn.

    Raises:
        EmoexpError: the chat template cannot write such a turn (see `chat_of`).
    """
    if style is PromptFormat.plain:
        user, assistant = turns
        before = [f"{user} {q}\n\n{assistant} {reply.strip()}" for q, reply in earlier]
        head = "\n\n".join([*([system] if system else []), *before, f"{user} "])
        turn = f"{assistant}{' ' + prefill if prefill else ''}"
        prompt = content.shifted(len(head), head, "\n\n" + turn, special_tokens=True)
    else:
        chat = chat_of(tokenizer, content.text, system, earlier)
        turn = chat.reply + prefill if prefill else chat.turn
        prompt = content.shifted(len(chat.head), chat.head, turn, special_tokens=False)
    length = len(prompt.text)
    return replace(prompt, spans={**prompt.spans, "turn": ((length - len(turn), length),)})


@dataclass(frozen=True)
class Encoding:
    """Prompts as padded token ids. All four tensors are (row, token); `mask` is true on real
    tokens; `starts` and `ends` are character offsets: those of a special token inverted (~), -1
    where there are none."""

    ids: Tensor
    mask: Tensor
    starts: Tensor
    ends: Tensor

    def rows(self, indices: list[int]) -> Encoding:
        """Returns the rows at `indices` (which may repeat), with the same padding."""
        return Encoding(*(t[indices] for t in (self.ids, self.mask, self.starts, self.ends)))

    @property
    def positions(self) -> Tensor:
        """Position ids, counted over real tokens on either padding side."""
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
        """Index of the last real token of each row, on either padding side."""
        width = self.mask.shape[1]
        return width - 1 - self.mask.flip(1).long().argmax(1)


@dataclass(frozen=True)
class Tokens:
    """One prompt as token ids, with the character range of each; that of a special token has both
    ends inverted (~), so that they are negative: (-1, -1) if it is not in the text."""

    ids: list[int]
    offsets: list[Range]


def tokenize(prompt: Prompt, tokenizer: Any) -> Tokens:
    """Returns the token ids of one prompt and their character offsets.

    Raises:
        EmoexpError: the tokens begin with a double BOS, or leave out a letter or digit of the text
            around the prompt's spans.
    """
    row = tokenizer(
        prompt.text, add_special_tokens=prompt.special_tokens, return_offsets_mapping=True
    )
    bos = tokenizer.bos_token_id
    if bos is not None and row["input_ids"][:2] == [bos, bos]:
        raise EmoexpError(
            f"two BOS tokens at the start of {prompt.text[:40]!r}: "
            "the template and the tokenizer both add one, or the text begins with it"
        )
    special = set(tokenizer.all_special_ids)
    marks = list(zip(row["input_ids"], row["offset_mapping"], strict=True))
    if prompt.spans:
        _check_whole(prompt, [mark for _, mark in marks])
    offsets = [(~s, ~e) if token in special else (s, e) for token, (s, e) in marks]
    return Tokens(list(row["input_ids"]), offsets)


def _check_whole(prompt: Prompt, offsets: Sequence[Range]) -> None:
    """Raises EmoexpError where a letter or digit of a prompt is in no token, as with a vocabulary
    that has neither that letter nor a token for the unknown."""
    covered = {i for start, end in offsets for i in range(start, end)}
    lost = (c for i, c in enumerate(prompt.text) if i not in covered and c.isalnum())
    if (character := next(lost, None)) is not None:
        raise EmoexpError(
            f"the tokenizer has no token for {character!r} in {prompt.text[:200]!r}, so the model"
            " would read another text: change the text, or choose another model"
        )


def encode(prompts: Sequence[Prompt], tokenizer: Any, side: str = "left") -> Encoding:
    """Tokenizes prompts and pads them on `side`, with offsets. Raises as `tokenize` does."""
    return encode_tokens([tokenize(prompt, tokenizer) for prompt in prompts], tokenizer, side)


def encode_tokens(rows: Sequence[Tokens], tokenizer: Any, side: str = "left") -> Encoding:
    """Pads tokenized prompts on `side`, with offsets."""
    if not rows:
        raise ValueError("no prompts to encode")
    ids, offsets = [row.ids for row in rows], [row.offsets for row in rows]
    return pad(ids, offsets, pad_id=tokenizer.pad_token_id or 0, side=side)


def pad(
    ids: Sequence[Sequence[int]], offsets: Sequence[Sequence[Range]], *, pad_id: int, side: str
) -> Encoding:
    """Pads rows of unequal length on `side` ("left" or "right") into one Encoding."""

    def padded(values: Iterable[Sequence[int | bool]], value: int | bool) -> Tensor:
        kind = torch.tensor(value).dtype  # that of a row without tokens too
        return pad_sequence([torch.tensor(row, dtype=kind) for row in values], True, value, side)

    return Encoding(
        padded(ids, pad_id),
        padded(([True] * len(row) for row in ids), False),
        padded(([start for start, _ in row] for row in offsets), -1),
        padded(([end for _, end in row] for row in offsets), -1),
    )


def prompts_key(prompts: Iterable[Prompt]) -> str:
    """Returns the sha256 of prompts as they are read: their texts, their spans, and whether special
    tokens are added. Beside the model's identity, this is what a result is keyed by."""
    content = [(p.text, sorted(p.spans.items()), p.special_tokens) for p in prompts]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def token_mask(prompts: Sequence[Prompt], spans: Collection[str], encoding: Encoding) -> Tensor:
    """Returns a mask that is true on the tokens that overlap one of the named spans; (row, token).
    Special tokens count only where a marked range has no others (the turn of a template may be one
    special token).

    Raises:
        EmoexpError: a marked range touches no token, or no prompt has any of the spans.
    """
    mask = torch.zeros_like(encoding.mask)
    for row, prompt in enumerate(prompts):
        for name in spans:
            for start, end in prompt.spans.get(name, ()):
                starts, ends = encoding.starts[row], encoding.ends[row]
                touched = encoding.is_text[row] & (starts < end) & (ends > start)
                if not touched.any():
                    touched = (starts < 0) & (~starts < end) & (~ends > start)
                if not touched.any():
                    raise EmoexpError(f"span {name!r} of {prompt.text!r} touches no token")
                mask[row] |= touched
    if not mask.any():
        raise EmoexpError(f"none of the prompts has a span named {' or '.join(sorted(spans))}")
    return mask


def next_ids(tokenizer: Any, prompt: Prompt, word: str) -> tuple[int, ...]:
    """Returns the ids of `word` where it follows `prompt` after a space.

    Raises:
        EmoexpError: the tokenizer merges the word with the end of the prompt.
    """
    before, both = (
        tokenizer(text, add_special_tokens=prompt.special_tokens)["input_ids"]
        for text in (prompt.text, f"{prompt.text} {word}")
    )
    if both[: len(before)] != before or len(both) == len(before):
        raise EmoexpError(
            f"the tokenizer does not read {word!r} after {prompt.text[-20:]!r} as tokens of its own"
        )
    return tuple(both[len(before) :])


def word_ids(tokenizer: Any, word: str) -> list[int]:
    """Returns the ids of `word` after another word, as in a sentence (a SentencePiece tokenizer
    gives other ids for the word alone). Raises as `next_ids` does."""
    return list(next_ids(tokenizer, Prompt("feeling", special_tokens=False), word))


def reply_mask(prompts: Sequence[Prompt], span: ReplySpan, encoding: Encoding) -> Tensor:
    """Returns which tokens of prompts made by `ask` are steered together with the reply; (row,
    token). BOS is never steered."""
    if span is ReplySpan.generated:
        return torch.zeros_like(encoding.mask)
    first = encoding.is_text if span is ReplySpan.all else token_mask(prompts, ["turn"], encoding)
    return first.cumsum(1).bool() & encoding.mask
