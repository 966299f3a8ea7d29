"""Small tokenizers with the split pattern of each family, and tiny models that read with them.

The byte-level ones are trained on texts full of "(A)" and "(B)", so that the patterns that allow
it (Llama-3's and Qwen's) merge the bracket with the letter, as the real tokenizers do.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from emoexp.config import ModelConfig, OptionReading, PromptFormat
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import load_stimuli

WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPLITS = {
    "llama3": rf"{LETTERS}|{WORDS}|\p{{N}}{{1,3}}|{REST}",
    "qwen": rf"{LETTERS}|{WORDS}|\p{{N}}|{REST}",
}
PATTERNS = ("gpt2", "llama3", "qwen", "sentencepiece")
MERGES = ("llama3", "qwen")
"""The patterns that read "(A" as one token where no space stands before the bracket."""
SPECIAL = ["<pad>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' "
    "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@cache
def tokenizer_of(pattern: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a family, trained on the organism pack's activities."""
    common: dict[str, Any] = {"special_tokens": SPECIAL, "show_progress": False, "vocab_size": 700}
    if pattern == "sentencepiece":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
        trainer = trainers.BpeTrainer(**common)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.decoder = decoders.ByteLevel()
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
        tokenizer.pre_tokenizer = byte_level
        if pattern in SPLITS:
            split = pre_tokenizers.Split(Regex(SPLITS[pattern]), "isolated")
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        trainer = trainers.BpeTrainer(
            **common, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    activities = [a.text for a in load_stimuli("bundled:organism").activities]
    texts = [f"Would you prefer to (A) {a} or (B) {a}?\n(A)\n(B) A B" for a in activities]
    texts += ["Human: Assistant: How would you feel user assistant system \n\n"] * 9
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=SPECIAL[3:],
    )
    fast.chat_template = TEMPLATE
    return fast


def network_for(tokenizer: Any) -> LlamaForCausalLM:
    """Four blocks of random weights, each of which matters."""
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def subject_with(
    pattern: str, style: PromptFormat, reading: OptionReading = OptionReading.forced
) -> SubjectModel:
    """A tiny model that reads with a tokenizer of `pattern`."""
    tokenizer = tokenizer_of(pattern)
    config = ModelConfig(
        name=pattern, repo_id=pattern, format=style, option_reading=reading, batch_tokens=2048
    )
    return SubjectModel(network_for(tokenizer), tokenizer, config)


def save_with(pattern: str, folder: Path) -> Path:
    """The same as a folder that `model=custom` can name."""
    tokenizer = tokenizer_of(pattern)
    network_for(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
