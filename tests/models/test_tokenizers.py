"""Tokenizers of every kind: byte-level BPE, SentencePiece-style BPE and unigram, with and without
BOS, padded on either side.

Spans and the 50-token rule must come out the same: the same characters, the same count of the
text's own tokens.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from emoexp.config import ModelConfig, OptionReading, PromptFormat
from emoexp.errors import EmoexpError
from emoexp.models.answers import AnswerReader
from emoexp.models.loading.load import source
from emoexp.models.loading.settings import named
from emoexp.models.loading.tokenizer import PROBE, bos_of, load_tokenizer
from emoexp.models.prompts import Prompt, ask, encode, fill, token_mask, word_ids
from emoexp.models.subject import SubjectModel
from emoexp.stories.corpus import Corpus
from emoexp.vectors.pooling import SKIP_TOKENS
from tests.helpers.saved_models import save_tiny

SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
KINDS = ("byte-level BPE", "SentencePiece BPE", "unigram")


def build(kind: str, bos: bool, texts: list[str]) -> PreTrainedTokenizerFast:
    """A small tokenizer of a kind, trained here."""
    common: dict[str, Any] = {"vocab_size": 900, "special_tokens": SPECIAL, "show_progress": False}
    if kind == "byte-level BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        trainer: Any = trainers.BpeTrainer(
            **common, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    elif (
        kind == "SentencePiece BPE"
    ):  # as in Llama-2 and Gemma: spaces become U+2581, one is put first
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
        trainer = trainers.BpeTrainer(**common)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.Metaspace(),
            decoders.Metaspace(),
        )
        trainer = trainers.UnigramTrainer(**common, unk_token="<unk>")
    tokenizer.train_from_iterator(
        [*texts, "Would you prefer to sing or sing aloud? Human: Assistant: A B ( )"], trainer
    )
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


@pytest.fixture(
    scope="module",
    params=[(k, b) for k in KINDS for b in (True, False)],
    ids=lambda p: f"{p[0]}, {'BOS' if p[1] else 'no BOS'}",
)
def tokenizer(request: pytest.FixtureRequest, corpus: Corpus) -> PreTrainedTokenizerFast:
    return build(*request.param, texts=[s.text for s in corpus.stories[::8]])


@pytest.mark.parametrize("side", ["left", "right"])
def test_spans_cover_the_same_characters(tokenizer: PreTrainedTokenizerFast, side: str) -> None:
    pairs = (("sing", "sing aloud"), ("mend the old net with Ida", "sing"))
    prompts = [
        ask(
            fill("Would you prefer to (A) {a} or (B) {b}?", a=a, b=b),
            PromptFormat.plain,
            tokenizer,
            "(",
        )
        for a, b in pairs
    ]
    encoding = encode(prompts, tokenizer, side)
    for name, column in (("a", 0), ("b", 1)):
        mask = token_mask(prompts, [name], encoding)
        for row, pair in enumerate(pairs):
            start, end = (
                int(encoding.starts[row][mask[row]].min()),
                int(encoding.ends[row][mask[row]].max()),
            )
            assert prompts[row].text[start:end].strip() == pair[column]
            assert int(mask[row].sum()) == int(
                (
                    encoding.is_text[row]
                    & (encoding.starts[row] < end)
                    & (encoding.ends[row] > start)
                ).sum()
            )


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_skip_leaves_the_same_tokens(
    tokenizer: PreTrainedTokenizerFast, side: str, corpus: Corpus
) -> None:
    """Fifty of the text's own tokens are skipped, whether or not there is a BOS, whatever the
    padding."""
    texts = [
        corpus.stories[0].text,
        corpus.stories[1].text + " And then the road was dry.",
        "Too short.",
    ]
    encoding = encode([Prompt(t) for t in texts], tokenizer, side)
    late = encoding.is_text & (encoding.text_positions >= SKIP_TOKENS)
    for row, text in enumerate(texts):
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert encoding.ids[row][late[row]].tolist() == own[SKIP_TOKENS:]
    assert not late[2].any()


def test_options_are_read_in_context(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = ask(
        fill("Would you prefer to (A) {a} or (B) {b}?", a="sing", b="dance"),
        PromptFormat.plain,
        tokenizer,
        "(",
    )
    found = [
        tokenizer.convert_ids_to_tokens(i).strip("\u2581\u0120")
        for i in AnswerReader(tokenizer, OptionReading.forced, prompt).options
    ]
    assert found == ["A", "B"]


def test_a_word_is_read_as_in_a_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = word_ids(tokenizer, "wall")
    assert tokenizer("the wall", add_special_tokens=False)["input_ids"][-len(ids) :] == ids


def test_padding_and_masks(tokenizer: PreTrainedTokenizerFast) -> None:
    for side in ("left", "right"):
        encoding = encode([Prompt("The road was dry."), Prompt("Dry.")], tokenizer, side)
        short = int(encoding.mask[1].sum())
        assert bool(
            encoding.mask[1][-short:].all() if side == "left" else encoding.mask[1][:short].all()
        )
        assert torch.equal(encoding.positions[1][encoding.mask[1]], torch.arange(short))


def digits_merged(folder: Path) -> None:
    """A folder whose tokenizer.json splits digits and whose config names a class that does not."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tokenizer_class": "Qwen2Tokenizer"}))


