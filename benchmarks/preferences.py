"""Preference prompts: steered margins by replay against full forwards, and the unsteered ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.bench import Bench, Outcome
from benchmarks.bounds import causal
from benchmarks.race import Contestant, Heat, Spread, difference, profile, race, timed
from emoexp.config import SteeringSpan
from emoexp.models.prompts import Encoding
from emoexp.steering.preference import Preferences
from emoexp.steering.replay import Band, shared_prefix

FULL, OURS, LOOP = "full forwards, hooks", "emoexp", "loop, one prompt"
STRENGTH, SPAN = 0.5, SteeringSpan.steered_activity


class Sample:
    """The pairs that open with one steered and one control activity, put with `n` directions: of
    each kind of opener, what all pairs are made of."""

    def __init__(self, bench: Bench, n: int) -> None:
        self.bench, self.preferences = bench, Preferences(bench.model, bench.activities)
        steered = self.preferences.steered
        self.openers = [int(np.flatnonzero(steered)[0]), int(np.flatnonzero(~steered)[0])]
        self.encodings, self.masks = dict[int, Encoding](), dict[int, Tensor]()
        for i in self.openers:
            self.encodings[i], self.masks[i] = self.preferences._marked(i, SPAN)
        generator = torch.Generator().manual_seed(0)
        unit = torch.nn.functional.normalize(
            torch.randn(n, bench.model.d_model, generator=generator), dim=1
        )
        sizes = (
            bench.model.residuals(self.encodings[self.openers[0]], range(bench.model.n_layers))
            .norm(dim=-1)[:, :, 1:]
            .mean((1, 2))
            .cpu()
        )
        self.vectors = STRENGTH * sizes[:, None, None] * unit  # (layer, direction, d_model)

    def at(self, band: Band) -> Tensor:
        """(direction, band layer, d_model)."""
        return self.vectors[list(band)].transpose(0, 1).contiguous()

    def replayed(self, band: Band) -> Tensor:
        """emoexp's margins, openers side by side; (direction, row)."""
        return torch.cat(
            [
                torch.from_numpy(self.preferences._steer_prefix(i, SPAN, band, self.at(band)))
                for i in self.openers
            ],
            1,
        )

    def in_full(
        self,
        band: Band,
        directions: int | None = None,
        tokens: int | None = None,
        *,
        still: bool = False,
    ) -> Tensor:
        """The same by full forwards of the network as transformers gives it, in batches of as many
        padded tokens; `still` adds nothing."""
        tokens, device = tokens or self.bench.model.config.batch_tokens, self.bench.device
        vectors = self.at(band)[:directions].to(device) * (not still)
        parts = [
            peers.margins_hooks(
                self.bench.plain,
                self.bench.model.inputs(self.encodings[i]),
                self.masks[i].to(device),
                band,
                vectors,
                self.preferences.options,
                tokens,
            )
            for i in self.openers
        ]
        return torch.cat(parts, 1)

    def work(self, band: Band, directions: int) -> tuple[float, float]:
        """Operations of full forwards, and the least: up to the band's first layer once, then
        for each direction the tokens from the first steered one on (a shared prefix's once), and
        of the last block what the last token needs."""
        shape, full, least = self.bench.shape, 0.0, 0.0
        upper = shape.layers - band[0] - 1
        for i in self.openers:
            rows = [
                (ids[keep].tolist(), mask[keep])
                for ids, keep, mask in zip(
                    self.encodings[i].ids, self.encodings[i].mask, self.masks[i], strict=True
                )
            ]
            shared = shared_prefix([ids for ids, _ in rows])
            in_prefix = [int(t) for t in torch.nonzero(rows[0][1][:shared])[:1, 0]]
            full += directions * sum(shape.flops(len(ids), causal(len(ids))) for ids, _ in rows)
            below = shape.flops(shared, causal(shared), band[0] + 1)
            least += below + sum(
                shape.flops(len(ids) - shared, causal(len(ids), shared), band[0] + 1)
                for ids, _ in rows
            )
            least += directions * sum(
                shape.keys_of(shared, upper) - shape.keys_of(t, upper) for t in in_prefix
            )
            for ids, mask in rows:
                start = shared if in_prefix else max(shared, int(torch.nonzero(mask)[0, 0]))
                least += directions * shape.read_last(len(ids), start, upper)
        return full, least


