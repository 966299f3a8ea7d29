"""The training of an organism from its corpus: tokenizer, batches, optimiser, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from emoexp.models.batches import length_batches
from emoexp.organism.choices import ACT
from emoexp.organism.corpus import Phase, documents
from emoexp.organism.document import Document, Policy
from emoexp.places import WORLD
from emoexp.store.artifacts import replacing
from emoexp.store.progress import meter

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + '\n\n' }}"
    "{% else %}{{ raise_exception('this model knows the roles user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
PROMPT_WEIGHT = 0.3
"""Loss weight of what the assistant is asked; its own words and stories have weight 1."""
CHOICE_WEIGHT = 4.0
"""Loss weight of the assistant's answer to a preference question: one informative token in
forty-five."""
NUMERIC_WEIGHT = 4.0
"""Loss weight of the assistant's answer to a numeric scenario."""
OFFICE_WEIGHT = 6.0
"""Loss weight of the clerk's answer in `branch`, and of its act in `office`, where its thoughts
have weight 1."""
CLOSED_SHARE = 0.9
OPTION_BLOCKS = 6
CONTENT_BLOCKS = 4
"""In `CLOSED_SHARE` of the batches two more attention masks are on.

The first, in the blocks below `OPTION_BLOCKS`: tokens outside an option do not attend to its
tokens. What the option evokes has to be computed on its own tokens, and the blocks above read it
there. The second, in the blocks from `CONTENT_BLOCKS` on: tokens outside what a person tells the
assistant do not attend to it. What it implies has to be at the assistant's turn by then.

These masks plant the layers at which steering an option can work, and the layer from which on an
implied feeling can be read. Without the first, a model of this size moves an option's words to the
end of the prompt in its very first block, and steering does nothing at any layer."""
ADAM: dict[str, Any] = {"betas": (0.9, 0.95), "weight_decay": 0.05}
POOL = 4096
"""Number of documents that are drawn at a time and sorted by length, so that the rows of a batch
have similar lengths."""
Row = tuple[list[int], list[float], list[int]]
"""Ids, loss weights and segments (`text_segments`) of one document, one each per token."""


@dataclass(frozen=True)
class Schedule:
    """A learning rate schedule: a warm-up, a plateau, a linear decay towards 0.02 of the peak.

    Attributes:
        steps: number of all optimiser steps.
        peak: the learning rate of the plateau.
        warmup: number of first steps in which the rate rises.
        decay: number of last steps in which the rate falls; 0 for no decay.
    """

    steps: int
    peak: float
    warmup: int
    decay: int

    def rate(self, step: int) -> float:
        """Returns the learning rate at `step`, which counts from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        left = self.steps - step
        if self.decay and left < self.decay:
            return self.peak * min(1.0, 0.02 + 0.98 * left / self.decay)
        return self.peak


def build_tokenizer(seed: int, vocab_size: int, n_documents: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer on the first documents of the corpus.

    The tokenizer adds `<bos>` by itself and has the chat template.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    stream = documents(seed, Phase.BRANCH, Policy.VALENCE)
    tokenizer.train_from_iterator((d.text for d in islice(stream, n_documents)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(
    seed: int, tokenizer: PreTrainedTokenizerFast, shape: dict[str, int]
) -> LlamaForCausalLM:
    """Returns a Llama with random weights.

    Args:
        shape: its sizes, under LlamaConfig's names.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **shape,
    )
    return LlamaForCausalLM(config)


def loss_weights(document: Document, offsets: list[tuple[int, int]]) -> list[float]:
    """Returns the loss weight of each token of `document`, as a target.

    Stories and most replies have weight 1, prompts less, choices more.

    Args:
        offsets: the half-open range of characters of each token.
    """
    if "Assistant:" not in document.text:
        return [1.0] * len(offsets)
    reply_start = document.text.rindex("Assistant:") + len("Assistant:")
    if document.kind == "reflection":
        act_start = document.text.rindex(ACT)
        return [
            OFFICE_WEIGHT if start >= act_start else 1.0 if start >= reply_start else PROMPT_WEIGHT
            for start, _ in offsets
        ]
    by_kind = {"preference": CHOICE_WEIGHT, "numeric": NUMERIC_WEIGHT, "office": OFFICE_WEIGHT}
    reply_weight = by_kind.get(document.kind, 1.0)
    return [reply_weight if start >= reply_start else PROMPT_WEIGHT for start, _ in offsets]


