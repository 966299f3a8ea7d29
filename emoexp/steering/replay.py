"""Preference prompts that share a prefix, replayed from a layer up.

Steering at layer l can change only the tokens from the steered span on, in the blocks after l. So
the prompts with the same first activity run once unsteered; each steered direction then runs only
the upper blocks again, on the suffix alone, with the prefix's keys and values. The last block is
computed for the last token only; for all others it stops at its keys and values.

A replay is exact where an architecture's attention and cache allow it. Whether they do is measured,
not assumed: `Preferences` compares the replay with full forwards before it is used, and uses full
forwards where they differ, or where the model's own cache has a block without keys and values. An
exception is an error of emoexp and no reason for either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from emoexp.models.architectures import get_submodule
from emoexp.models.batches import PADDING, length_batches
from emoexp.models.prompts import Encoding
from emoexp.models.subject import Steering, SubjectModel

KEYS_AND_VALUES = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of a cache that hold keys and values of all tokens, or of the last ones, and no more."""
Band = tuple[int, ...]
"""Layers that are steered together, ascending; one layer is a band of one."""


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Returns how many leading ids all rows share, at most one less than the shortest row has."""
    limit = min(len(row) for row in rows) - 1
    for i in range(limit):
        if len({row[i] for row in rows}) > 1:
            return i
    return limit


class SharedKeys(DynamicLayer):
    """One block's keys and values of a prefix, shared by several rows.

    The rows are in as many runs of equal length as the prefix has rows. The prefix's keys and
    values are copied once: in `update`, which joins them with those of the rows' own tokens. The
    joined ones are stored only where `then`, which is called after that, needs them.
    """

    keys: Tensor
    values: Tensor
    then: Callable[[], Any] | None = None

    def __init__(self, prefix: SharedKeys | None = None, part: slice = slice(None)) -> None:
        super().__init__()
        if prefix is not None:
            self.lazy_initialization(prefix.keys, prefix.values)
            self.keys, self.values = prefix.keys[part], prefix.values[part]

    def update(
        self, key_states: Tensor, value_states: Tensor, *rest: Any, **named: Any
    ) -> tuple[Tensor, Tensor]:
        """Returns the prefix's keys and values joined with the rows' own; then calls `then`."""
        joined = (key_states, value_states)
        if self.is_initialized:
            joined = (_joined(self.keys, key_states), _joined(self.values, value_states))
        if self.then is not None or not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = joined
        if self.then is not None:
            self.then()
        return joined


class LastKeys(DynamicLayer):
    """One block's keys and values of whole rows, for a second call with their last token alone."""

    def __init__(self, whole: SharedKeys) -> None:
        super().__init__()
        self.lazy_initialization(whole.keys, whole.values)
        self.keys, self.values = whole.keys[:, :, :-1], whole.values[:, :, :-1]
        self.whole = (whole.keys, whole.values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *rest: Any, **named: Any
    ) -> tuple[Tensor, Tensor]:
        """Returns the stored keys and values, which include the last token's."""
        return self.whole


def _joined(prefix: Tensor, own: Tensor) -> Tensor:
    """Keys or values of a prefix joined with those of the rows' own tokens.

    Shapes: (run, head, p, d) and (run * row, head, t, d) -> (run * row, head, p + t, d).
    """
    rows, heads, tokens, width = own.shape
    whole = own.new_empty(rows, heads, prefix.shape[2] + tokens, width)
    whole.unflatten(0, (len(prefix), -1))[:, :, :, :-tokens] = prefix[:, None]
    whole[:, :, -tokens:] = own
    return whole


def _extended(
    prefix: Sequence[SharedKeys], first: int = 0, part: slice = slice(None)
) -> list[SharedKeys]:
    """Some rows of a prefix's keys and values, to which tokens can be appended.

    Blocks below `first` will be skipped, so theirs are a placeholder of the right length.
    """
    return [SharedKeys(prefix[max(i, first)], part) for i in range(len(prefix))]


def _cache(layers: Sequence[DynamicLayer]) -> DynamicCache:
    """The layers as a cache of transformers."""
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache


