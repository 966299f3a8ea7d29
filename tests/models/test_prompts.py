"""Spans from formatting, masks from offsets, one BOS, positions that do not know about padding."""

from __future__ import annotations

import pytest
import torch

from emoexp.config import PromptFormat, ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt, ask, encode, fill, reply_mask, token_mask
from emoexp.models.subject import SubjectModel

TEXTS = [
    Prompt("A cart rolled by."),
    Prompt("The clock on the wall showed ten past. The road was dry."),
]


def test_fill_marks_what_it_puts_in() -> None:
    prompt = fill("Would you prefer to (A) {a} or (B) {b}?", a="sing", b="sing aloud")
    assert [prompt.text[s:e] for s, e in (*prompt.spans["a"], *prompt.spans["b"])] == [
        "sing",
        "sing aloud",
    ]
    with pytest.raises(EmoexpError, match="asks for 'c'"):
        fill("{c}", a="x")
    with pytest.raises(EmoexpError, match="has no place for a"):
        fill("nothing", a="x")


@pytest.mark.parametrize("style", list(PromptFormat))
def test_spans_move_with_the_format(tiny: SubjectModel, style: PromptFormat) -> None:
    prompt = ask(fill("Sit with {a} today.", a="Ida"), style, tiny.tokenizer, prefill="(")
    assert [prompt.text[s:e] for s, e in prompt.spans["a"]] == ["Ida"]
    assert prompt.text.endswith("Assistant: (")
    encoding = tiny.encode([prompt])
    bos = int((encoding.ids == tiny.tokenizer.bos_token_id).sum())
    assert bos == 1, "exactly one BOS, from the template or from the tokenizer"


def test_plain_and_chat_read_the_same_here(tiny: SubjectModel) -> None:
    """The organism's template is the plain format, so both must give the same ids and the same
    readout token."""
    ids = [
        tiny.encode([ask(Prompt("The road was dry."), style, tiny.tokenizer)]).ids
        for style in PromptFormat
    ]
    assert torch.equal(*ids)
    assert tiny.tokenizer.decode(ids[0][0, -1]) == ":"


def test_a_double_bos_is_refused(tiny: SubjectModel) -> None:
    rendered = tiny.tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True
    )
    with pytest.raises(EmoexpError, match="two BOS tokens"):
        tiny.encode([Prompt(rendered, special_tokens=True)])


def test_a_template_that_rewrites_its_content_is_refused(tiny: SubjectModel) -> None:
    class Shouting:
        chat_template = "yes"

        def get_chat_template(self) -> str:
            return self.chat_template

        def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
            return "".join(f"<{t['role']}>" + t["content"].upper() for t in turns)

    with pytest.raises(EmoexpError, match="changes what it is given"):
        ask(Prompt("The road was dry."), PromptFormat.chat, Shouting())


EARLIER = (("How are you?", " Fine, thanks.\n"), ("And Ida?", ""))


def test_a_chat_is_what_the_template_writes(tiny: SubjectModel) -> None:
    roles = ("user", "assistant")
    turns = [(r, text) for pair in EARLIER for r, text in zip(roles, pair, strict=True)]
    expected = tiny.tokenizer.apply_chat_template(
        [{"role": r, "content": text} for r, text in [*turns, ("user", "Why?")]],
        tokenize=False,
        add_generation_prompt=True,
    )
    style = PromptFormat.chat
    prompt = ask(Prompt("Why?", {"q": ((0, 4),)}), style, tiny.tokenizer, earlier=EARLIER)
    assert prompt.text == expected
    assert prompt.text[slice(*prompt.spans["q"][0])] == "Why?"
    turn = prompt.text[slice(*prompt.spans["turn"][0])]
    assert prompt.text.endswith("Why?" + turn)
    plain = ask(
        Prompt("Why?"), PromptFormat.plain, tiny.tokenizer, system="Be kind.", earlier=EARLIER
    )
    assert plain.text == (
        "Be kind.\n\nHuman: How are you?\n\nAssistant: Fine, thanks.\n\n"
        "Human: And Ida?\n\nAssistant: \n\nHuman: Why?\n\nAssistant:"
    )


