"""What a person types, as a prompt: checked before the model runs, in one clear line."""

from __future__ import annotations

from emoexp.errors import EmoexpError, require
from emoexp.models.chat import Exchanges
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel

MAX_TOKENS = 2048
"""Tokens that the explorer reads at once: all layers of them are in memory."""
MAX_CHARACTERS = 200_000
"""Characters above which a text is not even divided into tokens."""
TEXT = "text"
"""The name of the span of what was typed."""


def prompt_of(model: SubjectModel, text: str, as_turn: bool, earlier: Exchanges = ()) -> Prompt:
    """Returns a typed text as a prompt in which the span "text" marks it.

    Args:
        as_turn: as a user's turn up to the assistant's first token; else the text alone.
        earlier: exchanges of the same chat, before a user's turn.

    Raises:
        EmoexpError: the text is empty, is not valid Unicode, has special tokens of the model, or
            has more tokens than the model has positions or than the explorer reads; or an earlier
            exchange has special tokens.
    """
    require(bool(text.strip()), "the text is empty: type or choose one")
    n = len(text)
    shorten = "shorten it"
    limit = f"the explorer reads at most {MAX_CHARACTERS:,}: {shorten}"
    require(n <= MAX_CHARACTERS, f"the text has {n:,} characters, and {limit}")
    _check_characters(text)
    for part in (text, *(part for pair in earlier for part in pair)):
        _check_special(model, part)
    content = Prompt(text, {TEXT: ((0, n),)})
    prompt = model.ask(content, earlier=earlier) if as_turn else content
    check_length(model, prompt)
    return prompt


def _check_special(model: SubjectModel, text: str) -> None:
    """Raises EmoexpError for a text that has special tokens, such as the mark of a turn."""
    tokenizer = model.tokenizer
    found = model.special_ids & set(tokenizer(text, add_special_tokens=False)["input_ids"])
    if found:
        names = ", ".join(sorted(tokenizer.convert_ids_to_tokens(list(found))))
        raise EmoexpError(f"the text has special tokens of the model ({names}): remove them")


def check_length(model: SubjectModel, prompt: Prompt, new_tokens: int = 0) -> None:
    """Raises EmoexpError where a prompt and `new_tokens` after it are longer than the model's
    positions or than the explorer reads."""
    ids = model.tokenizer(prompt.text, add_special_tokens=prompt.special_tokens)["input_ids"]
    n = len(ids) + new_tokens
    what, cure = f"the text has {n:,} tokens", "shorten it"
    if new_tokens:
        what = f"the text and its reply have up to {n:,} tokens"
        cure = "shorten it, ask for fewer new tokens, or begin a new chat"
    positions = model.positions
    if positions and n > positions:
        raise EmoexpError(f"{what}, and the model has {positions:,} positions: {cure}")
    if n > MAX_TOKENS:
        raise EmoexpError(f"{what}, and the explorer reads at most {MAX_TOKENS:,}: {cure}")


def _check_characters(text: str) -> None:
    """Raises EmoexpError for half a surrogate pair, which no tokenizer can read."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EmoexpError(
            f"character {error.start + 1} of the text is not valid Unicode: remove it"
        ) from error
