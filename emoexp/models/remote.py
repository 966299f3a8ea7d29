"""The subject model on NDIF's servers: the same interface, without weights on this machine.

A trace that is sent to a server may contain nothing of emoexp's, so each trace body here uses plain
tensors and modules only. Replay and seeded sampling do not apply. It was tried with nnsight's
`remote="local"`, which serialises a trace and runs it on this machine, and never with a server.
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
from emoexp.models.sampling import RowStop
from emoexp.models.subject import Generated, Steering, SubjectModel, T


class RemoteModel(SubjectModel):
    """A subject model whose forward passes run on NDIF; `where` is the value for nnsight's
    `remote`."""

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
        """Connects to the model of `config` on NDIF.

        Raises:
            EmoexpError: no key, no such model, or the server refuses.
        """
        remote = load_remote(config)
        with explained(f"model.remote=true, model.repo_id={config.repo_id!r}"):
            return cls(remote.traced, remote.tokenizer, config, remote.dtype)

    def wrapped(self) -> Any:
        """Returns the network as nnsight traces it."""
        return self._traced

    def read_unembedding(self) -> Unembedding:
        """Fetches the unembedding's weights (a gigabyte for an 8B model) and the effect of the
        final norm; called once."""
        norm, head = (
            get_submodule(self.traced, path) for path in (self.paths.norm, self.paths.unembedding)
        )
        probe = norm_probe(self.d_model).to(self.network.dtype)
        inputs = self.inputs(self.encode([Prompt("A")]))
        local_head = get_submodule(self.network, self.paths.unembedding)
        biased = getattr(local_head, "bias", None) is not None
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
        """Returns hidden states and logits as transformers gives them; float32, on the CPU."""
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
        """Reads the residual stream at the output of `layers`; (layer, row, token, d_model)."""
        self.check_layers(layers)
        blocks, order = self.blocks, sorted(layers)
        with self.traced.trace(
            **self.inputs(encoding), use_cache=False, remote=self.where
        ) as tracer:
            saved = nnsight.save([])
            for layer in order:
                saved.append(blocks[layer].output.float().cpu())
            tracer.stop()
        return torch.stack(
            [
                self.real(saved[order.index(layer)], encoding, f"at layer {layer}")
                for layer in layers
            ]
        )

    def each_residual(
        self, encoding: Encoding, layers: Sequence[int], use: Callable[[Tensor], T]
    ) -> list[T]:
        """Returns the result of `use` for the residual stream of each of `layers`; all layers are
        fetched first."""
        return [use(residual) for residual in self.residuals(encoding, layers)]

    def final_residuals(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Fetches the last token's residual after the final norm; (row, d_model)."""
        return self.fetch_normed(encoding, steering, slice(-1, None))[:, 0]

    def normed(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Fetches the residual stream after the final norm; (row, token, d_model)."""
        return self.fetch_normed(encoding, steering, slice(None))

    @torch.no_grad()
    def fetch_normed(self, encoding: Encoding, steering: Steering | None, tokens: slice) -> Tensor:
        """Fetches `normed` of some tokens only, since the result crosses the network."""
        blocks, norm = self.blocks, get_submodule(self.traced, self.paths.norm)
        added = additions(steering)
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
        stop: RowStop | None = None,
    ) -> Generated:
        """Generates greedy continuations. They run to `max_new_tokens` on the server and are cut at
        the end token on this machine, since a trace that ends before its last step is lost.

        Raises:
            EmoexpError: sampling is asked for; the random numbers of a server cannot be seeded from
                this machine.
            ValueError: rows are to be stopped, which a server cannot do from here.
        """
        if stop is not None:
            raise ValueError("a remote model cannot stop its rows one by one")
        if temperature > 0:
            raise EmoexpError(
                "model.remote=true samples with no seed of ours: use temperature 0, or a model on"
                " this machine"
            )
        self.check_length(encoding, max_new_tokens)
        new_ids = self._generate_ids(encoding, max_new_tokens, steering)
        return self.generated(new_ids.tolist())

    def _generate_ids(
        self, encoding: Encoding, max_new_tokens: int, steering: Steering | None
    ) -> Tensor:
        """Runs a greedy generation on the server and returns the new ids; (row, token)."""
        blocks = self.blocks
        prompt = additions(steering)
        step = {layer: steering.vectors[layer][:, None] for layer in prompt} if steering else {}
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
        return ids[:, encoding.ids.shape[1] :]


def additions(steering: Steering | None) -> dict[int, Tensor]:
    """Returns what `steering` adds to the prompt by layer, in rising order; (row, token, d_model)
    each."""
    if steering is None:
        return {}
    return {layer: steering.addition(layer) for layer in sorted(steering.vectors)}
