"""The subject model: residuals, logits, steering, generation. This file and replay.py are the only ones that know nnsight.

`layer` is the 0-based decoder block whose *output* is read or written: hidden_states[layer + 1] of transformers, before the
final norm.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.prompts import Encoding, Prompt, encode

BUNDLED = Path(__file__).parent / "data" / "models"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Steering:
    """h[row, token] += vectors[layer][row] at the output of each named layer, where `mask` is true.

    `vectors` maps a layer to (row, d_model) or (1, d_model); `mask` is (row, token) over the prompt.
    """

    vectors: Mapping[int, Tensor]
    mask: Tensor

    def addition(self, layer: int) -> Tensor:
        """What is added at `layer`; (row, token, d_model)."""
        return self.mask[:, :, None] * self.vectors[layer][:, None, :]


def resolve_repo(config: ModelConfig) -> str:
    """A hub id or folder; `bundled:<name>` becomes the folder it ships in."""
    if not config.repo_id.startswith("bundled:"):
        return config.repo_id
    name = config.repo_id.removeprefix("bundled:")
    if not (BUNDLED / name / "config.json").exists():
        shipped = sorted(p.parent.name for p in BUNDLED.glob("*/config.json"))
        raise EmoexpError(f"there is no bundled model {name!r}: choose from {', '.join(shipped) or 'none'}")
    return str(BUNDLED / name)


class SubjectModel:
    """A causal language model under study. Whatever its dtype, residuals and logits come back as float32."""

    def __init__(self, network: Any, tokenizer: Any, config: ModelConfig) -> None:
        from nnsight.modeling.transformers import TransformersModel

        self.config, self.network, self.tokenizer = config, network.eval().requires_grad_(False), tokenizer
        self.traced = TransformersModel(network, tokenizer=tokenizer, task="text-generation")
        if not isinstance(getattr(getattr(network, "model", None), "layers", None), torch.nn.ModuleList):
            raise EmoexpError(f"{type(network).__name__}: no decoder blocks at model.layers; only Llama-like models so far")
        self.blocks = self.traced.model.layers

    @classmethod
    def load(cls, config: ModelConfig) -> Self:
        """The model and tokenizer of `config`, through transformers' Auto classes; safetensors only."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if config.dtype not in DTYPES:
            raise EmoexpError(f"model.dtype={config.dtype!r} is unknown: choose from {', '.join(DTYPES)}")
        options = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
        repo = resolve_repo(config)
        try:
            tokenizer = AutoTokenizer.from_pretrained(repo, **options)
            network = AutoModelForCausalLM.from_pretrained(repo, dtype=DTYPES[config.dtype], use_safetensors=True, **options)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise EmoexpError(f"model.repo_id={config.repo_id!r} could not be loaded: {reason}") from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        return cls(network.to(device), tokenizer, config)

    @property
    def n_layers(self) -> int:
        return len(self.network.model.layers)

    @property
    def d_model(self) -> int:
        return int(self.network.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        return torch.device(self.network.device)

    def encode(self, prompts: Sequence[Prompt], side: str = "left") -> Encoding:
        return encode(prompts, self.tokenizer, side)

    def inputs(self, encoding: Encoding) -> dict[str, Tensor]:
        """An encoding as the model's keyword arguments; the mask and positions are always passed."""
        return {
            "input_ids": encoding.ids.to(self.device),
            "attention_mask": encoding.mask.long().to(self.device),
            "position_ids": encoding.positions.to(self.device),
        }

    def check_layers(self, layers: Iterable[int]) -> None:
        for layer in layers:
            if not 0 <= layer < self.n_layers:
                raise EmoexpError(f"layer={layer} is out of range: the model has {self.n_layers} blocks, 0 to {self.n_layers - 1}")

    @torch.no_grad()
    def residuals(self, encoding: Encoding, layers: Sequence[int]) -> Tensor:
        """Residual stream at the output of `layers`, one forward up to the last of them; (layer, row, token, d_model)."""
        self.check_layers(layers)
        saved = {}
        with self.traced.trace(**self.inputs(encoding), use_cache=False) as tracer:
            for layer in sorted(layers):
                saved[layer] = self.blocks[layer].output.save()
            tracer.stop()
        return torch.stack([saved[layer].float() for layer in layers])

    @torch.no_grad()
    def next_token_logits(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Logits after the last token of each row, by a full forward; (row, vocabulary). The exact path that fast ones are tested against.

        Rows must end at the same place: left padding.
        """
        if not bool(encoding.mask[:, -1].all()):
            raise ValueError("next-token logits need left padding")
        steered = sorted(steering.vectors) if steering else []
        self.check_layers(steered)
        with self.traced.trace(**self.inputs(encoding), use_cache=False, logits_to_keep=1):
            for layer in steered:
                added = steering.addition(layer).to(self.device)  # type: ignore[union-attr]
                self.blocks[layer].output = self.blocks[layer].output + added.to(self.blocks[layer].output.dtype)
            logits = self.traced.output.logits.save()
        return logits[:, -1].float()

    @torch.no_grad()
    def generate(self, encoding: Encoding, *, max_new_tokens: int, seed: int, temperature: float = 0.0, steering: Steering | None = None) -> list[str]:
        """Continuations of left-padded rows; greedy at temperature 0. Steering acts where its mask is true in the prompt,
        and on every generated token."""
        options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": temperature > 0}
        if temperature > 0:
            options |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
        arguments = {"input_ids": encoding.ids.to(self.device), "attention_mask": encoding.mask.long().to(self.device)}
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = self.traced if steering is None else self._steered(steering)
            result = traced.generate(arguments, **options)
        return list(self.tokenizer.batch_decode(result[:, encoding.ids.shape[1] :], skip_special_tokens=True))

    def _steered(self, steering: Steering) -> Any:
        """A copy of the traced model that steers at every step of a generation, and stops when the generation stops."""
        layers = sorted(steering.vectors)
        self.check_layers(layers)
        prompt = {layer: steering.addition(layer).to(self.device) for layer in layers}
        step = {layer: steering.vectors[layer][:, None, :].to(self.device) for layer in layers}
        with self.traced.edit() as (tracer, edited):
            for _ in tracer.iter[:]:
                for layer in layers:
                    output = edited.model.layers[layer].output
                    added = prompt[layer] if output.shape[1] == prompt[layer].shape[1] else step[layer]
                    edited.model.layers[layer].output = output + added.to(output.dtype)
        return edited

    @torch.no_grad()
    def unembed(self, directions: np.ndarray) -> np.ndarray:
        """Directions through the final norm's gain and the unembedding (logit lens); (n, d_model) -> (n, vocabulary)."""
        vectors = torch.as_tensor(directions, dtype=torch.float32, device=self.device)
        gain = self.network.model.norm.weight.float()
        return (vectors * gain @ self.network.get_output_embeddings().weight.float().T).cpu().numpy().astype(np.float64)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What changes the model's numbers: repository, revision, dtype and, for a folder, the hash of its weights."""
        from emoexp.provenance import hash_files

        repo = Path(resolve_repo(self.config))
        weights = hash_files(sorted(repo.glob("*.safetensors"))) if repo.is_dir() else None
        revision = self.config.revision or getattr(self.network.config, "_commit_hash", None)
        return {"repo_id": self.config.repo_id, "revision": revision, "dtype": self.config.dtype, "weights": weights}


def quiet() -> None:
    """Silences what nnsight and transformers print by design (edits that a short generation never reaches, advice)."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"nnsight.*")