def test_a_tokenizer_that_transformers_replaces_is_read_as_its_file_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny(tmp_path / "model")
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    digits_merged(folder)
    replaced = AutoTokenizer.from_pretrained(folder)
    wanted = file.encode(PROBE, add_special_tokens=False).ids
    assert replaced(PROBE, add_special_tokens=False)["input_ids"] != wanted, (
        "else nothing is tested"
    )
    config = ModelConfig(name="tiny", repo_id=str(folder))
    tokenizer = load_tokenizer(config, source(config), named(config))
    assert tokenizer(PROBE, add_special_tokens=False)["input_ids"] == wanted
    assert "splits text in another way than its tokenizer.json" in capsys.readouterr().err


def test_a_tokenizer_that_cannot_be_read_as_its_file_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny(tmp_path / "model")
    digits_merged(folder)
    replaced = AutoTokenizer.from_pretrained(folder)
    monkeypatch.setattr(
        PreTrainedTokenizerFast, "from_pretrained", lambda *names, **settings: replaced
    )
    config = ModelConfig(name="tiny", repo_id=str(folder))
    with pytest.raises(EmoexpError, match="reads its tokenizer.json as another tokenizer .* where"):
        load_tokenizer(config, source(config), named(config))


@pytest.mark.parametrize(
    ("style", "template", "adds", "wanted"),
    [
        (PromptFormat.plain, None, True, "tokenizer"),
        (PromptFormat.plain, None, False, "nobody"),
        (PromptFormat.chat, "<bos>{{ messages[0]['content'] }}", False, "template"),
        (PromptFormat.chat, "{{ messages[0]['content'] }}", True, "nobody"),
    ],
)
def test_who_puts_bos_before_a_prompt(
    style: PromptFormat, template: str | None, adds: bool, wanted: str
) -> None:
    tokenizer = build("byte-level BPE", adds, ["The road was dry."])
    tokenizer.bos_token, tokenizer.chat_template = "<bos>", template
    assert bos_of(tokenizer, style) == wanted


def test_a_tokenizer_without_bos_says_none() -> None:
    tokenizer = build("byte-level BPE", False, ["The road was dry."])
    tokenizer.bos_token = None
    assert bos_of(tokenizer, PromptFormat.plain) == "none"


def test_the_turns_of_the_plain_format_can_be_set(tiny: SubjectModel) -> None:
    usual = tiny.ask(Prompt("Hello."), "(")
    config = replace(tiny.config, plain_turns=["Q:", "A:"])
    other = SubjectModel(tiny.network, tiny.tokenizer, config)
    prompt = other.ask(fill("{a} there.", a="Hello"), "(", "A clerk.")
    assert usual.text == "Human: Hello.\n\nAssistant: ("
    assert prompt.text == "A clerk.\n\nQ: Hello there.\n\nA: ("
    spans = {name: [prompt.text[s:e] for s, e in ranges] for name, ranges in prompt.spans.items()}
    assert spans == {"a": ["Hello"], "turn": ["A: ("]}
    assert other.format_identity != tiny.format_identity
    one, two = (
        SubjectModel(tiny.network, tiny.tokenizer, replace(tiny.config, plain_turns=turns))
        for turns in (["Q: A", "B:"], ["Q:", "A B:"])
    )
    assert one.format_identity != two.format_identity