def one_direction(sample: Sample, layer: int, directions: int) -> list[Contestant]:
    """The peers, with one direction where emoexp has all: their seconds are taken per direction."""
    bench, encodings, options = sample.bench, sample.encodings, sample.preferences.options
    vector, kept, share = (
        sample.at((layer,))[0, 0].to(bench.device),
        dict[str, Any](),
        1 / directions,
    )

    def each(margins: Any, *rest: Any) -> Tensor:
        return torch.cat(
            [
                margins(
                    *rest,
                    bench.model.inputs(encodings[i]),
                    sample.masks[i].to(bench.device),
                    layer,
                    vector,
                    options,
                )
                for i in sample.openers
            ],
            1,
        )

    def nnsight() -> Tensor:
        kept["nnsight"] = kept.get("nnsight") or peers.load_nnsight(bench.fresh(), bench.tokenizer)
        return each(peers.margins_nnsight, kept["nnsight"])

    def bridge() -> Tensor:
        kept["bridge"] = kept.get("bridge") or peers.load_bridge(
            bench.fresh(), bench.tokenizer, str(bench.folder)
        )
        return each(peers.margins_bridge, kept["bridge"])

    return [
        Contestant(LOOP, lambda: sample.in_full((layer,), 1, tokens=1), share),
        Contestant("nnsight plainly", nnsight, share),
        Contestant("TransformerLens", bridge, share),
        Contestant(
            "steering-vectors", lambda: each(peers.margins_steering_vectors, bench.plain), share
        ),
    ]


def steering(bench: Bench) -> list[Outcome]:
    """At two thirds of the depth, with a band of layers from there, and at one third; full forwards
    cost the same at any layer."""
    quick, layers = bench.settings.quick, bench.shape.layers
    directions, share = (4, 2) if quick else (36, 36) if bench.device.type == "cuda" else (36, 2)
    sample = Sample(bench, directions)
    two_thirds, third = int(layers * 2 / 3), layers // 3
    bands: dict[str, Band] = {
        OURS: (two_thirds,),
        "emoexp, band": tuple(range(two_thirds - 1, min(two_thirds + 2, layers - 1))),
        "emoexp, one third": (third,),
    }
    exact = {name: agreement(sample, band) for name, band in bands.items()}
    if off := {
        name: found
        for name, found in exact.items()
        if not found["share_of_largest"] <= bench.tolerance
    }:
        raise RuntimeError(f"steered margins are not those of full forwards: {off}")
    everyone = [
        Contestant(OURS, partial(sample.replayed, bands[OURS])),
        Contestant(FULL, partial(sample.in_full, bands[OURS], share), share / directions),
        *one_direction(sample, two_thirds, directions),
    ]
    heat = race(everyone, bench.settings.repetitions, bench.tolerance)
    alone = {
        name: Spread.of([timed(partial(sample.replayed, band))])
        for name, band in bands.items()
        if name != OURS
    }
    lengths = [int(row.sum()) for encoding in sample.encodings.values() for row in encoding.mask]
    details = {
        "directions": directions,
        "directions_by_full_forwards": share,
        "openers": len(sample.openers),
        "pairs": len(lengths),
        "prompt_tokens": float(np.mean(lengths)),
        "against_full_forwards": exact,
    }
    rows = [
        outcome(sample, heat, name, band, directions, details, alone.get(name))
        for name, band in bands.items()
    ]
    if not rows[0].met:
        rows[0].profile = profile(lambda: sample.replayed(bands[OURS]))
    return rows


def agreement(sample: Sample, band: Band) -> dict[str, float]:
    """Two directions by both ways: the largest difference in logits and as a share, beside how far
    steering moves a margin."""
    two = Sample(sample.bench, 2)
    ours, full, still = two.replayed(band), two.in_full(band), sample.in_full(band, 1, still=True)
    return {
        "largest_difference": float((ours - full).abs().max()),
        "share_of_largest": difference(full, ours),
        "mean_abs_margin": float(still.abs().mean()),
        "mean_abs_change": float((full - still).abs().mean()),
    }


