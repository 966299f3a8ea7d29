"""Chat templates of the kinds that models come with (in our own words): where content, readout and
reply stand."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from emoexp.config import PromptFormat
from emoexp.errors import EmoexpError
from emoexp.models.chat import chat_of, template_hash
from emoexp.models.loading.load import BUNDLED
from emoexp.models.prompts import Prompt, ask, encode, fill

LLAMA = (
    "{{ bos_token }}{% if not date_string %}{% set date_string = strftime_now('%d %b %Y') %}{%"
    " endif %}<|head|>system<|/head|>\n\nToday: {{ date_string }}<|eot|>{% for m in messages"
    " %}<|head|>{{ m['role'] }}<|/head|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}{% if"
    " add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
CLOCK = LLAMA.replace(
    "{% if not date_string %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}", ""
).replace("{{ date_string }}", "{{ strftime_now('%Y-%m-%d') }}")
QWEN = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{% if m['role'] == 'assistant'"
    " %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|end|>\n{% endfor %}{% if"
    " add_generation_prompt %}<|start|>assistant\n{% if enable_thinking is defined and"
    " enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
HARMONY = (
    "<|start|>system<|message|>Date: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for m in messages %}{%"
    " if m['role'] == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m['content']"
    " }}<|return|>{% else %}<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endif"
    " %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content']"
    " }}[/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ 'model' if m['role'] == 'assistant' else"
    " m['role'] }}\n{{ m['content'] | trim }}</turn>\n{% endfor %}{% if add_generation_prompt"
    " %}<turn>model\n{% endif %}"
)
ALWAYS = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if"
    " add_generation_prompt %}<assistant><think>\n{% endif %}"
)


class Templated:
    """The organism's tokenizer with another template."""

    def __new__(cls, template: str) -> object:
        tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
        tokenizer.chat_template = template
        return tokenizer


@pytest.mark.parametrize(
    ("template", "readout", "prefill"),
    [
        (LLAMA, "<|/head|>\n\n", "<|/head|>\n\n("),
        (QWEN, "<think>\n\n</think>\n\n", "</think>\n\n("),
        (HARMONY, "<|start|>assistant<|channel|>final<|message|>", "final<|message|>("),
        (MISTRAL, "[/INST]", "[/INST] ("),
        (GEMMA, "<turn>model\n", "<turn>model\n("),
    ],
    ids=["llama", "qwen", "gpt-oss", "mistral", "gemma"],
)
def test_the_readout_and_the_reply_stand_where_the_template_puts_them(
    template: str, readout: str, prefill: str
) -> None:
    tokenizer = Templated(template)
    content = fill("Would you prefer to (A) {a} or (B) {b}?", a="sing", b="sing aloud")
    plain, started = (ask(content, PromptFormat.chat, tokenizer, start) for start in ("", "("))
    assert plain.text.endswith(readout)
    assert started.text.endswith(prefill)
    for prompt in (plain, started):
        assert [prompt.text[s:e] for name in "ab" for s, e in prompt.spans[name]] == [
            "sing",
            "sing aloud",
        ]
        ids = encode([prompt], tokenizer).ids[0].tolist()
        assert ids.count(tokenizer.bos_token_id) == prompt.text.count(tokenizer.bos_token), (
            "no BOS beside the template's own"
        )


@pytest.mark.parametrize(
    "template", [LLAMA, CLOCK, HARMONY], ids=["llama", "llama with a clock", "gpt-oss"]
)
def test_the_date_stands_still(template: str) -> None:
    text = ask(Prompt("The road was dry."), PromptFormat.chat, Templated(template)).text
    assert ("26 Jul 2024" in text) or ("2024-07-26" in text)


def test_a_thought_that_cannot_be_switched_off_is_refused() -> None:
    with pytest.raises(
        EmoexpError,
        match="opens a thought .*<think>.* cannot be switched off: use model.format=plain",
    ):
        ask(Prompt("x y"), PromptFormat.chat, Templated(ALWAYS))


def test_a_template_that_refuses_replies_or_changes_words_is_refused() -> None:
    refusing = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ raise_exception('no replies"
        " here') }}{% endif %}<u>{{ m['content'] }}{% endfor %}"
    )
    with pytest.raises(EmoexpError, match="cannot write an assistant's reply .*no replies here"):
        chat_of(Templated(refusing), "The road was dry.")
    with pytest.raises(EmoexpError, match="changes what it is given"):
        chat_of(Templated(GEMMA), "The road was dry. ")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ m.content }", "TemplateSyntaxError"),
        ("{{ tools[0]['name'] }}{{ messages[0].content }}", "UndefinedError"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        (
            "{% if messages | length < 2 %}{{ raise_exception('two turns, please') }}{% endif %}",
            "two turns, please",
        ),
    ],
)
def test_a_template_that_fails_is_one_line(template: str, reason: str) -> None:
    with pytest.raises(
        EmoexpError, match="cannot write a user's turn .*use model.format=plain"
    ) as (raised):
        chat_of(Templated(template), "x")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_template_is_part_of_the_identity() -> None:
    assert template_hash(Templated(GEMMA)) != template_hash(Templated(LLAMA))


def test_a_system_turn_is_written_or_refused() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if"
        " add_generation_prompt %}<assistant>{% endif %}"
    )
    assert (
        ask(Prompt("x y"), PromptFormat.chat, tokenizer, system="A clerk.").text
        == "<system>A clerk.<user>x y<assistant>"
    )
    assert ask(Prompt("x y"), PromptFormat.chat, tokenizer).text == "<user>x y<assistant>"
    deaf = (
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}{%"
        " if add_generation_prompt %}<assistant>{% endif %}"
    )
    refusing = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{%"
        " endif %}" + tokenizer.chat_template[28:]
    )
    for template, says in (
        (deaf, "leaves out the system turn"),
        (refusing, "cannot write a system turn .*: put its text into the user's turn"),
    ):
        tokenizer.chat_template = template
        with pytest.raises(EmoexpError, match=says):
            ask(Prompt("x y"), PromptFormat.chat, tokenizer, system="A clerk.")
