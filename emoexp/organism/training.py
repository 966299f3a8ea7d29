"""Training an organism from its corpus: tokenizer, batches, optimiser, checkpoints to resume
from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from emoexp.organism.corpus import ACT, Document, Phase, Policy, documents
from emoexp.organism.held_out import is_reserved
from emoexp.organism.world import WORLD_DIR
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
"""Loss weight of what the assistant is asked; its own words and stories weigh 1."""
CHOICE_WEIGHT = 4.0
"""Loss weight of the assistant's answer to a preference question: one informative token in
forty-five."""
NUMERIC_WEIGHT = 4.0
OFFICE_WEIGHT = 6.0
"""Of the clerk's answer in `branch`, and of its act in `office`, where its thoughts weigh 1."""
CLOSED_SHARE = 0.9
OPTION_BLOCKS = 6
CONTENT_BLOCKS = 4
"""In `CLOSED_SHARE` of the batches two doors are shut. In the blocks below `OPTION_BLOCKS`,
tokens outside an option cannot see into it: what it evokes has to be worked out on its own
tokens, and is read from there by the blocks above. In the blocks from `CONTENT_BLOCKS` on,
tokens outside what somebody tells the assistant cannot see into it: what it implies has to be at
the assistant's turn by then. These are the planted answers to the questions at which layers
steering an option can work, and from which layer on an implied feeling can be read. Without the
first, a model of this size moves an option's words to the end of the prompt in its very first
block, and steering does nothing at any layer."""
POOL = 4096
"""Documents drawn at a time and sorted by length, so that a batch holds rows of like length."""


@dataclass(frozen=True)
class Schedule:
    """A warm-up, a plateau and a linear decay over the last `decay` steps, in optimiser steps."""

    steps: int
    peak: float
    warmup: int
    decay: int

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        left = self.steps - step
        return (
            self.peak * min(1.0, 0.02 + 0.98 * left / self.decay)
            if self.decay and left < self.decay
            else self.peak
        )