def outcome(
    sample: Sample,
    heat: Heat,
    name: str,
    band: Band,
    directions: int,
    details: dict[str, Any],
    alone: Spread | None = None,
) -> Outcome:
    """`alone` is the time of a band that did not race: it is held against the full forwards that
    did."""
    full, least = sample.work(band, directions)
    keys = {
        "emoexp, band": ("steering-band", "with the band {}"),
        "emoexp, one third": ("steering-third", "at one third of the depth, layer {}"),
    }
    key, where = keys.get(name, ("steering", "at two thirds of the depth, layer {}"))
    how = (
        "blocks up to the band once; above, tokens from the first steered one on; the last block"
        " for the last token"
    )
    bounds = sample.bench.bound(alone or heat.spread(name), least, how=how)
    ratio = (
        heat.ratio(FULL, name)
        if alone is None
        else Spread.of([full / alone.median for full in heat.seconds[FULL]])
    )
    seconds = (
        {n: heat.spread(n) for n in heat.seconds}
        if alone is None
        else {name: alone, FULL: heat.spread(FULL)}
    )
    return Outcome(
        key,
        f"preference steering {where.format('..'.join(map(str, sorted({band[0], band[-1]}))))},"
        " against full forwards in equal batches",
        ">= 8x" if name == OURS else "reported",
        ratio,
        8 if name == OURS else None,
        seconds=seconds,
        refused=heat.refused if name == OURS else {},
        faster_than={
            n: heat.ratio(n, name) for n in heat.seconds if name == OURS and not n.startswith(OURS)
        },
        differences=heat.differences,
        bound=bounds | {"ratio_by_flops": full / least},
        details=details,
        idea=(
            "attention to the prefix without a copy of its keys for every row; no trace for every"
            " batch"
        ),
    )


def baseline(bench: Bench) -> list[Outcome]:
    """Unsteered margins of the pairs that open with some activities, as `Preferences.baseline`
    computes them, against full forwards."""
    preferences = Preferences(bench.model, bench.activities)
    openers = (
        [0]
        if bench.settings.quick
        else list(range(0, preferences.n, 8 if bench.device.type == "cuda" else 24))
    )
    others = {i: [j for j in range(preferences.n) if j != i] for i in openers}
    encodings = {i: preferences.encoded(i, others[i])[1] for i in openers}
    shape, full, least = bench.shape, 0.0, 0.0
    for encoding in encodings.values():
        rows = [ids[keep].tolist() for ids, keep in zip(encoding.ids, encoding.mask, strict=True)]
        shared = shared_prefix(rows)
        full += sum(shape.flops(len(r), causal(len(r))) for r in rows)
        least += shape.keys_of(shared) + sum(shape.read_last(len(r), shared) for r in rows)

    def ours() -> np.ndarray:
        return np.stack([preferences._unsteered(i, others[i]) for i in openers])

    def in_full() -> np.ndarray:
        nothing, tokens = (
            torch.zeros(1, 0, bench.model.d_model, device=bench.device),
            bench.model.config.batch_tokens,
        )
        anew = [preferences.encoded(i, others[i])[1] for i in openers]  # as emoexp does
        inputs, masks = (
            [bench.model.inputs(e) for e in anew],
            [e.mask.to(bench.device) for e in anew],
        )
        parts = zip(inputs, masks, strict=True)
        return torch.cat(
            [
                peers.margins_hooks(bench.plain, i, m, (), nothing, preferences.options, tokens)
                for i, m in parts
            ]
        ).numpy()

    heat = race(
        [Contestant(OURS, ours), Contestant(FULL, in_full)],
        2 * bench.settings.repetitions,
        bench.tolerance,
    )
    if FULL in heat.refused:
        raise RuntimeError(heat.refused[FULL])
    row = Outcome(
        "baseline",
        "unsteered preferences of ordered pairs, against full forwards",
        ">= 2x",
        heat.ratio(FULL, OURS),
        2,
        seconds={n: heat.spread(n) for n in heat.seconds},
        differences=heat.differences,
        details={"pairs": sum(map(len, others.values()))},
        bound=bench.bound(
            heat.spread(OURS),
            least,
            how=(
                "each opener's shared prefix once, each suffix once, the last block for the last"
                " token"
            ),
        )
        | {"ratio_by_flops": full / least},
        idea="suffixes of several openers in one batch, by length",
    )
    if not row.met:
        row.profile = profile(ours)
    return [row]
