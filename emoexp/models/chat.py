"""A model's own chat template: where the user's text goes, and where the assistant's turn begins.

Templates are rendered with thinking switched off and with a fixed date, so that a prompt does not
change from day to day (the templates of Llama 3.2 and gpt-oss write the current date). The start of
the assistant's turn is found by rendering a reply with the template and removing that reply: what
is left has the space or the channel that the template puts before a reply, such as one that begins
with "(".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from emoexp.errors import EmoexpError, shortened

DATE = datetime(2024, 7, 26)
"""The date that templates get: the default date of Llama 3.1's template."""
CLOCK = (
    "{%- macro strftime_now(format) -%}{{- format"
    + "".join(
        f" | replace('{code}', '{DATE.strftime(code)}')"
        for code in ("%Y", "%m", "%d", "%B", "%b", "%A", "%a", "%H", "%M", "%S", "%y", "%j")
    )
    + " -}}{%- endmacro -%}{{ '' }}"
)
"""Template text that is put before a template and fixes its `strftime_now` at `DATE`. transformers
passes no function to a template, and its own `strftime_now` gives the current time."""
ROLES = ("user", "assistant")
Exchanges = tuple[tuple[str, str], ...]
"""A user's turn and the assistant's reply to it, for each exchange of a chat so far."""
OPEN_THOUGHT = re.compile(r"<\|?(think|thinking|reasoning)\|?>\s*$")


@dataclass(frozen=True)
class Chat:
    """A user's turn as the template writes it: `head` + content + `turn`, followed by the reply.

    Attributes:
        head: the text before the user's content.
        turn: the text between that content and the assistant's first token; probes are read at its
            last token.
        reply: the text between that content and a reply: `turn`, and the space that the template
            puts before a reply, if it does.
        turn_as_rendered: the generation prompt as the template writes it, without the channel that
            a reply would name first (gpt-oss).
    """

    head: str
    turn: str
    reply: str
    turn_as_rendered: str


def template_of(tokenizer: Any) -> str:
    """Returns the chat template.

    Raises:
        EmoexpError: the tokenizer has none.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise EmoexpError(
            "model.format=chat, but the tokenizer has no chat template: use model.format=plain"
        )
    return str(tokenizer.get_chat_template())


def template_hash(tokenizer: Any) -> str:
    """Returns the sha256 of the template, since numbers depend on it."""
    return hashlib.sha256(template_of(tokenizer).encode()).hexdigest()


def render(
    tokenizer: Any,
    user: str,
    reply: str | None = None,
    system: str | None = None,
    earlier: Exchanges = (),
) -> str:
    """Renders one exchange as text, after those before it; without `reply`, up to the assistant's
    turn.

    Raises:
        EmoexpError: the template fails, or refuses these turns.
    """
    before = [(role, text) for pair in earlier for role, text in zip(ROLES, pair, strict=True)]
    parts = (("system", system), *before, *zip(ROLES, (user, reply), strict=True))
    turns = [{"role": role, "content": content} for role, content in parts if content is not None]
    options = {
        "chat_template": CLOCK + template_of(tokenizer),
        "enable_thinking": False,
        "thinking": False,
        "date_string": DATE.strftime("%d %b %Y"),
    }
    try:
        return str(
            tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=reply is None, **options
            )
        )
    except Exception as error:  # a template raises what it likes, as Gemma 2's does
        what, instead = "a user's turn", ""
        if reply is not None:
            what = "an assistant's reply"
        elif system is not None:
            what, instead = "a system turn", "put its text into the user's turn, or "
        why = shortened(f"{type(error).__name__}: {error}", 200)
        raise EmoexpError(
            f"the chat template cannot write {what} ({why}): {instead}use model.format=plain"
        ) from error


def first_difference(a: Sequence[object], b: Sequence[object]) -> int:
    """Returns the index of the first character or token that differs between two texts; the length
    of the shorter one where none does."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def chat_of(
    tokenizer: Any, content: str, system: str | None = None, earlier: Exchanges = ()
) -> Chat:
    """Returns how the template writes a user's turn of `content`, after a `system` turn if there
    is one and after `earlier` exchanges.

    Raises:
        EmoexpError: there is no template, it has no system turn, it changes the content or an
            earlier one, it opens a thought that cannot be switched off, or it cannot write an
            assistant's reply.
    """
    chat = _frame(tokenizer, template_of(tokenizer), system, earlier)
    _check_earlier(chat.head, earlier)
    rendered = render(tokenizer, content, system=system, earlier=earlier)
    if rendered != chat.head + content + chat.turn_as_rendered:
        raise EmoexpError(
            "the chat template changes what it is given, so spans cannot be marked: use"
            " model.format=plain"
        )
    return chat


def _check_earlier(head: str, earlier: Exchanges) -> None:
    """Raises EmoexpError unless `head` has all earlier texts, but for spaces around them."""
    rest = head
    for text in (part.strip() for pair in earlier for part in pair):
        _, found, rest = rest.partition(text) if text else ("", " ", rest)
        if not found:
            raise EmoexpError(f"the chat template changes or leaves out an earlier turn: {text!r}")


@lru_cache(maxsize=8)
def _frame(tokenizer: Any, template: str, system: str | None, earlier: Exchanges) -> Chat:
    """Returns the template's own text around a user's turn. It is the same for every content, which
    `chat_of` checks. `template` is only a key of the cache."""
    rendered = _render_prompt(tokenizer, system, earlier)
    other = render(tokenizer, "y", system=system, earlier=earlier)
    start = first_difference(rendered, other)
    head, turn = rendered[:start], rendered[start + 1 :]
    if opened := OPEN_THOUGHT.search(turn):
        raise EmoexpError(
            f"the chat template opens a thought ({opened[0].strip()}) that cannot be switched off:"
            " use model.format=plain"
        )
    opening = _reply_opening(tokenizer, system, earlier)
    if not opening.startswith(rendered):
        # The reply is written without a part of the generation prompt (an empty thought, say).
        return Chat(head, turn, turn, turn)
    extra = opening[len(rendered) :]
    return Chat(head, turn if not extra.strip() else turn + extra, turn + extra, turn)


def _render_prompt(tokenizer: Any, system: str | None, earlier: Exchanges) -> str:
    """Renders a user's turn "x"; raises EmoexpError where the template leaves out the system
    turn."""
    rendered = render(tokenizer, "x", system=system, earlier=earlier)
    if system is not None and system.strip() not in rendered:
        raise EmoexpError(
            "the chat template leaves out the system turn: put its text into the user's turn, or"
            " use model.format=plain"
        )
    return rendered


def _reply_opening(tokenizer: Any, system: str | None, earlier: Exchanges) -> str:
    """Renders an exchange up to where the reply begins; raises EmoexpError where the template
    cannot write a reply."""
    replies = [render(tokenizer, "x", letter, system, earlier) for letter in "xy"]
    if replies[0] == replies[1]:
        raise EmoexpError(
            "the chat template leaves out an assistant's reply: use model.format=plain"
        )
    return replies[0][: first_difference(*replies)]