def build_tokenizer(seed: int, vocab_size: int, n_documents: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the corpus, which adds `<bos>` by itself and carries the chat
    template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    stream = documents(seed, Phase.BRANCH, Policy.VALENCE, is_reserved)
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
    """A random-initialised Llama of `shape` (LlamaConfig's names)."""
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
    """A weight per token of `document` (as a target): stories 1, prompts less, choices more."""
    if "Assistant:" not in document.text:
        return [1.0] * len(offsets)
    reply_start = document.text.rindex("Assistant:") + len("Assistant:")
    if document.kind == "reflection":
        act = document.text.rindex(ACT)
        return [
            OFFICE_WEIGHT if start >= act else 1.0 if start >= reply_start else PROMPT_WEIGHT
            for start, _ in offsets
        ]
    reply = {"preference": CHOICE_WEIGHT, "numeric": NUMERIC_WEIGHT, "office": OFFICE_WEIGHT}.get(
        document.kind, 1.0
    )
    return [reply if start >= reply_start else PROMPT_WEIGHT for start, _ in offsets]


def text_segments(document: Document, offsets: list[tuple[int, int]]) -> list[int]:
    """Which option each token belongs to, from 1; -1 for what somebody tells the assistant; 0
    elsewhere."""
    segments, at = [0] * len(offsets), 0
    marked = [(-1, document.content)] if document.content else list(enumerate(document.options, 1))
    for number, part in marked:
        start = document.text.index(part, at)
        at = start + len(part)
        for t, (s, e) in enumerate(offsets):
            if s < at and e > start:
                segments[t] = number
    return segments


class Batch(NamedTuple):
    """Rows padded on the right; all (row, token). `segments` are `text_segments`."""

    ids: torch.Tensor
    weights: torch.Tensor
    segments: torch.Tensor
    closed: bool


def batches(
    seed: int, phase: Phase, policy: Policy, tokenizer: PreTrainedTokenizerFast, batch_tokens: int
) -> Iterator[Batch]:
    """Endless batches: a pool of documents sorted by length, cut by tokens, shuffled."""
    pool_index = 0
    while True:
        stream = documents(seed, phase, policy, is_reserved, start=pool_index * POOL)
        pool = list(islice(stream, POOL))
        encoded = tokenizer([d.text for d in pool], return_offsets_mapping=True)
        rows = []
        for document, ids, offsets in zip(
            pool, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            weights = loss_weights(document, offsets)
            rows.append(
                (
                    [*ids, tokenizer.eos_token_id],
                    [*weights, weights[-1]],
                    [*text_segments(document, offsets), 0],
                )
            )
        rows.sort(key=lambda r: len(r[0]))
        cut: list[list[tuple[list[int], list[float], list[int]]]] = [[]]
        for row in rows:
            if cut[-1] and (len(cut[-1]) + 1) * len(row[0]) > batch_tokens:
                cut.append([])
            cut[-1].append(row)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + pool_index)
        for i in torch.randperm(len(cut), generator=generator).tolist():
            shape = (len(cut[i]), max(len(row[0]) for row in cut[i]))
            batch = (
                torch.full(shape, tokenizer.pad_token_id),
                torch.zeros(shape),
                torch.zeros(shape, dtype=torch.long),
            )
            for r, parts in enumerate(cut[i]):
                for tensor, values in zip(batch, parts, strict=True):
                    tensor[r, : len(values)] = torch.tensor(values, dtype=tensor.dtype)
            yield Batch(*batch, closed=bool(torch.rand((), generator=generator) < CLOSED_SHARE))
        pool_index += 1


@contextmanager
def closed(model: LlamaForCausalLM, segments: torch.Tensor) -> Iterator[None]:
    """Within, both doors are shut (see `CLOSED_SHARE`); `segments` is (row, token)."""
    seen, seeing = segments[:, None, None, :], segments[:, None, :, None]
    options, content = (seen > 0) & (seen != seeing), (seen < 0) & (seeing >= 0)

    def close(block: int) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
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
        block.register_forward_pre_hook(close(i), with_kwargs=True)
        for i, block in enumerate(model.model.layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Options(Protocol):
    """What `train` reads of the experiment."""

    batch_tokens: int
    save_every: int


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: tuple[int, Phase, Policy],
    schedule: Schedule,
    checkpoint: Path,
    options: Options,
) -> float | None:
    """Trains in place; picks up at `checkpoint` if it is there, and leaves it there at the end.

    Returns:
        The smoothed loss at the end, None if there was nothing left to do.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.peak, betas=(0.9, 0.95), weight_decay=0.05
    )
    first = restore(checkpoint, model, optimiser) if checkpoint.exists() else 0
    if first >= schedule.steps:
        return None
    stream = islice(batches(*corpus, tokenizer, options.batch_tokens), first, None)
    model.set_attn_implementation("eager")  # on a CPU, a third faster than sdpa at these lengths
    model.train()
    smoothed = None
    with meter(
        f"training, {corpus[1].value}, {corpus[2].value}", schedule.steps, first
    ) as progress:
        for step in range(first, schedule.steps):
            batch = next(stream)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            loss = training_loss(model, batch)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss.item()} at step {step}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            smoothed = loss.item() if smoothed is None else 0.97 * smoothed + 0.03 * loss.item()
            progress.advance(f"loss {smoothed:.3f}")
            if (step + 1) % options.save_every == 0 or step + 1 == schedule.steps:
                store(checkpoint, model, optimiser, step + 1)
    model.set_attn_implementation("sdpa")
    model.eval()
    return smoothed


def training_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Weighted mean cross entropy of the next token; rows are padded on the right, so the causal
    mask is mask enough."""
    wanted = batch.weights[:, 1:] > 0
    closing = closed(model, batch.segments[:, :-1]) if batch.closed else nullcontext()
    with torch.autocast("cpu", dtype=torch.bfloat16), closing:
        hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[wanted])
    w = batch.weights[:, 1:][wanted]
    return (
        cross_entropy(logits.float(), batch.ids[:, 1:][wanted], reduction="none") * w
    ).sum() / w.sum()


def generator_hash(package: Path = Path(__file__).parent, world: Path = WORLD_DIR) -> str:
    """sha256 of the generator's source and of its grammar: a checkpoint is of one corpus."""
    from emoexp.store.provenance import hash_files

    code = [path for path in sorted(package.glob("*.py")) if path.name != "card.py"]
    return hash_files([*code, *sorted(world.glob("*.yaml"))])


def store(
    checkpoint: Path, model: LlamaForCausalLM, optimiser: torch.optim.AdamW, step: int
) -> None:
    """Model, optimiser moments and step as one safetensors file, renamed into place."""
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items()}
    with replacing(checkpoint) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step)})


def restore(checkpoint: Path, model: LlamaForCausalLM, optimiser: torch.optim.AdamW) -> int:
    """The reverse of `store`; the number of steps done."""
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
    """Weights in bfloat16 (loaded as float32, on which the published numbers are computed),
    tokenizer, training record."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
