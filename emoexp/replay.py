"""Preference prompts that share a prefix, replayed from a layer up.

Steering at layer l can change only the tokens from the steered span on, in the blocks after l. So the prompts that open with
the same first activity run once unsteered; each steered direction then replays only the upper blocks, on the suffix alone,
against the prefix's keys and values. It is exact where an architecture's attention and cache allow it, and whether they do is
measured, not assumed: `Preferences` compares it with full forwards before it is used, and takes these where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from emoexp.architectures import walk
from emoexp.model import Steering, SubjectModel
from emoexp.prompts import Encoding

Band = tuple[int, ...]
"""Layers that are steered together, ascending; one layer is a band of one."""


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many leading ids all rows share, at most one less than the shortest."""
    limit = min(len(row) for row in rows) - 1
    for i in range(limit):
        if len({row[i] for row in rows}) > 1:
            return i
    return limit


class PrefixReplay:
    """Rows (left-padded, differing after a shared prefix) run unsteered once, ready to be replayed steered.

    `margins` of a replay are logit(A) - logit(B) after the last token, in float32.
    """

    def __init__(self, model: SubjectModel, encoding: Encoding, options: tuple[int, int], band: Band = ()) -> None:
        self.model, self.band = model, band
        model.check_layers(band)
        rows = [ids[keep].tolist() for ids, keep in zip(encoding.ids, encoding.mask, strict=True)]
        self.n_prefix = shared_prefix(rows)
        self.lengths = [len(row) - self.n_prefix for row in rows]
        self.width = max(self.lengths)
        self.n = len(rows)
        self.options = list(options)
        self.prefix_ids = torch.tensor([rows[0][: self.n_prefix]], device=model.device)
        self.suffix_ids = encoding.ids[:, -self.width :].to(model.device)
        real = torch.tensor([[c >= self.width - n for c in range(self.width)] for n in self.lengths])
        self.mask = torch.cat([torch.ones(self.n, self.n_prefix, dtype=torch.bool), real], 1).to(model.device)
        self.positions = (self.mask.long().cumsum(1) - 1).clamp(min=0)[:, self.n_prefix :]
        self._run_unsteered()

    @torch.no_grad()
    def _run_unsteered(self) -> None:
        traced, self.prefix_cache = self.model.traced, DynamicCache()
        first, saved = self.band[:1], dict[str, Tensor]()
        with traced.trace(input_ids=self.prefix_ids, past_key_values=self.prefix_cache, use_cache=True) as tracer:
            for layer in first:
                saved["prefix"] = self.model.read(layer).save()
            saved["last"] = walk(traced, self.model.paths.norm).output.save()
            tracer.stop()
        cache = self._expanded(self.prefix_cache, self.n, first=0)
        with traced.trace(
            input_ids=self.suffix_ids, attention_mask=self.mask.long(), position_ids=self.positions, past_key_values=cache, use_cache=True
        ) as tracer:
            for layer in first:
                saved["suffix"] = self.model.read(layer).save()
            saved["last"] = walk(traced, self.model.paths.norm).output.save()
            tracer.stop()
        self.unsteered = self._margin(saved["last"][:, -1])
        if first:
            self.prefix_residual, self.suffix_residual = saved["prefix"], saved["suffix"]

    def _margin(self, final: Tensor) -> Tensor:
        pair = self.model.unembedding.logits(final, self.options)
        return (pair[..., 0] - pair[..., 1]).cpu()

    def _expanded(self, cache: DynamicCache, rows: int, first: int) -> DynamicCache:
        """`cache` for `rows` rows, as views; blocks below `first` are skipped, so theirs is a placeholder of the right length."""
        out = DynamicCache()
        for index, layer in enumerate(cache.layers):
            source = layer if index >= first else cache.layers[first]
            repeat = rows // source.keys.shape[0]
            keys, values = (t.repeat_interleave(repeat, 0) if t.shape[0] > 1 else t.expand(rows, -1, -1, -1) for t in (source.keys, source.values))
            out.update(keys, values, index)
        return out

    def margins(self, prefix_mask: Tensor, suffix_mask: Tensor, vectors: Tensor) -> Tensor:
        """Margins under each direction, added as in `finals`; (direction, row), float32."""
        return self._margin(self.finals(prefix_mask, suffix_mask, vectors))

    @torch.no_grad()
    def finals(self, prefix_mask: Tensor, suffix_mask: Tensor, vectors: Tensor) -> Tensor:
        """The last token's residual after the final norm, with each direction added where the masks are true, at the output of every layer of the band.

        Args:
            prefix_mask: (prefix token,), suffix_mask: (row, suffix token).
            vectors: (direction, band layer, d_model), already scaled.

        Returns:
            (direction, row, d_model), in the model's dtype.
        """
        k, first = len(vectors), self.band[0] + 1
        traced, blocks = self.model.traced, self.model.blocks
        vectors = vectors.to(self.suffix_residual)
        cache, saved = self.prefix_cache, dict[str, Tensor]()
        if bool(prefix_mask.any()) and first < self.model.n_layers:
            spot = prefix_mask.to(vectors.device)[None, :, None]
            start, cache = self.prefix_residual + spot * vectors[:, :1], DynamicCache()
            with traced.trace(input_ids=self.prefix_ids.expand(k, -1), past_key_values=cache, use_cache=True) as tracer:
                for layer in range(first):
                    blocks[layer].skip(start)
                for i, layer in enumerate(self.band[1:], 1):
                    residual = self.model.read(layer)
                    self.model.write(layer, residual + (spot * vectors[:, i : i + 1]).to(residual))
                saved["last"] = walk(traced, self.model.paths.norm).output.save()
                tracer.stop()
        rows = k * self.n
        spot = suffix_mask.to(vectors.device)[None, :, :, None]
        added = [(spot * vectors[:, None, i : i + 1]).flatten(0, 1) for i in range(len(self.band))]
        start = self.suffix_residual.repeat(k, 1, 1) + added[0]
        with traced.trace(
            input_ids=self.suffix_ids.repeat(k, 1),
            attention_mask=self.mask.long().repeat(k, 1),
            position_ids=self.positions.repeat(k, 1),
            past_key_values=self._expanded(cache, rows, min(first, self.model.n_layers - 1)),
            use_cache=True,
        ) as tracer:
            for layer in range(first):
                blocks[layer].skip(start)
            for i, layer in enumerate(self.band[1:], 1):
                residual = self.model.read(layer)
                self.model.write(layer, residual + added[i].to(residual))
            saved["last"] = walk(traced, self.model.paths.norm).output.save()
            tracer.stop()
        return saved["last"][:, -1].unflatten(0, (k, self.n))


