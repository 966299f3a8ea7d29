"""Random tiny models of every architecture, from transformers' own config classes. Five blocks,
each of which matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

LAYERS, WIDTH, WINDOW, VOCABULARY = 5, 32, 24, 3200
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEAD = {"head_dim": 8}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SLIDING = [
    "sliding_attention",
    "full_attention",
    "sliding_attention",
    "full_attention",
    "full_attention",
]


def _of(name: str, *left_out: str, **more: Any) -> Callable[[], Any]:
    """A factory of `<name>Config` with the common shape."""
    return lambda: getattr(transformers, f"{name}Config")(
        **{k: v for k, v in COMMON.items() if k not in left_out}, **more
    )


def _wrapped(name: str, text: Callable[[], Any], vision: dict[str, Any]) -> Callable[[], Any]:
    """An image-text wrapper around a text model."""
    return lambda: getattr(transformers, f"{name}Config")(
        text_config=text().to_dict(), vision_config=vision
    )


VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
GEMMA3 = _of(
    "Gemma3Text", **HEAD, query_pre_attn_scalar=8, sliding_window=WINDOW, layer_types=SLIDING
)
GEMMA4 = {
    **HEAD,
    "global_head_dim": 8,
    "sliding_window": WINDOW,
    "layer_types": SLIDING,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
}

ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "gpt2": _of("GPT2", "intermediate_size", "num_key_value_heads"),
    "gpt_neox": _of("GPTNeoX", "num_key_value_heads"),
    "llama": _of("Llama"),
    "llama4_text": _of(
        "Llama4Text",
        **HEAD,
        intermediate_size_mlp=48,
        num_local_experts=2,
        attention_chunk_size=512,
    ),
    "mistral": _of("Mistral", **HEAD, sliding_window=WINDOW),
    "mixtral": _of("Mixtral", num_local_experts=4),
    "qwen2": _of("Qwen2"),
    "qwen3": _of("Qwen3", **HEAD),
    "qwen3_moe": _of("Qwen3Moe", **HEAD, **EXPERTS),
    "gemma2": _of(
        "Gemma2",
        **HEAD,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=SLIDING,
        final_logit_softcapping=5.0,
    ),
    "gemma3_text": GEMMA3,
    "gemma3": _wrapped("Gemma3", GEMMA3, VISION),
    "gemma4_text": _of("Gemma4Text", **GEMMA4, num_kv_shared_layers=2, final_logit_softcapping=5.0),
    "gemma4": _wrapped("Gemma4", _of("Gemma4Text", **GEMMA4, num_kv_shared_layers=0), VISION),
    "olmo2": _of("Olmo2"),
    "olmo3": _of("Olmo3", sliding_window=WINDOW, layer_types=SLIDING),
    "phi3": _of("Phi3"),
    "falcon": _of("Falcon", "intermediate_size", "num_key_value_heads", ffn_hidden_size=48),
    "glm4": _of("Glm4", **HEAD),
    "gpt_oss": _of(
        "GptOss", **HEAD, num_local_experts=4, sliding_window=WINDOW, layer_types=SLIDING
    ),
}

LINEAR: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"] * 2 + ["linear_attention"],
}
HYBRIDS: dict[str, Callable[[], Any]] = {
    "lfm2": _of("Lfm2", layer_types=["conv", "full_attention"] * 2 + ["conv"]),
    "qwen3_5": _of("Qwen3_5Text", **HEAD, **LINEAR),
    "qwen3_next": _of("Qwen3Next", **HEAD, **LINEAR, **EXPERTS, shared_expert_intermediate_size=32),
    "nemotron_h": _of(
        "NemotronH",
        "num_hidden_layers",
        **HEAD,
        layers_block_type=["mamba", "attention", "mlp", "mamba", "attention"],
        mamba_num_heads=8,
        mamba_head_dim=8,
        ssm_state_size=8,
        n_groups=2,
        chunk_size=16,
    ),
}
"""Architectures with recurrent blocks."""


def tiny_network(architecture: str, window: int | None = None) -> Any:
    """Random weights, the same every time; with another sliding window, if one is given."""
    config = (ARCHITECTURES | HYBRIDS)[architecture]()
    text = config.get_text_config()
    if window is not None and getattr(text, "sliding_window", None) is not None:
        text.sliding_window = window
    torch.manual_seed(7)
    network = transformers.AutoModelForCausalLM.from_config(config)
    text = network.config.get_text_config()
    assert (text.num_hidden_layers, text.hidden_size) == (
        LAYERS,
        WIDTH,
    ), "a misspelt key gives a full-size model"
    for parameter in network.parameters():
        if (
            parameter.ndim == 1
        ):  # gains and biases, which are 1 and 0 at the start and would hide a wrong norm
            parameter.data += 0.2 * torch.randn_like(parameter)
    return network.eval()