def test_a_template_that_leaves_out_earlier_turns_is_refused() -> None:
    class LastTurn:
        chat_template = "yes"

        def get_chat_template(self) -> str:
            return self.chat_template

        def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
            said = [f"<{t['role']}>{t['content']}" for t in turns]
            return said[-1] if turns[-1]["role"] == "user" else said[-2] + said[-1]

    assert ask(Prompt("Why?"), PromptFormat.chat, LastTurn()).text.startswith("<user>Why?")
    with pytest.raises(EmoexpError, match="leaves out an earlier turn: 'How are you\\?'"):
        ask(Prompt("Why?"), PromptFormat.chat, LastTurn(), earlier=EARLIER)


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_and_last_token_do_not_depend_on_padding(tiny: SubjectModel, side: str) -> None:
    """The bugs: an absolute [:, 50:] slice, and mask.sum() - 1, both under left padding."""
    together = tiny.encode(TEXTS, side=side)
    for row, prompt in enumerate(TEXTS):
        alone = tiny.encode([prompt])
        real = together.mask[row]
        assert torch.equal(together.ids[row][real], alone.ids[0])
        assert torch.equal(together.text_positions[row][real], alone.text_positions[0])
        assert torch.equal(together.positions[row][real], torch.arange(int(real.sum())))
        assert together.ids[row, together.last[row]] == alone.ids[0, -1]


def test_bos_is_not_a_token_of_the_text(tiny: SubjectModel) -> None:
    encoding = tiny.encode([TEXTS[0]])
    assert encoding.ids[0, 0] == tiny.tokenizer.bos_token_id
    assert not encoding.is_text[0, 0]
    assert encoding.text_positions[0, :2].tolist() == [-1, 0]


def test_empty_spans_raise(tiny: SubjectModel) -> None:
    prompts = [fill("Sit with {a}.", a="Ida")]
    encoding = encode(prompts, tiny.tokenizer)
    with pytest.raises(EmoexpError, match="none of the prompts has a span named b"):
        token_mask(prompts, ["b"], encoding)
    broken = [Prompt(prompts[0].text, {"a": ((900, 905),)})]
    with pytest.raises(EmoexpError, match="touches no token"):
        token_mask(broken, ["a"], encoding)


def test_a_span_covers_tokens_that_straddle_its_edge(tiny: SubjectModel) -> None:
    """The token " Ida" begins one character before the span "Ida"; it belongs to it."""
    prompts = [fill("Sit with {a} today.", a="Ida")]
    encoding = encode(prompts, tiny.tokenizer)
    mask = token_mask(prompts, ["a"], encoding)
    assert tiny.tokenizer.decode(encoding.ids[0][mask[0]]) == " Ida"


def test_the_assistants_turn_is_a_span_and_what_is_steered_with_a_reply(tiny: SubjectModel) -> None:
    asked = (("A cart rolled by.", ""), ("The road was dry. What comes next?", "I feel"))
    prompts = [
        ask(Prompt(text), PromptFormat.plain, tiny.tokenizer, prefill) for text, prefill in asked
    ]
    encoding = tiny.encode(prompts)
    assert not reply_mask(prompts, ReplySpan.generated, encoding).any()
    turns = reply_mask(prompts, ReplySpan.turn, encoding)
    said = [tiny.tokenizer.decode(encoding.ids[r][turns[r]]).strip() for r in range(2)]
    assert said == ["Assistant:", "Assistant: I feel"]
    whole = reply_mask(prompts, ReplySpan.all, encoding)
    assert torch.equal(whole, encoding.is_text), "every token but BOS"
    system = ask(
        Prompt("What comes next?"), PromptFormat.plain, tiny.tokenizer, system="A clerk reads."
    )
    assert system.text == "A clerk reads.\n\nHuman: What comes next?\n\nAssistant:"