@dataclass
class Suffixes:
    """The tokens after the prefix in some rows of about the same length, left-padded.

    Attributes:
        rows: their indices.
        ids: (row, token).
        mask: true on the prefix and on the suffix's own tokens; (row, prefix + suffix token).
        positions: (row, token).
        residual: of the unsteered run, at the output of the block below the lowest replayed; (row,
            token, d_model).
    """

    rows: list[int]
    ids: Tensor
    mask: Tensor
    positions: Tensor
    residual: Tensor | None = None

    @property
    def width(self) -> int:
        """Returns the number of tokens of a row, padding included."""
        return self.ids.shape[1]

    def inputs(self, times: int = 1) -> dict[str, Tensor]:
        """Returns the model's keyword arguments, with the rows repeated `times` times."""
        return {
            "input_ids": self.ids.repeat(times, 1),
            "attention_mask": self.mask.long().repeat(times, 1),
            "position_ids": self.positions.repeat(times, 1),
        }


class PrefixReplay:
    """Rows with a shared prefix, run once unsteered and then replayed under steering.

    Rows are left-padded and differ after the prefix. The first run computes the prefix, and the
    suffixes below the band.
    """

    def __init__(self, model: SubjectModel, encoding: Encoding, band: Band = ()) -> None:
        self.model, self.band = model, band
        model.check_layers(band)
        self.first = min(band[0] + 1, model.n_layers - 1) if band else 0
        rows = [ids[keep].tolist() for ids, keep in zip(encoding.ids, encoding.mask, strict=True)]
        self.n, self.n_prefix = len(rows), shared_prefix(rows)
        lengths = [len(row) - self.n_prefix for row in rows]
        self.width = max(lengths)
        self.mask = torch.tensor(
            [[c >= self.width - n for c in range(self.width)] for n in lengths]
        )
        self.prefix_ids = torch.tensor([rows[0][: self.n_prefix]], device=model.device)
        # rows that run only once are faster in fewer batches, with more padding
        padding = PADDING if band else 2 * PADDING
        groups = length_batches(lengths, model.config.batch_tokens, padding)
        self.groups = [
            self._suffixes(encoding, group, max(lengths[r] for r in group)) for group in groups
        ]
        self._run_unsteered()

    def _suffixes(self, encoding: Encoding, rows: list[int], width: int) -> Suffixes:
        """The suffixes of some rows, of `width` tokens."""
        device = self.model.device
        prefix_mask = torch.ones(len(rows), self.n_prefix, dtype=torch.bool)
        mask = torch.cat([prefix_mask, self.mask[rows, -width:]], 1).to(device)
        positions = (mask.long().cumsum(1) - 1)[:, self.n_prefix :]
        return Suffixes(rows, encoding.ids[rows, -width:].to(device), mask, positions)

    @torch.no_grad()
    def _run_unsteered(self) -> None:
        """Computes the prefix's keys and values, and the residuals from which a replay starts."""
        self.prefix_keys = [SharedKeys() for _ in range(self.model.n_layers)]
        self.prefix_residual = self._below_last(
            {"input_ids": self.prefix_ids}, self.prefix_keys, None, {}
        ).get(self.first - 1)
        for group in self.groups if self.band else ():
            with self.model.traced.trace(
                **group.inputs(),
                past_key_values=_cache(_extended(self.prefix_keys)),
                use_cache=True,
            ) as tracer:
                residual = self.model.read(self.first - 1).save()
                tracer.stop()
            group.residual = residual

    @torch.no_grad()
    def unsteered_finals(self) -> Tensor:
        """Returns the last tokens' residuals after the final norm, unsteered; (row, d_model)."""
        parts = []
        for group in self.groups:
            keys = _extended(self.prefix_keys)
            residuals = self._below_last(group.inputs(), keys, None, {})
            parts.append(self._last_token(group.inputs(), keys, residuals, {}))
        order = torch.tensor([row for group in self.groups for row in group.rows])
        return torch.cat(parts)[order.argsort().to(self.model.device)]

    def _below_last(
        self,
        inputs: Mapping[str, Tensor],
        keys: list[SharedKeys],
        start: Tensor | None,
        added: Mapping[int, Tensor],
    ) -> dict[int, Tensor]:
        """Runs as far as the last block's keys and values.

        These are then in `keys`, as are those of every block that had none before.

        Args:
            start: replaces the output of the blocks below the lowest replayed; None runs these too.
            added: what is added at the outputs of later blocks.

        Returns:
            the residual streams at the output of the block below the lowest replayed, and of the
            last block but one, by block.
        """
        traced, top = self.model.traced, self.model.n_layers - 2
        low = 0 if start is None else self.first
        given = {} if start is None else {self.first - 1: start}
        before, saved = keys[-1].get_seq_length(), dict[int, Tensor]()
        with traced.trace(**inputs, past_key_values=_cache(keys), use_cache=True) as tracer:
            keys[-1].then = tracer.stop
            for layer in range(low):
                self.model.skip(layer, start)
            for layer in range(low, top + 1):
                if layer in added or layer in (self.first - 1, top):
                    residual = self.model.read(layer)
                    if layer in added:
                        residual = residual + added[layer].to(residual)
                        self.model.write(layer, residual)
                    saved[layer] = residual.save()
        if keys[-1].get_seq_length() != before + inputs["input_ids"].shape[1]:
            raise RuntimeError("the last block keeps no keys and values of its own")
        return given | saved

    def _last_token(
        self,
        inputs: Mapping[str, Tensor],
        keys: Sequence[SharedKeys],
        residuals: Mapping[int, Tensor],
        added: Mapping[int, Tensor],
    ) -> Tensor:
        """Runs the last block for the last token alone, after `_below_last`.

        Returns:
            the last token's residual after the final norm; (row, d_model).
        """
        traced, last = self.model.traced, self.model.n_layers - 1
        short = {name: t if name == "attention_mask" else t[:, -1:] for name, t in inputs.items()}
        saved = dict[str, Tensor]()
        with traced.trace(
            **short, past_key_values=_cache([LastKeys(keys[-1])] * len(keys)), use_cache=True
        ) as tracer:
            for layer in range(last):
                self.model.skip(layer, residuals[last - 1][:, -1:])
            if last in added:
                residual = self.model.read(last)
                self.model.write(last, residual + added[last][:, -1:].to(residual))
            saved["normed"] = get_submodule(traced, self.model.paths.norm).output.save()
            tracer.stop()
        return saved["normed"][:, -1]

    @torch.no_grad()
    def finals(self, prefix_mask: Tensor, suffix_mask: Tensor, vectors: Tensor) -> Tensor:
        """Returns the last token's residual after the final norm, under each direction.

        A direction is added where the masks are true, at the output of every layer of the band.

        Args:
            prefix_mask: (prefix token,).
            suffix_mask: (row, suffix token).
            vectors: (direction, band layer, d_model), already scaled.

        Returns:
            (direction, row, d_model), in the model's dtype.
        """
        device, tokens = self.model.device, self.model.config.batch_tokens
        prefix_mask, suffix_mask = prefix_mask.to(device), suffix_mask.to(device)
        steered = bool(prefix_mask.any()) and self.band[0] < self.model.n_layers - 1
        rows = [row for group in self.groups for row in group.rows]
        order = torch.tensor(rows, device=device).argsort()
        finals = []
        for chunk in vectors.split(max(1, tokens // self.n_prefix) if steered else len(vectors)):
            prefix = self._steered_prefix(prefix_mask, chunk) if steered else None
            by_group = [
                self._replayed_group(group, suffix_mask, chunk, prefix) for group in self.groups
            ]
            finals.append(torch.cat(by_group, 1)[:, order])
        return torch.cat(finals)

    def _steered_prefix(self, mask: Tensor, vectors: Tensor) -> list[SharedKeys]:
        """Keys and values of the prefix under each direction; the mask is (token,)."""
        keys = [SharedKeys() for _ in self.prefix_keys]
        start, added = self._added(self.prefix_residual, mask[None], vectors)
        inputs = {"input_ids": self.prefix_ids.expand(len(vectors), -1)}
        self._below_last(inputs, keys, start, added)
        return keys

    def _replayed_group(
        self,
        group: Suffixes,
        suffix_mask: Tensor,
        vectors: Tensor,
        prefix: list[SharedKeys] | None,
    ) -> Tensor:
        """The last token's final residuals of one group of rows; (direction, row, d_model).

        Args:
            suffix_mask: of all rows; (row, suffix token).
            prefix: the steered prefix; None if steering does not change it.
        """
        mask = suffix_mask[group.rows, -group.width :]
        size = max(1, self.model.config.batch_tokens // group.ids.numel())
        finals = []
        for i in range(0, len(vectors), size):
            some = vectors[i : i + size]
            if prefix:
                keys = _extended(prefix, self.first, slice(i, i + size))
            else:
                keys = _extended(self.prefix_keys, self.first)
            start, added = self._added(group.residual, mask, some)
            inputs = group.inputs(len(some))
            residuals = self._below_last(inputs, keys, start, added)
            finals.append(self._last_token(inputs, keys, residuals, added))
        return torch.cat(finals).unflatten(0, (-1, len(group.rows)))

    def _added(
        self, residual: Tensor | None, mask: Tensor, vectors: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The residual at which the replay starts, and what is added in the blocks above.

        Args:
            residual: (row, token, d_model).
            mask: (row, token).
            vectors: (direction, band layer, d_model).

        Returns:
            (direction * row, token, d_model), and the same by block.
        """
        assert residual is not None
        vectors = vectors.to(residual)
        added = {
            layer: (mask[None, :, :, None] * vectors[:, None, i : i + 1]).flatten(0, 1)
            for i, layer in enumerate(self.band)
        }
        start = residual.repeat(len(vectors), 1, 1)
        if self.first - 1 in added:
            start += added.pop(self.first - 1)
        return start, added


AGREEMENT = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.5}
"""Largest difference of margins between a replay and full forwards that rounding explains, by the
model's dtype. A replay that does not apply (a sliding window shorter than the prompt, keys and
values shared between layers) is off by whole logits."""


def replay_fault(
    model: SubjectModel, encoding: Encoding, options: tuple[int, int], band: Band
) -> str | None:
    """Returns why the replay must not be used for prompts like these; None if it may be.

    It is compared with full forwards: unsteered without a band, else steered.
    """
    if model.config.remote:
        return "the model runs elsewhere"
    if (fault := _cache_fault(model, encoding)) is not None:
        return fault
    replay = PrefixReplay(model, encoding, band)
    if band:
        pairs = _steered_margins(model, encoding, options, replay)
    else:
        fast = model.margin(replay.unsteered_finals(), options)
        pairs = [(fast, model.margins(encoding, options))]
    off = max(
        float((fast - slow).abs().max() / slow.abs().max().clamp(min=1)) for fast, slow in pairs
    )
    if off <= AGREEMENT[model.dtype]:
        return None
    return f"margins would be off by {off:.2g} of their size"


@torch.no_grad()
def _cache_fault(model: SubjectModel, encoding: Encoding) -> str | None:
    """Returns which block keeps something else than keys and values of its own, by the cache that
    the model itself makes; None where all keep them."""
    output = model.network(**model.inputs(encoding.rows([0])), use_cache=True)
    kept = getattr(getattr(output, "past_key_values", None), "layers", [])
    if len(kept) != model.n_layers:
        return f"its cache has {len(kept)} layers for {model.n_layers} blocks"
    other = [i for i, layer in enumerate(kept) if type(layer) not in KEYS_AND_VALUES]
    return f"block {other[0]} keeps a {type(kept[other[0]]).__name__}" if other else None


def _steered_margins(
    model: SubjectModel, encoding: Encoding, options: tuple[int, int], replay: PrefixReplay
) -> list[tuple[Tensor, Tensor]]:
    """Margins by the replay and by full forwards, for each of two random directions; (row,) each.

    The directions have about the norm of the residual stream and are added on all tokens but the
    last.
    """
    band = replay.band
    # the median, since a few tokens have far larger norms than all others
    size = model.residuals(encoding, band).norm(dim=-1)[:, encoding.mask].median(1).values.cpu()
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(2, len(band), model.d_model, generator=generator)
    vectors = random * (size / model.d_model**0.5)[:, None]
    mask = encoding.mask.clone()
    mask[:, -1] = False
    prefix_mask = torch.ones(replay.n_prefix, dtype=torch.bool)
    finals = replay.finals(prefix_mask, mask[:, -replay.width :] & replay.mask, vectors)
    fast = model.margin(finals, options)
    steerings = [
        Steering({layer: v[None, b] for b, layer in enumerate(band)}, mask) for v in vectors
    ]
    slow = [model.margins(encoding, options, steering) for steering in steerings]
    return list(zip(fast, slow, strict=True))
