"""What a user would do otherwise: each peer gives the same numbers as emoexp, in the way its own
documentation shows.

Extraction: mean residual of each text from its 50th token on, all layers; (text, layer, d_model).
Steering: margins of rows of one encoding, one direction added where a mask is true. Generation:
ids, with a direction added on every token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emoexp.vectors.pooling import SKIP_TOKENS

BATCH = 16
"""Texts at a time, in the order given: what a loop over batches does by itself."""


def batches(
    tokenizer: Any, texts: Sequence[str], size: int, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(texts), size):
        found = tokenizer(
            list(texts[start : start + size]),
            return_tensors="pt",
            padding=True,
            padding_side="right",
        ).to(device)
        yield {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}


def means(tokenizer: Any, batch: dict[str, Tensor], layers: Sequence[Tensor]) -> Tensor:
    """Means from the 50th token of the text on (a BOS before it is not counted); (text, layer,
    d_model)."""
    skip = SKIP_TOKENS + int(batch["input_ids"][0, 0] == tokenizer.bos_token_id)
    late = batch["attention_mask"].clone()
    late[:, :skip] = 0
    weights = late / late.sum(1, keepdim=True)
    return torch.stack([(h.float() * weights[:, :, None]).sum(1) for h in layers], 1).cpu()


@contextmanager
def hooked(blocks: Any, hooks: dict[int, Callable[[Any, Any, Any], Any]]) -> Iterator[None]:
    handles = [blocks[layer].register_forward_hook(hook) for layer, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def extract_hooks(
    network: Any, tokenizer: Any, texts: Sequence[str], size: int = BATCH
) -> np.ndarray:
    """PyTorch hooks on every block; size=1 is the plain loop of most replications. Without logits,
    which is in its favour."""
    blocks, found = network.model.layers, []
    for batch in batches(tokenizer, texts, size, network.device):
        held: dict[int, Tensor] = {}

        def keep(layer: int, held: dict[int, Tensor] = held) -> Callable[[Any, Any, Any], None]:
            return lambda module, inputs, output: held.__setitem__(
                layer, output[0] if isinstance(output, tuple) else output
            )

        with hooked(blocks, {layer: keep(layer) for layer in range(len(blocks))}):
            network.model(**batch, use_cache=False)
        found.append(means(tokenizer, batch, [held[layer] for layer in range(len(blocks))]))
    return torch.cat(found).numpy()


@torch.no_grad()
def extract_nnsight(
    traced: Any, tokenizer: Any, texts: Sequence[str], n_layers: int, device: torch.device
) -> np.ndarray:
    """nnsight as its first page shows: a trace, and .save() on each block's output."""
    found = []
    for batch in batches(tokenizer, texts, BATCH, device):
        saved = {}
        with traced.trace(batch):
            for layer in range(n_layers):
                saved[layer] = traced.model.layers[layer].output.save()
        held = [
            saved[layer][0] if isinstance(saved[layer], tuple) else saved[layer]
            for layer in range(n_layers)
        ]
        found.append(means(tokenizer, batch, held))
    return torch.cat(found).numpy()


@torch.no_grad()
def extract_bridge(
    bridge: Any, tokenizer: Any, texts: Sequence[str], n_layers: int, device: torch.device
) -> np.ndarray:
    """TransformerLens: run_with_cache with a filter for the blocks' outputs."""
    names, found = [f"blocks.{layer}.hook_out" for layer in range(n_layers)], []
    for batch in batches(tokenizer, texts, BATCH, device):
        _, cache = bridge.run_with_cache(
            batch["input_ids"],
            attention_mask=batch["attention_mask"],
            names_filter=lambda name: name in names,
        )
        found.append(means(tokenizer, batch, [cache[name] for name in names]))
    return torch.cat(found).numpy()


