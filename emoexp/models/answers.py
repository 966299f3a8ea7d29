"""Reads the answer to a preference prompt: the tokens of the prompt, and the two tokens compared.

The prompt ends in an opened bracket, and the options are the letters A and B. Many tokenizers
(Llama-3, Qwen) read "(A" as one token, so there are two valid readings. *Forced*: the prompt's
tokens end in a "(" as a token of its own, and A is compared with B after it. *In context*: the
prompt is tokenized with "(A" and with "(B"; the first tokens that differ are compared, and the
tokens before them are the prompt. Where "(" and "A" are separate tokens, both readings are the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emoexp.config import OptionReading
from emoexp.errors import EmoexpError
from emoexp.models.chat import first_difference
from emoexp.models.prompts import Encoding, Prompt, Tokens, encode_tokens, tokenize

BRACKET = "("
LETTERS = ("A", "B")


@dataclass(frozen=True)
class AnswerReader:
    """A reader of answers: it tokenizes prompts that end in "(" and finds the tokens of A and B.

    Attributes:
        kind: which of the two readings is used.
        example: any prompt of the set; it determines the ids of the options.
    """

    tokenizer: Any
    kind: OptionReading
    example: Prompt

    @cached_property
    def options(self) -> tuple[int, int]:
        """Token ids of A and B.

        Raises:
            EmoexpError: the tokenizer gives both the same id.
        """
        options = self._read(self.example)[1]
        if options[0] == options[1]:
            raise EmoexpError("the tokenizer gives A and B the same id, so no answer can be read")
        return options

    @cached_property
    def pieces(self) -> tuple[str, str, str]:
        """The last token of the prompt and the two options, as the tokenizer writes them."""
        last = self._read(self.example)[0].ids[-1]
        names = self.tokenizer.convert_ids_to_tokens([last, *self.options])
        return str(names[0]), str(names[1]), str(names[2])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The parts of the reading that change an answer; equal where both readings give equal
        tokens."""
        return {"after": self._read(self.example)[0].ids[-1], "options": list(self.options)}

    def encode(self, prompts: Sequence[Prompt]) -> Encoding:
        """Returns the prompts as left-padded token ids, up to where the option follows.

        Raises:
            EmoexpError: after some prompt the options are other tokens than after `example`.
        """
        rows = []
        for prompt in prompts:
            tokens, options = self._read(prompt)
            if options != self.options:
                raise EmoexpError(f"the tokenizer reads A and B otherwise after {prompt.text!r}")
            rows.append(tokens)
        return encode_tokens(rows, self.tokenizer)

    def _read(self, prompt: Prompt) -> tuple[Tokens, tuple[int, int]]:
        if not prompt.text.endswith(BRACKET):
            raise ValueError(
                f"a preference prompt ends in {BRACKET!r}, not in {prompt.text[-9:]!r}"
            )
        if self.kind is OptionReading.forced:
            return forced(prompt, self.tokenizer)
        return in_context(prompt, self.tokenizer)


def forced(prompt: Prompt, tokenizer: Any) -> tuple[Tokens, tuple[int, int]]:
    """Returns the prompt's tokens with "(" as the last one, and the ids of the letters after it.

    White space that the tokenizer joins to the bracket ("\\n(") stays with it.
    """
    tokens = tokenize(prompt, tokenizer)
    start, end = tokens.offsets[-1]
    if prompt.text[max(start, 0) : end].strip() != BRACKET:
        before = tokenize(prompt.with_text(prompt.text[: -len(BRACKET)]), tokenizer)
        place = (len(prompt.text) - len(BRACKET), len(prompt.text))
        bracket = single_token(tokenizer, BRACKET)
        tokens = Tokens([*before.ids, bracket], [*before.offsets, place])
    first, second = (_letter(prompt, tokens, letter, tokenizer) for letter in LETTERS)
    return tokens, (first, second)


def in_context(prompt: Prompt, tokenizer: Any) -> tuple[Tokens, tuple[int, int]]:
    """Returns the tokens that the prompt with A and the prompt with B have in common, and the ids
    of the first tokens that differ.

    Raises:
        EmoexpError: no token differs.
    """
    a, b = (tokenize(prompt.with_text(prompt.text + letter), tokenizer) for letter in LETTERS)
    common = first_difference(a.ids, b.ids)
    if common == min(len(a.ids), len(b.ids)):
        raise EmoexpError("the tokenizer reads the prompt with A and with B alike")
    return Tokens(a.ids[:common], a.offsets[:common]), (a.ids[common], b.ids[common])


def _letter(prompt: Prompt, tokens: Tokens, letter: str, tokenizer: Any) -> int:
    """Returns the id of a letter after `tokens`: the tokenizer's own where it reads the letter as
    one more token, else the id of the letter alone."""
    longer = tokenize(prompt.with_text(prompt.text + letter), tokenizer).ids
    return longer[-1] if longer[:-1] == tokens.ids else single_token(tokenizer, letter)


def single_token(tokenizer: Any, character: str) -> int:
    """Returns the id of one character that continues a text, without a space before it.

    It is the vocabulary's entry of that character or of its byte. Where the vocabulary has neither,
    the character is tokenized after a line break, and the last token is taken.
    """
    vocabulary = tokenizer.get_vocab()
    for entry in (character, f"<0x{ord(character):02X}>"):
        if entry in vocabulary:
            return int(vocabulary[entry])
    return int(tokenizer(f"\n{character}", add_special_tokens=False)["input_ids"][-1])