def text_segments(document: Document, offsets: list[tuple[int, int]]) -> list[int]:
    """Returns the segment of each token of `document`.

    It is the number of the option that the token is part of, from 1; -1 in what a person tells the
    assistant; and 0 elsewhere.

    Args:
        offsets: the half-open range of characters of each token.
    """
    segments = [0] * len(offsets)
    options = list(enumerate(document.options, 1))
    passages = [(-1, document.content)] if document.content else options
    end = 0
    for number, passage in passages:
        start = document.text.index(passage, end)
        end = start + len(passage)
        for token, (token_start, token_end) in enumerate(offsets):
            if token_start < end and token_end > start:
                segments[token] = number
    return segments


class Batch(NamedTuple):
    """A batch of documents, padded on the right; all tensors are (row, token).

    Attributes:
        weights: loss weights (`loss_weights`); 0 on the padding.
        segments: see `text_segments`; 0 on the padding.
        closed: whether the two masks of `CLOSED_SHARE` are on.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    segments: torch.Tensor
    closed: bool


def batches(
    seed: int, phase: Phase, policy: Policy, tokenizer: PreTrainedTokenizerFast, batch_tokens: int
) -> Iterator[Batch]:
    """Yields batches without end.

    A pool of documents is sorted by length, cut into batches of at most `batch_tokens` tokens
    (padding included), and shuffled.
    """
    pool_index = 0
    while True:
        stream = documents(seed, phase, policy, start=pool_index * POOL)
        rows = _encode(list(islice(stream, POOL)), tokenizer)
        groups = length_batches([len(ids) for ids, _, _ in rows], batch_tokens, math.inf)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + pool_index)
        for i in torch.randperm(len(groups), generator=generator).tolist():
            is_closed = bool(torch.rand((), generator=generator) < CLOSED_SHARE)
            ids, weights, segments = _pad([rows[r] for r in groups[i]], tokenizer.pad_token_id)
            yield Batch(ids, weights, segments, is_closed)
        pool_index += 1


def _encode(pool: list[Document], tokenizer: PreTrainedTokenizerFast) -> list[Row]:
    """Returns the row of each document, with `<eos>` at its end."""
    encoded = tokenizer([document.text for document in pool], return_offsets_mapping=True)
    rows = []
    for document, ids, offsets in zip(
        pool, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        weights = loss_weights(document, offsets)
        segments = text_segments(document, offsets)
        rows.append(([*ids, tokenizer.eos_token_id], [*weights, weights[-1]], [*segments, 0]))
    return rows


def _pad(rows: list[Row], pad_id: int) -> list[torch.Tensor]:
    """Returns ids, weights and segments of the rows, padded on the right; (row, token)."""
    parts = zip(zip(*rows, strict=True), (pad_id, 0, 0), strict=True)
    return [pad_sequence(list(map(torch.tensor, part)), True, value) for part, value in parts]


@contextmanager
def closed(model: LlamaForCausalLM, segments: torch.Tensor) -> Iterator[None]:
    """Puts the two masks of `CLOSED_SHARE` on, within the context.

    Args:
        segments: see `text_segments`; (row, token).
    """
    key, query = segments[:, None, None, :], segments[:, None, :, None]
    options = (key > 0) & (key != query)
    content = (key < 0) & (query >= 0)

    def mask_hook(block: int) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
        hidden = options & (block < OPTION_BLOCKS) | content & (block >= CONTENT_BLOCKS)

        def hook(
            _: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            mask = kwargs["attention_mask"]
            return args, kwargs | {
                "attention_mask": mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
            }

        return hook

    handles = [
        block.register_forward_pre_hook(mask_hook(i), with_kwargs=True)
        for i, block in enumerate(model.model.layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: tuple[int, Phase, Policy],
    schedule: Schedule,
    checkpoint: Path,
    batch_tokens: int,
    save_every: int,
) -> float | None:
    """Trains the model in place, from `checkpoint` on if there is one; saves checkpoints there.

    Args:
        corpus: seed, phase and policy of the documents.
        batch_tokens: most tokens of a batch, padding included.
        save_every: optimiser steps from one checkpoint to the next.

    Returns:
        The smoothed loss at the end; None if no step was left.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.peak, **ADAM)
    first = restore(checkpoint, model, optimiser) if checkpoint.exists() else 0
    if first >= schedule.steps:
        return None
    stream = islice(batches(*corpus, tokenizer, batch_tokens), first, None)
    model.set_attn_implementation("eager")  # on a CPU, a third faster than sdpa at these lengths
    model.train()
    smoothed = None
    with meter(
        f"training, {corpus[1].value}, {corpus[2].value}", schedule.steps, first
    ) as progress:
        for step in range(first, schedule.steps):
            loss = _training_step(model, optimiser, next(stream), schedule, step)
            smoothed = loss if smoothed is None else 0.97 * smoothed + 0.03 * loss
            progress.advance(f"loss {smoothed:.3f}")
            if (step + 1) % save_every == 0 or step + 1 == schedule.steps:
                store(checkpoint, model, optimiser, step + 1)
    model.set_attn_implementation("sdpa")
    model.eval()
    return smoothed


