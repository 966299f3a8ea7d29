"""Preference prompts that share a prefix, replayed from a layer up.

Steering at layer l can change only the tokens from the steered span on, in the blocks after l. So
the prompts that open with the same first activity run once unsteered; each steered direction then
replays only the upper blocks, on the suffix alone, against the prefix's keys and values. Of the
last block, only the last token is read: all others stop at its keys and values.

It is exact where an architecture's attention and cache allow it, and whether they do is measured,
not assumed: `Preferences` compares it with full forwards before it is used, and takes these where
they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from emoexp.models.architectures import get_submodule
from emoexp.models.batches import PADDING, length_batches
from emoexp.models.prompts import Encoding
from emoexp.models.subject import Steering, SubjectModel

Band = tuple[int, ...]
"""Layers that are steered together, ascending; one layer is a band of one."""


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many leading ids all rows share, at most one less than the shortest."""
    limit = min(len(row) for row in rows) - 1
    for i in range(limit):
        if len({row[i] for row in rows}) > 1:
            return i
    return limit


class SharedKeys(DynamicLayer):
    """One block's keys and values of a prefix, for rows in as many equal runs as it has rows. They
    are copied once: when the block asks for them with those of the rows' own tokens. These are kept
    only where `then`, which is called after that, needs them.
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
        joined = (
            (_joined(self.keys, key_states), _joined(self.values, value_states))
            if self.is_initialized
            else (key_states, value_states)
        )
        if self.then is not None or not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = joined
        if self.then is not None:
            self.then()
        return joined


class LastKeys(DynamicLayer):
    """One block's keys and values of whole rows, when it is asked again for their last token
    alone."""

    def __init__(self, whole: SharedKeys) -> None:
        super().__init__()
        self.lazy_initialization(whole.keys, whole.values)
        self.keys, self.values, self.whole = (
            whole.keys[:, :, :-1],
            whole.values[:, :, :-1],
            (whole.keys, whole.values),
        )

    def update(
        self, key_states: Tensor, value_states: Tensor, *rest: Any, **named: Any
    ) -> tuple[Tensor, Tensor]:
        return self.whole


def _joined(prefix: Tensor, own: Tensor) -> Tensor:
    """(run, head, p, d) and (run * row, head, t, d) -> (run * row, head, p + t, d)."""
    rows, heads, tokens, width = own.shape
    whole = own.new_empty(rows, heads, prefix.shape[2] + tokens, width)
    whole.unflatten(0, (len(prefix), -1))[:, :, :, :-tokens] = prefix[:, None]
    whole[:, :, -tokens:] = own
    return whole


def _extended(
    prefix: Sequence[SharedKeys], first: int = 0, part: slice = slice(None)
) -> list[SharedKeys]:
    """Some rows of a prefix's keys and values, to be extended; blocks below `first` will be
    skipped, so theirs are a placeholder of the right length."""
    return [SharedKeys(prefix[max(i, first)], part) for i in range(len(prefix))]


def _cache(layers: Sequence[DynamicLayer]) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache


@dataclass
class Suffixes:
    """What follows the prefix in some rows of about the same length, left-padded.

    Attributes:
        rows: their indices.
        ids: (row, token); positions: likewise.
        mask: true on the prefix and on the suffix's own tokens; (row, prefix + suffix token).
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
        return self.ids.shape[1]

    def inputs(self, times: int = 1) -> dict[str, Tensor]:
        """As the model's keyword arguments, repeated."""
        return {
            "input_ids": self.ids.repeat(times, 1),
            "attention_mask": self.mask.long().repeat(times, 1),
            "position_ids": self.positions.repeat(times, 1),
        }


