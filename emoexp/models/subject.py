"""The subject model: residuals, logits, steering, generation. Only this file, remote.py,
loading/load.py and steering/replay.py import nnsight.

`layer` is the 0-based decoder block whose *output* is read or written: hidden_states[layer + 1] of
transformers, before the final norm.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from emoexp.config import PLAIN_TURNS, ModelConfig, PromptFormat, check_blocks
from emoexp.errors import EmoexpError, shortened
from emoexp.models.architectures import Unembedding, find_paths, get_submodule
from emoexp.models.chat import DATE, Exchanges, template_hash
from emoexp.models.check import check_model
from emoexp.models.loading.load import LayerCheck, load_network, resolve_repo
from emoexp.models.prompts import Encoding, Prompt, ask, encode
from emoexp.models.sampling import PerRowSampler, RowStop, refuse_not_finite

T = TypeVar("T")


@dataclass(frozen=True)
class Steering:
    """The intervention `h[row, token] += vectors[layer][row]` at the output of each named layer,
    where `mask` is true.

    `vectors` maps a layer to (row, d_model) or (1, d_model); `mask` is (row, token) over the
    prompt.
    """

    vectors: Mapping[int, Tensor]
    mask: Tensor

    def addition(self, layer: int, start: int = 0, end: int | None = None) -> Tensor:
        """Returns what is added at `layer` to tokens start..end-1; (row, token, d_model)."""
        return self.mask[:, start:end, None] * self.vectors[layer][:, None, :]


@dataclass(frozen=True)
class Generated:
    """Generated text, by row.

    Attributes:
        ids: new tokens, without the one that ended the text.
        ended: whether the row ended with an end token; else it was cut at max_new_tokens.
        texts: the ids as text, without special tokens.
    """

    ids: tuple[tuple[int, ...], ...]
    ended: tuple[bool, ...]
    texts: tuple[str, ...]


NO_GENERATION = {"_from_model_config", "transformers_version", "use_cache", "do_sample"}
"""Entries of a generation config that change no token here."""
LOGITS_AT_ONCE = 2**26
"""Largest number of logits in memory at once where whole distributions are needed: 256 MB of
float32."""


class SubjectModel:
    """A causal language model under study. Residuals and logits are returned as float32, whatever
    the model's dtype.

    Raises:
        EmoexpError: a part of the architecture is not found, or fails the check.
    """

    commit: str | None = None
    """The commit of the hub's repository; None where the model is not from the hub."""
    gguf: Path | None = None
    """The GGUF file that the weights were read from."""
    quantized: str | None = None
    """The quantization that they had in it."""
    blocks_give_tuples = False
    """Whether a block's output is a tuple (Falcon), as `read` has seen it when it was opened."""
    bos: str | None = None
    """Who puts BOS before a prompt; see `bos_of`. None where no tokenizer was loaded."""

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        config: ModelConfig,
        *,
        dtype: str | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.config = config
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.dtype = dtype or str(network.dtype).removeprefix("torch.")
        self.device = device or torch.device(network.device)
        if not tokenizer.is_fast:
            raise EmoexpError(
                f"{config.repo_id}: its tokenizer has no offsets (not a fast one), so spans cannot"
                " be marked"
            )
        self.paths = find_paths(network, config.modules)
        self.traced = self.wrapped()
        self.blocks = get_submodule(self.traced, self.paths.layers)
        self.unembedding = self.read_unembedding()
        check_model(self)

    @classmethod
    def load(cls, config: ModelConfig, check: LayerCheck | None = None) -> SubjectModel:
        """Loads the weights and tokenizer of `config` on this machine; see `open_model`."""
        loaded = load_network(config, check)
        model = cls(
            loaded.network, loaded.tokenizer, config, dtype=loaded.dtype, device=loaded.device
        )
        model.commit, model.bos = loaded.commit, loaded.bos
        model.gguf, model.quantized = loaded.gguf, loaded.quantized
        return model

    def ask(
        self,
        content: Prompt,
        prefill: str = "",
        system: str | None = None,
        earlier: Exchanges = (),
    ) -> Prompt:
        """Returns `content` as a user's turn in the model's format; see `prompts.ask`."""
        return ask(
            content,
            self.config.format,
            self.tokenizer,
            prefill,
            system,
            turns=self.config.plain_turns,
            earlier=earlier,
        )

    def wrapped(self) -> Any:
        """Returns the network as nnsight traces it."""
        from nnsight.modeling.transformers import TransformersModel

        return TransformersModel(self.network, tokenizer=self.tokenizer, task="text-generation")

    def read_unembedding(self) -> Unembedding:
        """Reads the final norm and the unembedding from the network."""
        return Unembedding.of(self.network, self.paths)

    def reference(self, encoding: Encoding) -> tuple[Sequence[Tensor], Tensor]:
        """Returns hidden states and logits as transformers gives them."""
        output = self.network(**self.inputs(encoding), use_cache=False, output_hidden_states=True)
        return output.hidden_states, output.logits

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(get_submodule(self.network, self.paths.layers))

    @property
    def last_steerable_layer(self) -> int:
        """The last block whose output on an earlier token can still reach the last one: some block
        above it must compute its own keys and values. That is the last block but one, and lower
        where the upper blocks reuse keys and values (Gemma-4 E4B).
        """
        text = self.network.config.get_text_config()
        return self.n_layers - 2 - int(getattr(text, "num_kv_shared_layers", None) or 0)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.network.config.get_text_config().hidden_size)

    def encode(self, prompts: Sequence[Prompt], side: str = "left") -> Encoding:
        """Tokenizes prompts and pads them on `side`; see `prompts.encode`."""
        return encode(prompts, self.tokenizer, side)

    def inputs(self, encoding: Encoding) -> dict[str, Tensor]:
        """Returns an encoding as the model's keyword arguments, always with the mask and the
        positions.

        Raises:
            EmoexpError: a row has more tokens than the model has positions, or a token that the
                model does not know.
        """
        self.check_length(encoding)
        self._check_ids(encoding)
        return {
            "input_ids": encoding.ids.to(self.device),
            "attention_mask": encoding.mask.long().to(self.device),
            "position_ids": encoding.positions.to(self.device),
        }

    def check_length(self, encoding: Encoding, new_tokens: int = 0) -> None:
        """Raises EmoexpError where a row and `new_tokens` after it have more tokens than the model
        has positions."""
        lengths = encoding.mask.sum(1)
        longest = int(lengths.max())
        if self.positions is None or longest + new_tokens <= self.positions:
            return
        new = f" and {new_tokens} new ones" if new_tokens else ""
        raise EmoexpError(
            f"{self.excerpt(encoding, int(lengths.argmax()))} has {longest} tokens{new}, and"
            f" {self.config.name} reads {self.positions}: shorten it, or choose another model"
        )

    def _check_ids(self, encoding: Encoding) -> None:
        """Raises EmoexpError where the tokenizer gives a token that the model has no embedding of,
        such as one that was added to the tokenizer alone."""
        known = getattr(self.network.config.get_text_config(), "vocab_size", None)
        largest = int(encoding.ids.max())
        if known is not None and largest >= known:
            token = self.tokenizer.convert_ids_to_tokens(largest)
            raise EmoexpError(
                f"{self.config.name}: the tokenizer gives {token!r} the id {largest}, and the model"
                f" knows {known} tokens: take the tokenizer of this model"
            )

    def excerpt(self, encoding: Encoding, row: int) -> str:
        """Returns the beginning of a row's text in quotes, for messages."""
        ids = encoding.ids[row][encoding.mask[row]][:24]
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return repr(shortened(text, 80))

    def real(self, values: Tensor, encoding: Encoding, where: str) -> Tensor:
        """Returns numbers (row, token, d_model) of which those at padding are 0 if any of these is
        not finite: padding has no meaning, and NaN times a weight of 0 is NaN.

        Raises:
            EmoexpError: a number at a real token is not finite; names the row's text.
        """
        broken = ~values.sum(-1).isfinite()
        if not bool(broken.any()):
            return values
        mask = encoding.mask.to(values.device)
        rows = (broken & mask & ~values.isfinite().all(-1)).any(1)
        if not bool(rows.any()):
            return values.masked_fill(~mask[..., None], 0)
        raise EmoexpError(
            f"{self.config.name}: activations are not numbers (NaN or infinite) {where} in"
            f" {int(rows.sum())} of {len(rows)} texts of a batch, the first is"
            f" {self.excerpt(encoding, int(rows.long().argmax()))}: if the model runs in float16,"
            " use model.dtype=bfloat16 or float32; if it is steered, a smaller strength"
        )

    def check_layers(self, layers: Iterable[int]) -> None:
        """Raises EmoexpError where the model has no block of one of these numbers."""
        check_blocks(layers, self.n_layers)

    def residuals(self, encoding: Encoding, layers: Sequence[int]) -> Tensor:
        """Returns the residual stream at the output of `layers`, by one forward up to the last of
        them; (layer, row, token, d_model)."""
        # Sharded layers are on several devices.
        residuals = self.each_residual(encoding, layers, lambda residual: residual.to(self.device))
        return torch.stack(residuals)

    @torch.no_grad()
    def each_residual(
        self, encoding: Encoding, layers: Sequence[int], use: Callable[[Tensor], T]
    ) -> list[T]:
        """Returns the result of `use` for the residual stream (row, token, d_model) at the output
        of each of `layers`. `use` is called layer by layer during one forward up to the last of
        them, so that no residual stays in memory unless `use` stores it."""
        self.check_layers(layers)
        results = dict[int, T]()
        with self.traced.trace(**self.inputs(encoding), use_cache=False) as tracer:
            for layer in sorted(layers):
                residual = self.real(self.read(layer).float(), encoding, f"at layer {layer}")
                results[layer] = use(residual)
            tracer.stop()
        return [results[layer] for layer in layers]

    def read(self, layer: int, traced: Any = None) -> Any:
        """Returns the residual stream at the output of `layer`; to be called within a trace."""
        blocks = self.blocks if traced is None else get_submodule(traced, self.paths.layers)
        output = blocks[layer].output
        self.blocks_give_tuples = isinstance(output, tuple)
        return output[0] if self.blocks_give_tuples else output

    def write(self, layer: int, residual: Any, traced: Any = None) -> None:
        """Replaces the output of `layer` by `residual`; to be called within a trace."""
        blocks = self.blocks if traced is None else get_submodule(traced, self.paths.layers)
        block = blocks[layer]
        block.output = (
            (residual, *block.output[1:]) if isinstance(block.output, tuple) else residual
        )

    def skip(self, layer: int, residual: Any) -> None:
        """Puts `residual` in place of a block, which does not run; to be called within a trace."""
        self.blocks[layer].skip((residual, None) if self.blocks_give_tuples else residual)

    def final_residuals(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Returns the last token's residual after the final norm, by a full forward; (row,
        d_model). Faster ways are tested against this one, which is exact.

        Raises:
            ValueError: a row ends in padding; rows must be padded on the left.
        """
        if not bool(encoding.mask[:, -1].all()):
            raise ValueError("next-token logits need left padding")
        return self.normed(encoding, steering)[:, -1].float()

    @torch.no_grad()
    def normed(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Returns the residual stream after the final norm, by a full forward; (row, token,
        d_model)."""
        steered = sorted(steering.vectors) if steering else []
        self.check_layers(steered)
        saved = dict[str, Tensor]()
        with self.traced.trace(**self.inputs(encoding), use_cache=False) as tracer:
            for layer in steered:
                added = steering.addition(layer)  # type: ignore[union-attr]
                residual = self.read(layer)
                self.write(layer, residual + added.to(residual))
            saved["final"] = get_submodule(self.traced, self.paths.norm).output.save()
            tracer.stop()
        return self.real(saved["final"], encoding, "after the final norm")

    @torch.no_grad()
    def log_probs(
        self, encoding: Encoding, wanted: Tensor, steering: Steering | None = None
    ) -> Tensor:
        """Returns the log-probability of each token where `wanted` (row, token) is true, given the
        tokens before it; NaN elsewhere; (row, token), on the CPU.

        Raises:
            ValueError: a wanted token has none before it, or is padding.
        """
        wanted = wanted.to(encoding.ids.device)
        padding = ~encoding.mask
        first = encoding.positions == 0
        if bool((wanted & padding).any()) or bool((wanted & first).any()):
            raise ValueError("a first token, or padding, has no probability")
        before = wanted[:, 1:]  # the residual at token t - 1 predicts token t
        normed = self.normed(encoding, steering)[:, :-1][before.to(self.device)].float()
        targets = encoding.ids[:, 1:][before].to(self.device)
        rows = max(1, LOGITS_AT_ONCE // len(self.tokenizer))
        parts = [
            self.unembedding.logits(h).log_softmax(-1).gather(1, t[:, None])[:, 0]
            for h, t in zip(normed.split(rows), targets.split(rows), strict=True)
        ]
        result = torch.full(wanted.shape, torch.nan)
        result[wanted.cpu()] = torch.cat(parts).cpu() if parts else torch.empty(0)
        self.check_logits(result[wanted.cpu()])
        return result

    def next_token_logits(self, encoding: Encoding, steering: Steering | None = None) -> Tensor:
        """Returns the logits after the last token of each row of a left-padded encoding; (row,
        vocabulary)."""
        return self.unembedding.logits(self.final_residuals(encoding, steering))

    def check_logits(self, values: Tensor) -> None:
        """Raises EmoexpError where a number that was computed from logits is not finite, as with a
        logit of -inf."""
        if not bool(values.isfinite().all()):
            raise EmoexpError(
                f"{self.config.name}: {int((~values.isfinite()).sum())} of {values.numel()} numbers"
                " computed from logits are not finite: the model gives a token that is asked for"
                " the logit -inf or NaN"
            )

    def margins(
        self, encoding: Encoding, options: tuple[int, int], steering: Steering | None = None
    ) -> Tensor:
        """Returns logit(first option) - logit(second) after the last token of each row; (row,), on
        the CPU."""
        return self.margin(self.final_residuals(encoding, steering), options)

    def margin(self, finals: Tensor, options: tuple[int, int]) -> Tensor:
        """Returns logit(first option) - logit(second) of residuals after the final norm;
        (..., d_model) -> (...), on the CPU."""
        pair = self.unembedding.logits(finals, list(options))
        margin = (pair[..., 0] - pair[..., 1]).cpu()
        self.check_logits(margin)
        return margin

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
        """Generates continuations of left-padded rows: greedy at temperature 0, else sampled with
        one seed per row, so that the text of a row is the same in any batch (but for rounding).
        Steering acts where its mask is true in the prompt, and on every generated token. `stop`
        ends rows before that.
        """
        if not bool(encoding.mask[:, -1].all()):
            raise ValueError("generation needs left padding")
        self.check_length(encoding, max_new_tokens)
        pad = self.tokenizer.pad_token_id
        options: dict[str, Any] = {"do_sample": False, "use_cache": use_cache, "pad_token_id": pad}
        options["max_new_tokens"] = max_new_tokens
        options["logits_processor"] = [refuse_not_finite]
        if temperature > 0:
            if seeds is None or len(seeds) != len(encoding.ids):
                raise ValueError("sampling needs a seed for each row")
            options["logits_processor"].append(PerRowSampler(seeds, temperature, top_p))
        if stop is not None:
            options["stopping_criteria"] = [stop]
        arguments = {
            "input_ids": encoding.ids.to(self.device),
            "attention_mask": encoding.mask.long().to(self.device),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if steering is None:
                result = self.network.generate(**arguments, **options)
            else:
                result = self._steered(steering, max_new_tokens).generate(arguments, **options)
        return self.generated(result[:, encoding.ids.shape[1] :].tolist())

    def generated(self, rows: Sequence[Sequence[int]]) -> Generated:
        """Returns the rows of new ids that a generation gave, each cut before its first end token,
        with their texts."""
        ends = self.end_tokens
        lengths = [
            next((i for i, token in enumerate(row) if token in ends), len(row)) for row in rows
        ]
        ids = tuple(tuple(row[:n]) for row, n in zip(rows, lengths, strict=True))
        ended = tuple(n < len(row) for row, n in zip(rows, lengths, strict=True))
        texts = self.tokenizer.batch_decode([list(row) for row in ids], skip_special_tokens=True)
        return Generated(ids, ended, tuple(texts))

    @property
    def end_tokens(self) -> set[int]:
        """Returns the ids of the tokens that end a text."""
        eos = self.network.generation_config.eos_token_id
        return {eos} if isinstance(eos, int) else set(eos or ())

    @property
    def positions(self) -> int | None:
        """Returns how many tokens the model can read at once; None if its config has no limit."""
        return getattr(self.network.config.get_text_config(), "max_position_embeddings", None)

    @property
    def special_ids(self) -> set[int]:
        """Returns the ids of the tokenizer's special tokens, without that for what it does not
        know, which any text may hold."""
        added = self.tokenizer.added_tokens_decoder.items()
        marked = {token for token, content in added if content.special}
        return {*self.tokenizer.all_special_ids, *marked} - {self.tokenizer.unk_token_id}

    def special_in(self, text: str) -> list[str]:
        """Returns the special tokens that the tokenizer would read in a text."""
        names = self.tokenizer.convert_ids_to_tokens(sorted(self.special_ids))
        return [name for name in names if name in text]

    def _steered(self, steering: Steering, max_new_tokens: int) -> Any:
        """Returns a copy of the traced model that steers at every step of a generation and stops
        when the generation stops.

        The output of a block may cover the new token, the whole text (without a cache), or only the
        end of the prompt (Gemma-4's upper blocks, which reuse keys and values). It always ends at
        the token that was read last.
        """
        layers = sorted(steering.vectors)
        self.check_layers(layers)
        width = steering.mask.shape[1]
        new_tokens = steering.mask.new_ones(len(steering.mask), max_new_tokens)
        whole = Steering(steering.vectors, torch.cat([steering.mask, new_tokens], 1))
        with self.traced.edit() as (tracer, edited):
            for i in tracer.iter[:]:
                for layer in layers:
                    residual = self.read(layer, edited)
                    end = width + i
                    added = whole.addition(layer, end - residual.shape[1], end)
                    self.write(layer, residual + added.to(residual), edited)
        return edited

    @torch.no_grad()
    def unembed(self, directions: np.ndarray) -> np.ndarray:
        """Applies the linear part of the final norm and the unembedding to directions (logit lens);
        (n, d_model) -> (n, vocabulary)."""
        logits = self.unembedding.lens(torch.as_tensor(directions, dtype=torch.float32))
        return logits.cpu().numpy().astype(np.float64)

    @cached_property
    def format_identity(self) -> dict[str, str]:
        """The settings that change the prompts: the format and, for a chat, the template and the
        date that it gets."""
        if self.config.format is PromptFormat.plain:
            turns = self.config.plain_turns
            other = {} if tuple(turns) == PLAIN_TURNS else {"turns": json.dumps(turns)}
            return {"format": self.config.format.value} | other
        return {
            "format": self.config.format.value,
            "template": template_hash(self.tokenizer),
            "date": DATE.date().isoformat(),
        }

    @cached_property
    def tokenizer_identity(self) -> str:
        """The sha256 of the tokenizer as it was built, whatever files and code it is from: what it
        does with a text, and its special tokens."""
        tokenizer = self.tokenizer
        tokenizer("")  # takes the padding and truncation of its file out of the state
        special = [tokenizer.all_special_ids, tokenizer.bos_token_id, tokenizer.pad_token_id]
        state = tokenizer.backend_tokenizer.to_str() + json.dumps(special)
        return hashlib.sha256(state.encode()).hexdigest()

    @property
    def generation_identity(self) -> dict[str, Any]:
        """The model's own settings of a generation that change its tokens, such as a penalty of
        repetitions."""
        settings = self.network.generation_config.to_diff_dict()
        return {k: v for k, v in settings.items() if k not in NO_GENERATION}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What changes the model's numbers: dtype, quantization, the tokenizer as it was built and,
        for files on this machine, their hash; for a model of the hub, its repository and
        revision."""
        from emoexp.store.provenance import hash_files

        paths = [] if self.gguf is None else [self.gguf]
        if not paths and (repo := Path(resolve_repo(self.config))).is_dir():
            patterns = ("*.safetensors", "config.json", "tokenizer*")
            paths = [path for pattern in patterns for path in sorted(repo.glob(pattern))]
        files = hash_files(paths) if paths else None
        return {
            "repo_id": None if files else self.config.repo_id,
            "revision": None if files else self.commit or self.config.revision,
            "dtype": self.dtype,
            "quantization": self.quantized or self.config.quantization.value,
            "files": files,
            "tokenizer": self.tokenizer_identity,
            **({"remote": True} if self.config.remote else {}),
        }
