"""A model's own chat template: where a user's words go, and where the assistant's begin.

Rendered with thinking switched off and on a fixed date, so that a prompt is the same prompt
tomorrow (Llama 3.2's and gpt-oss' templates write today's). The start of the assistant's turn is
read off the template itself, by rendering a reply and cutting it off: that is how a reply after "("
stands in it, with the space or the channel that belongs before it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from emoexp.errors import EmoexpError

DATE = datetime(2024, 7, 26)
"""The date that templates get: the one that Llama 3.1's own falls back to."""
CLOCK = (
    "{%- macro strftime_now(format) -%}{{- format"
    + "".join(
        f" | replace('{code}', '{DATE.strftime(code)}')"
        for code in ("%Y", "%m", "%d", "%B", "%b", "%A", "%a", "%H", "%M", "%S", "%y", "%j")
    )
    + " -}}{%- endmacro -%}{{ '' }}"
)
"""Put before a template, it stops its clock: transformers passes no function to a template, and its
own tells the time of day."""
OPEN_THOUGHT = re.compile(r"<\|?(think|thinking|reasoning)\|?>\s*$")


@dataclass(frozen=True)
class Chat:
    """One user's turn as the template writes it: `head` + content + `turn`, and the reply follows.

    Attributes:
        head: what stands before the user's words.
        turn: what stands between them and the assistant's first token; its last token is where
            probes are read.
        reply: the same up to where a reply begins: `turn`, and the space that the template puts
            before a reply, if it does.
        turn_as_rendered: the generation prompt as it comes, without the channel that a reply would
            name first (gpt-oss).
    """

    head: str
    turn: str
    reply: str
    turn_as_rendered: str


def template_of(tokenizer: Any) -> str:
    """The chat template.

    Raises:
        EmoexpError: the tokenizer has none.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise EmoexpError(
            "model.format=chat, but the tokenizer has no chat template: use model.format=plain"
        )
    return str(tokenizer.get_chat_template())


def template_hash(tokenizer: Any) -> str:
    """sha256 of the template: it is part of what a number depends on."""
    return hashlib.sha256(template_of(tokenizer).encode()).hexdigest()


def render(tokenizer: Any, user: str, reply: str | None = None, system: str | None = None) -> str:
    """The text of one exchange; without `reply`, up to the assistant's turn."""
    said = (("system", system), ("user", user), ("assistant", reply))
    turns = [{"role": role, "content": content} for role, content in said if content is not None]
    options = {
        "chat_template": CLOCK + template_of(tokenizer),
        "enable_thinking": False,
        "thinking": False,
        "date_string": DATE.strftime("%d %b %Y"),
    }
    return str(
        tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=reply is None, **options
        )
    )


def first_difference(a: str, b: str) -> int:
    """Where two renderings part: where the text that differs between them begins."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def chat_of(tokenizer: Any, content: str, system: str | None = None) -> Chat:
    """How the template writes a user's turn of `content`, after a `system` turn if there is one.

    Raises:
        EmoexpError: there is no template, it has no system turn, it changes what it is given, or it
            opens a thought that cannot be switched off.
    """
    chat = _frame(tokenizer, template_of(tokenizer), system)
    if render(tokenizer, content, system=system) != chat.head + content + chat.turn_as_rendered:
        raise EmoexpError(
            "the chat template changes what it is given, so spans cannot be marked: use"
            " model.format=plain"
        )
    return chat


@lru_cache(maxsize=8)
def _frame(tokenizer: Any, template: str, system: str | None) -> Chat:
    """The template's own words around a user's, the same for all of them (which `chat_of` checks);
    `template` is only a key."""
    try:
        rendered = render(tokenizer, "x", system=system)
    except Exception as error:  # Gemma 2's template raises its own error
        if system is None:
            raise
        raise EmoexpError(
            f"the chat template takes no system turn ({error}): put its text into the user's turn,"
            " or use model.format=plain"
        ) from error
    if system is not None and system.strip() not in rendered:
        raise EmoexpError(
            "the chat template leaves out the system turn: put its text into the user's turn, or"
            " use model.format=plain"
        )
    start = first_difference(rendered, render(tokenizer, "y", system=system))
    head, turn = rendered[:start], rendered[start + 1 :]
    if opened := OPEN_THOUGHT.search(turn):
        raise EmoexpError(
            f"the chat template opens a thought ({opened[0].strip()}) that cannot be switched off:"
            " use model.format=plain"
        )
    try:
        replies = [render(tokenizer, "x", letter, system) for letter in "xy"]
    except (
        Exception
    ) as error:  # a template may refuse to end on an assistant's turn, and raises what it likes
        raise EmoexpError(
            f"the chat template cannot write an assistant's reply ({error}): use model.format=plain"
        ) from error
    if replies[0] == replies[1]:
        raise EmoexpError(
            "the chat template leaves out an assistant's reply: use model.format=plain"
        )
    opening = replies[0][: first_difference(*replies)]
    if not opening.startswith(
        rendered
    ):  # the reply is written without what the generation prompt has (an empty thought, say)
        return Chat(head, turn, turn, turn)
    extra = opening[len(rendered) :]
    return Chat(head, turn if not extra.strip() else turn + extra, turn + extra, turn)
