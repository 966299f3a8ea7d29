"""The organism with a massive activation planted on every full stop, which changes nothing that it
computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from emoexp.config import ModelConfig
from emoexp.models.loading.load import BUNDLED
from emoexp.models.subject import SubjectModel

SIZE = 100.0
"""The planted activation in mean norms of the residual stream at the middle block."""
MEAN_NORM = 45.0
EXTRA = 4
"""Dimensions that are added: the width must be a multiple of the number of heads."""


class BlindNorm(nn.Module):
    """An RMS norm that neither reads nor writes the last `EXTRA` dimensions."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm = norm
        self.weight = nn.Parameter(torch.cat([norm.weight, torch.zeros(EXTRA)]))

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.cat(
            [self.norm(hidden[..., :-EXTRA]), torch.zeros_like(hidden[..., -EXTRA:])], -1
        )


def padded(old: Tensor, shape: torch.Size) -> Tensor:
    """`old` with zeros after it in every axis."""
    new = torch.zeros(shape)
    new[tuple(slice(n) for n in old.shape)] = old
    return new


def sink_organism() -> SubjectModel:
    """The organism with `EXTRA` dimensions more.

    The last of them is SIZE * MEAN_NORM on every "." and 0 on other tokens, at every block's
    output."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    organism = AutoModelForCausalLM.from_pretrained(BUNDLED / "organism", dtype=torch.float32)
    settings = organism.config.to_dict() | {
        "hidden_size": organism.config.hidden_size + EXTRA,
        "head_dim": organism.config.hidden_size // organism.config.num_attention_heads,
    }
    network = LlamaForCausalLM(LlamaConfig.from_dict(settings))
    old = organism.state_dict()
    wider = {name: padded(old[name], value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(wider)
    network.tie_weights()
    for block, source in zip(network.model.layers, organism.model.layers, strict=True):
        block.input_layernorm = BlindNorm(source.input_layernorm)
        block.post_attention_layernorm = BlindNorm(source.post_attention_layernorm)
    network.model.norm = BlindNorm(organism.model.norm)
    stops = [i for token, i in tokenizer.get_vocab().items() if token.strip("ĠĊ ▁") == "."]
    with torch.no_grad():
        network.get_input_embeddings().weight[stops, -1] = SIZE * MEAN_NORM
    config = ModelConfig(name="sink", repo_id="sink", dtype="float32")
    return SubjectModel(network, tokenizer, config)