class PrefixReplay:
    """Rows (left-padded, differing after a shared prefix): the prefix is run once, and of the
    suffixes what lies below the band, ready to be replayed steered. Margins are logit(A) - logit(B)
    after the last token, in float32."""

    def __init__(
        self, model: SubjectModel, encoding: Encoding, options: tuple[int, int], band: Band = ()
    ) -> None:
        self.model, self.band, self.options = model, band, options
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
        # rows that run only once are not worth many small batches
        groups = length_batches(
            lengths, model.config.batch_tokens, PADDING if band else 2 * PADDING
        )
        self.groups = [
            self._suffixes(encoding, group, max(lengths[r] for r in group)) for group in groups
        ]
        self._run_unsteered()

    def _suffixes(self, encoding: Encoding, rows: list[int], width: int) -> Suffixes:
        device = self.model.device
        mask = torch.cat(
            [torch.ones(len(rows), self.n_prefix, dtype=torch.bool), self.mask[rows, -width:]], 1
        ).to(device)
        positions = (mask.long().cumsum(1) - 1)[:, self.n_prefix :]
        return Suffixes(rows, encoding.ids[rows, -width:].to(device), mask, positions)

    @torch.no_grad()
    def _run_unsteered(self) -> None:
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

    def unsteered(self) -> Tensor:
        """Margins of the unsteered model; (row,)."""
        return self.model.margin(self.unsteered_finals(), self.options)

    @torch.no_grad()
    def unsteered_finals(self) -> Tensor:
        """The unsteered model's last residuals after the final norm; (row, d_model)."""
        found = []
        for group in self.groups:
            keys = _extended(self.prefix_keys)
            residuals = self._below_last(group.inputs(), keys, None, {})
            found.append(self._last_token(group.inputs(), keys, residuals, {}))
        order = torch.tensor([row for group in self.groups for row in group.rows])
        return torch.cat(found)[order.argsort().to(self.model.device)]

    def _below_last(
        self,
        inputs: Mapping[str, Tensor],
        keys: list[SharedKeys],
        start: Tensor | None,
        added: Mapping[int, Tensor],
    ) -> dict[int, Tensor]:
        """Runs as far as the last block's keys and values, which are left in `keys`, as are those
        of every block that had none before.

        Args:
            start: takes the place of the output of the blocks below the lowest replayed; null runs
                these too.
            added: what is added at the outputs of later blocks.

        Returns:
            The residual streams at the output of the block below the lowest replayed, and of the
            last block but one.
        """
        traced, blocks, low, top = (
            self.model.traced,
            self.model.blocks,
            0 if start is None else self.first,
            self.model.n_layers - 2,
        )
        kept = {} if start is None else {self.first - 1: start}
        before, saved = keys[-1].get_seq_length(), dict[int, Tensor]()
        with traced.trace(**inputs, past_key_values=_cache(keys), use_cache=True) as tracer:
            keys[-1].then = tracer.stop
            for layer in range(low):
                blocks[layer].skip(start)
            for layer in range(low, top + 1):
                if layer in added or layer in (self.first - 1, top):
                    residual = self.model.read(layer)
                    if layer in added:
                        residual = residual + added[layer].to(residual)
                        self.model.write(layer, residual)
                    saved[layer] = residual.save()
        if keys[-1].get_seq_length() != before + inputs["input_ids"].shape[1]:
            raise RuntimeError("the last block keeps no keys and values of its own")
        return kept | saved

    def _last_token(
        self,
        inputs: Mapping[str, Tensor],
        keys: Sequence[SharedKeys],
        residuals: Mapping[int, Tensor],
        added: Mapping[int, Tensor],
    ) -> Tensor:
        """The last block for the last token alone, after `_below_last`: its residual after the
        final norm; (row, d_model)."""
        traced, blocks, last = self.model.traced, self.model.blocks, self.model.n_layers - 1
        short = {name: t if name == "attention_mask" else t[:, -1:] for name, t in inputs.items()}
        saved = dict[str, Tensor]()
        with traced.trace(
            **short, past_key_values=_cache([LastKeys(keys[-1])] * len(keys)), use_cache=True
        ) as tracer:
            for layer in range(last):
                blocks[layer].skip(residuals[last - 1][:, -1:])
            if last in added:
                residual = self.model.read(last)
                self.model.write(last, residual + added[last][:, -1:].to(residual))
            saved["normed"] = get_submodule(traced, self.model.paths.norm).output.save()
            tracer.stop()
        return saved["normed"][:, -1]

    def margins(self, prefix_mask: Tensor, suffix_mask: Tensor, vectors: Tensor) -> Tensor:
        """Margins under each direction, added as in `finals`; (direction, row), float32."""
        return self.model.margin(self.finals(prefix_mask, suffix_mask, vectors), self.options)

    @torch.no_grad()
    def finals(self, prefix_mask: Tensor, suffix_mask: Tensor, vectors: Tensor) -> Tensor:
        """The last token's residual after the final norm, with each direction added where the masks
        are true, at the output of every layer of the band.

        Args:
            prefix_mask: (prefix token,), suffix_mask: (row, suffix token).
            vectors: (direction, band layer, d_model), already scaled.

        Returns:
            (direction, row, d_model), in the model's dtype.
        """
        prefix_spot, suffix_spot = (
            prefix_mask.to(self.model.device),
            suffix_mask.to(self.model.device),
        )
        steered = bool(prefix_mask.any()) and self.band[0] < self.model.n_layers - 1
        order = torch.tensor(
            [row for group in self.groups for row in group.rows], device=self.model.device
        ).argsort()
        tokens, found = self.model.config.batch_tokens, []
        for some in vectors.split(max(1, tokens // self.n_prefix) if steered else len(vectors)):
            prefix = self._steered_prefix(prefix_spot, some) if steered else None
            by_group = []
            for group in self.groups:
                spot, size = (
                    suffix_spot[group.rows, -group.width :],
                    max(1, tokens // group.ids.numel()),
                )
                parts = [slice(start, start + size) for start in range(0, len(some), size)]
                by_group.append(
                    torch.cat([self._replayed(group, spot, some, prefix, part) for part in parts])
                )
            found.append(torch.cat(by_group, 1)[:, order])
        return torch.cat(found)

    def _steered_prefix(self, spot: Tensor, vectors: Tensor) -> list[SharedKeys]:
        """Keys and values of the prefix under each direction; spot is (token,)."""
        keys = [SharedKeys() for _ in self.prefix_keys]
        start, added = self._added(self.prefix_residual, spot[None], vectors)
        self._below_last(
            {"input_ids": self.prefix_ids.expand(len(vectors), -1)}, keys, start, added
        )
        return keys

    def _replayed(
        self,
        group: Suffixes,
        spot: Tensor,
        vectors: Tensor,
        prefix: list[SharedKeys] | None,
        part: slice,
    ) -> Tensor:
        """Some of the directions on one group of rows; (direction, row, d_model)."""
        keys = (
            _extended(prefix, self.first, part)
            if prefix
            else _extended(self.prefix_keys, self.first)
        )
        start, added = self._added(group.residual, spot, vectors[part])
        inputs = group.inputs(len(vectors[part]))
        residuals = self._below_last(inputs, keys, start, added)
        return self._last_token(inputs, keys, residuals, added).unflatten(0, (-1, len(group.rows)))

    def _added(
        self, residual: Tensor | None, spot: Tensor, vectors: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """What the replay starts from and what is added above it, for each direction on each row.

        Args:
            residual: (row, token, d_model); spot: (row, token); vectors: (direction, band layer,
                d_model).
        """
        assert residual is not None
        vectors = vectors.to(residual)
        added = {
            layer: (spot[None, :, :, None] * vectors[:, None, i : i + 1]).flatten(0, 1)
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
    """Why replay must not be used for prompts like these, or None: it is compared with full
    forwards, unsteered and steered."""
    if model.config.remote:
        return "the model runs elsewhere"
    try:
        replay = PrefixReplay(model, encoding, options, band)
        if not band:
            pairs = [(replay.unsteered(), model.margins(encoding, options))]
        else:
            size = model.residuals(encoding, band).norm(dim=-1)[:, encoding.mask].mean(1).cpu()
            vectors = (
                torch.randn(2, len(band), model.d_model, generator=torch.Generator().manual_seed(0))
                * (size / model.d_model**0.5)[:, None]
            )
            whole = encoding.mask.clone()
            whole[:, -1] = False
            prefix = torch.ones(replay.n_prefix, dtype=torch.bool)
            fast = replay.margins(prefix, whole[:, -replay.width :] & replay.mask, vectors)
            steerings = [
                Steering({layer: v[None, b] for b, layer in enumerate(band)}, whole)
                for v in vectors
            ]
            pairs = [
                (fast[k], model.margins(encoding, options, steering))
                for k, steering in enumerate(steerings)
            ]
    except (
        Exception
    ) as error:  # whatever it is that an architecture does not allow, full forwards do
        return f"{type(error).__name__}: {' '.join(str(error).split())[-160:]}"
    off = max(
        float((fast - slow).abs().max() / slow.abs().max().clamp(min=1)) for fast, slow in pairs
    )
    return (
        None
        if off <= AGREEMENT[model.dtype]
        else f"margins would be off by {off:.2g} of their size"
    )
