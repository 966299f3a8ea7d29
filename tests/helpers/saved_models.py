"""A tiny Llama in a folder, as save_pretrained leaves it, and settings that name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from emoexp.config import ModelConfig
from emoexp.models.loading.load import BUNDLED


def save_tiny(folder: Path) -> Path:
    """Four blocks of width 64 with random weights in float32, and the organism's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    torch.manual_seed(7)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    }
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), max_position_embeddings=512, initializer_range=0.2, **shape
        )
    )
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def model(folder: Path | str, **settings: Any) -> ModelConfig:
    return ModelConfig(name="tiny", repo_id=str(folder), **settings)


def edit(folder: Path, **changes: Any) -> None:
    """Changes keys of the folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