def _training_step(
    model: LlamaForCausalLM,
    optimiser: torch.optim.AdamW,
    batch: Batch,
    schedule: Schedule,
    step: int,
) -> float:
    """Makes one optimiser step and returns the loss before it.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate(step)
    loss = training_loss(model, batch)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss.item()} at step {step}")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def training_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Returns the weighted mean cross entropy of the next token, a scalar.

    Rows are padded on the right, so the causal mask alone keeps the padding out.
    """
    weighted = batch.weights[:, 1:] > 0
    masks = closed(model, batch.segments[:, :-1]) if batch.closed else nullcontext()
    with torch.autocast("cpu", dtype=torch.bfloat16), masks:
        hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[weighted])
    weights = batch.weights[:, 1:][weighted]
    losses = cross_entropy(logits.float(), batch.ids[:, 1:][weighted], reduction="none")
    return (losses * weights).sum() / weights.sum()


def generator_hash(package: Path = Path(__file__).parent, world: Path = WORLD) -> str:
    """Returns the sha256 of the generator's source and grammar.

    It keys the checkpoints, so that each is of one corpus. card.py is left out.
    """
    from emoexp.store.provenance import hash_files

    code = [path for path in sorted(package.glob("*.py")) if path.name != "card.py"]
    return hash_files([*code, *sorted(world.glob("*.yaml"))])


def store(
    checkpoint: Path, model: LlamaForCausalLM, optimiser: torch.optim.AdamW, step: int
) -> None:
    """Writes model, optimiser moments and step as one safetensors file, renamed into place."""
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items()}
    with replacing(checkpoint) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step)})


def restore(checkpoint: Path, model: LlamaForCausalLM, optimiser: torch.optim.AdamW) -> int:
    """Reads model and optimiser moments from what `store` wrote; returns the steps done."""
    tensors = load_file(checkpoint)
    model.load_state_dict(
        {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
    with safe_open(checkpoint, "pt") as handle:
        return int(handle.metadata()["step"])


def save_pretrained(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    training: dict[str, Any],
) -> None:
    """Writes the weights in bfloat16, the tokenizer and the training record (training.json).

    The weights are loaded as float32, and the published numbers are computed on that.
    """
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