AGREEMENT = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.5}
"""Largest difference of margins between a replay and full forwards that rounding explains, by the model's dtype. A replay that does
not apply (a sliding window shorter than the prompt, keys and values shared between layers) is off by whole logits."""


def replay_fault(model: SubjectModel, encoding: Encoding, options: tuple[int, int], band: Band) -> str | None:
    """Why replay must not be used for prompts like these, or None: it is compared with full forwards, unsteered and steered."""
    if model.config.remote:
        return "the model runs elsewhere"
    try:
        replay = PrefixReplay(model, encoding, options, band)
        pairs = [(replay.unsteered, model.margins(encoding, options))]
        if band:
            size = model.residuals(encoding, band).norm(dim=-1)[:, encoding.mask].mean(1).cpu()
            vectors = torch.randn(2, len(band), model.d_model, generator=torch.Generator().manual_seed(0)) * (size / model.d_model**0.5)[:, None]
            whole = encoding.mask.clone()
            whole[:, -1] = False
            prefix = torch.ones(replay.n_prefix, dtype=torch.bool)
            fast = replay.margins(prefix, whole[:, -replay.width :] & replay.mask[:, replay.n_prefix :].cpu(), vectors)
            steerings = [Steering({layer: v[None, b] for b, layer in enumerate(band)}, whole) for v in vectors]
            pairs += [(fast[k], model.margins(encoding, options, steering)) for k, steering in enumerate(steerings)]
    except Exception as error:  # whatever it is that an architecture does not allow, full forwards do
        return f"{type(error).__name__}: {' '.join(str(error).split())[-160:]}"
    off = max(float((fast - slow).abs().max() / slow.abs().max().clamp(min=1)) for fast, slow in pairs)
    return None if off <= AGREEMENT[model.dtype] else f"margins would be off by {off:.2g} of their size"
