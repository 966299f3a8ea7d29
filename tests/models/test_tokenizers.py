"""Tokenizers of every kind: byte-level BPE, SentencePiece-style BPE and unigram, with and without
BOS, padded on either side.

Spans and the 50-token rule must come out the same: the same characters, the same count of the
text's own tokens.
"""

from __future__ import annotations

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
from transformers import PreTrainedTokenizerFast

from emoexp.config import OptionReading, PromptFormat
from emoexp.models.answers import AnswerReader
from emoexp.models.prompts import Prompt, ask, encode, fill, token_mask, word_ids
from emoexp.stories.corpus import Corpus
from emoexp.vectors.extraction import SKIP_TOKENS

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