@torch.no_grad()
def extract_steering_vectors(network: Any, tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """steering-vectors: record_activations around a forward."""
    from steering_vectors import record_activations

    found = []
    for batch in batches(tokenizer, texts, BATCH, network.device):
        with record_activations(network) as recorded:
            network(**batch, use_cache=False)
        found.append(means(tokenizer, batch, [recorded[layer][0] for layer in sorted(recorded)]))
    return torch.cat(found).numpy()


Inputs = dict[str, Tensor]


def pair(logits: Tensor, options: tuple[int, int]) -> Tensor:
    """Margin after the last token; (row,)."""
    last = logits[:, -1].float()
    return (last[:, options[0]] - last[:, options[1]]).cpu()


def adding(addition: Tensor) -> Callable[[Any, Any, Any], Any]:
    """A hook that adds to a block's output."""

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        h = output[0] if isinstance(output, tuple) else output
        steered = h + addition.to(h)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered

    return hook


@torch.no_grad()
def margins_hooks(
    network: Any,
    inputs: Inputs,
    mask: Tensor,
    layers: Sequence[int],
    vectors: Tensor,
    options: tuple[int, int],
    tokens: int,
) -> Tensor:
    """Full forwards in batches of `tokens` padded tokens, logits of the last token only; vectors
    (direction, layer, d_model) -> (direction, row)."""
    rows, width = inputs["input_ids"].shape
    size = max(1, tokens // width)
    flat = [(k, r) for k in range(len(vectors)) for r in range(rows)]
    found = []
    for start in range(0, len(flat), size):
        ks, rs = (
            torch.tensor(x, device=mask.device)
            for x in zip(*flat[start : start + size], strict=True)
        )
        hooks = {
            layer: adding(mask[rs][:, :, None] * vectors[ks, b][:, None, :])
            for b, layer in enumerate(layers)
        }
        with hooked(network.model.layers, hooks):
            found.append(
                pair(
                    network(
                        **{name: t[rs] for name, t in inputs.items()},
                        use_cache=False,
                        logits_to_keep=1,
                    ).logits,
                    options,
                )
            )
    return torch.cat(found).view(len(vectors), rows)


@torch.no_grad()
def margins_nnsight(
    traced: Any, inputs: Inputs, mask: Tensor, layer: int, vector: Tensor, options: tuple[int, int]
) -> Tensor:
    with traced.trace(inputs):
        h = traced.model.layers[layer].output
        traced.model.layers[layer].output = h + (mask[:, :, None] * vector).to(h)
        logits = traced.lm_head.output.save()
    return pair(logits, options)[None]


@torch.no_grad()
def margins_bridge(
    bridge: Any, inputs: Inputs, mask: Tensor, layer: int, vector: Tensor, options: tuple[int, int]
) -> Tensor:
    hook = (f"blocks.{layer}.hook_out", lambda h, hook: h + (mask[:, :, None] * vector).to(h))
    logits = bridge.run_with_hooks(
        inputs["input_ids"],
        fwd_hooks=[hook],
        attention_mask=inputs["attention_mask"],
        position_ids=inputs["position_ids"],
    )
    return pair(logits, options)[None]


@torch.no_grad()
def margins_steering_vectors(
    network: Any, inputs: Inputs, mask: Tensor, layer: int, vector: Tensor, options: tuple[int, int]
) -> Tensor:
    from steering_vectors import SteeringVector

    with SteeringVector({layer: vector}).apply(
        network, token_indices=mask.long(), min_token_index=None
    ):
        return pair(network(**inputs, use_cache=False).logits, options)[None]


@torch.no_grad()
def generate_hooks(
    network: Any, inputs: Inputs, layer: int | None, vector: Tensor, tokens: int
) -> np.ndarray:
    """New ids of greedy generation, a direction added on every token at the output of `layer`
    (None: unsteered); (row, token)."""
    hooks = {} if layer is None else {layer: adding(vector)}
    with hooked(network.model.layers, hooks):
        found = network.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return found[:, inputs["input_ids"].shape[1] :].cpu().numpy()


@torch.no_grad()
def generate_steering_vectors(
    network: Any, inputs: Inputs, layer: int, vector: Tensor, tokens: int
) -> np.ndarray:
    from steering_vectors import SteeringVector

    with SteeringVector({layer: vector}).apply(network):
        return generate_hooks(network, inputs, None, vector, tokens)


def load_nnsight(network: Any, tokenizer: Any) -> Any:
    from nnsight.modeling.transformers import (
        TransformersModel,
    )

    return TransformersModel(network, tokenizer=tokenizer, task="text-generation")


def load_bridge(network: Any, tokenizer: Any, folder: str) -> Any:
    """TransformerLens 4's bridge over a network of its own, which it rebuilds in place."""
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(
        folder,
        hf_model=network,
        tokenizer=tokenizer,
        device=str(network.device),
        dtype=network.dtype,
    )


@torch.no_grad()
def generate_bridge(
    bridge: Any, inputs: Inputs, layer: int, vector: Tensor, tokens: int
) -> np.ndarray:
    """TransformerLens: generation by the network that it wraps, inside its `hooks` context."""
    with bridge.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", lambda h, hook: h + vector.to(h))]):
        found = bridge.hf_generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=tokens,
            do_sample=False,
            stop_at_eos=False,
            return_type="tokens",
        )
    return found[:, inputs["input_ids"].shape[1] :].cpu().numpy()
