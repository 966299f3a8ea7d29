"""The subject model on NDIF's servers: the same interface, and no weights on this machine.

A trace that is sent away may hold nothing of emoexp's, so its body here is written out in plain
tensors and modules. Replay and seeded sampling do not apply. Tried with nnsight's `remote="local"`,
which serialises a trace and runs it here; never with a server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import nnsight
import torch
from torch import Tensor

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.models.architectures import Unembedding, get_submodule, norm_probe
from emoexp.models.loading.hub_errors import explained
from emoexp.models.loading.load import load_remote
from emoexp.models.prompts import Encoding, Prompt
from emoexp.models.subject import Generated, Steering, SubjectModel, T


class RemoteModel(SubjectModel):
    """A subject model whose forward passes run elsewhere; `where` is what nnsight's `remote`
    gets."""

    def __init__(
        self,
        traced: Any,
        tokenizer: Any,
        config: ModelConfig,
        dtype: str,
        *,
        where: bool | str = True,
    ) -> None:
        self.where, self._traced = where, traced
        super().__init__(traced._module, tokenizer, config, dtype=dtype, device=torch.device("cpu"))

    @classmethod
    def connect(cls, config: ModelConfig) -> Self:
        """The model of `config` on NDIF.

        Raises:
            EmoexpError: no key, no such model, or the server does not do it.
        """
        remote = load_remote(config)
        with explained(f"model.remote=true, model.repo_id={config.repo_id!r}"):
            return cls(remote.traced, remote.tokenizer, config, remote.dtype)

    def wrapped(self) -> Any:
        return self._traced

    def read_unembedding(self) -> Unembedding:
        """Fetched once: the unembedding's weights (a gigabyte for an 8B model) and what the final
        norm does."""
        norm, head = (
            get_submodule(self.traced, path) for path in (self.paths.norm, self.paths.unembedding)
        )
        probe = norm_probe(self.d_model).to(self.network.dtype)
        inputs, biased = (
            self.inputs(self.encode([Prompt("A")])),
            getattr(get_submodule(self.network, self.paths.unembedding), "bias", None) is not None,
        )
        with self.traced.trace(**inputs, use_cache=False, remote=self.where):
            saved = nnsight.save({})
            saved["normed"] = norm(probe).cpu()
            saved["weight"] = head.weight.detach().cpu()
            if biased:
                saved["bias"] = head.bias.detach().float().cpu()
        return Unembedding.from_parts(
            self.network.config, saved["weight"], saved.get("bias"), saved["normed"]
        )

    @torch.no_grad()
    def reference(self, encoding: Encoding) -> tuple[Sequence[Tensor], Tensor]:
        traced = self.traced
        with traced.trace(
            **self.inputs(encoding), use_cache=False, output_hidden_states=True, remote=self.where
        ):
            output = traced.output
            hidden = nnsight.save([h.float().cpu() for h in output.hidden_states])
            logits = output.logits.float().cpu().save()
        return hidden, logits

    @torch.no_grad()
    def residuals(self, encoding: Encoding, layers: Sequence[int]) -> Tensor:
        self.check_layers(layers)
        blocks, order = self.blocks, sorted(layers)
        with self.traced.trace(
            **self.inputs(encoding), use_cache=False, remote=self.where
        ) as tracer:
            saved = nnsight.save([])
            for layer in order:
                saved.append(blocks[layer].output.float().cpu())
            tracer.stop()
        return torch.stack([saved[order.index(layer)] for layer in layers])

    def each_residual(
        self, encoding: Encoding, layers: Sequence[int], use: Callable[[Tensor], T]
    ) -> list[T]:
        return [use(residual) for residual in self.residuals(encoding, layers)]

    def final_residuals(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        return self.fetch_normed(encoding, steering, slice(-1, None))[:, 0]

    def normed(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        return self.fetch_normed(encoding, steering, slice(None))

    @torch.no_grad()
    def fetch_normed(self, encoding: Encoding, steering: Steering | None, tokens: slice) -> Tensor:
        """`normed` of some tokens only: what is fetched crosses the network."""
        blocks, norm = self.blocks, get_submodule(self.traced, self.paths.norm)
        added = (
            {}
            if steering is None
            else {layer: steering.addition(layer) for layer in sorted(steering.vectors)}
        )
        self.check_layers(added)
        with self.traced.trace(
            **self.inputs(encoding), use_cache=False, remote=self.where
        ) as tracer:
            for layer in added:
                blocks[layer].output = blocks[layer].output + added[layer].to(blocks[layer].output)
            final = norm.output[:, tokens].float().cpu().save()
            tracer.stop()
        return final

    @torch.no_grad()
    def generate(
        self,
        encoding: Encoding,
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        steering: Steering | None = None,
        use_cache: bool = True,
    ) -> Generated:
        """Greedy continuations. They run to `max_new_tokens` there and are cut at the end token
        here, since a trace that ends before its last step is lost.

        Raises:
            EmoexpError: sampling is asked for; a server's random numbers cannot be seeded from
                here.
        """
        if temperature > 0:
            raise EmoexpError(
                "model.remote=true samples with no seed of ours: use temperature 0, or a model on"
                " this machine"
            )
        blocks, width = self.blocks, encoding.ids.shape[1]
        prompt = (
            {}
            if steering is None
            else {layer: steering.addition(layer) for layer in sorted(steering.vectors)}
        )
        step = (
            {layer: steering.vectors[layer][:, None] for layer in prompt}
            if steering is not None
            else {}
        )
        self.check_layers(prompt)
        with self.traced.generate(
            encoding.ids,
            attention_mask=encoding.mask.long(),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=-1,
            remote=self.where,
        ) as tracer:
            for i in tracer.iter[:max_new_tokens]:
                for layer in prompt:
                    residual = blocks[layer].output
                    blocks[layer].output = residual + (
                        prompt[layer][:, -residual.shape[1] :] if i == 0 else step[layer]
                    ).to(residual)
            ids = tracer.result.cpu().save()
        return self.generated(ids[:, width:].tolist())
