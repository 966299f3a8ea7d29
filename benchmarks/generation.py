"""Steered generation of 64 rows: against unsteered `generate`, and against what a user would
write."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.bench import Bench, Outcome
from benchmarks.bounds import causal
from benchmarks.race import Contestant, profile, race
from emoexp.models.subject import Steering
from emoexp.steering.preference import Preferences

ROWS = 64
OURS, STILL, THEIRS = "emoexp, steered", "emoexp, unsteered", "network.generate, unsteered"


def generation(bench: Bench) -> list[Outcome]:
    """Greedy continuations; the direction is added on every token, so that every peer can say the
    same."""
    model, shape, tokens = (
        bench.model,
        bench.shape,
        8 if bench.settings.quick else 16 if bench.device.type == "cpu" else 128,
    )
    preferences = Preferences(model, bench.stimuli)
    encoding = model.encode(
        [
            preferences.prompt(i, (i + 7) % preferences.n)
            for i in range(8 if bench.settings.quick else ROWS)
        ]
    )
    layer, rows = int(shape.layers * 2 / 3), len(encoding.ids)
    size = float(
        model.residuals(encoding, [layer]).norm(dim=-1)[0][encoding.mask.to(bench.device)].mean()
    )
    vector = (
        0.5
        * size
        * torch.nn.functional.normalize(
            torch.randn(model.d_model, generator=torch.Generator().manual_seed(0)), dim=0
        ).to(bench.device)
    )
    steering = Steering({layer: vector[None]}, encoding.mask.to(bench.device))
    inputs = {name: t for name, t in model.inputs(encoding).items() if name != "position_ids"}
    kept: dict[str, Any] = {}

    def ours(steering: Steering | None) -> np.ndarray:
        return np.array(model.generate(encoding, max_new_tokens=tokens, steering=steering).ids)

    def bridge() -> np.ndarray:
        kept["bridge"] = kept.get("bridge") or peers.load_bridge(
            bench.fresh(), bench.tokenizer, str(bench.folder)
        )
        return peers.generate_bridge(kept["bridge"], inputs, layer, vector, tokens)

    everyone = [
        Contestant(OURS, lambda: ours(steering)),
        Contestant(
            "hooks, batched",
            lambda: peers.generate_hooks(bench.plain, inputs, layer, vector, tokens),
        ),
        Contestant(
            "steering-vectors",
            lambda: peers.generate_steering_vectors(bench.plain, inputs, layer, vector, tokens),
        ),
        Contestant("TransformerLens", bridge),
        Contestant(STILL, lambda: ours(None)),
        Contestant(THEIRS, lambda: peers.generate_hooks(bench.plain, inputs, None, vector, tokens)),
    ]
    heat = race(
        everyone,
        bench.settings.repetitions,
        0.0,
        only_timed={STILL: "unsteered", THEIRS: "unsteered"},
    )
    width = float(encoding.mask.sum(1).double().mean())
    weights = (
        shape.layers * shape.block_weights + shape.d_model * model.network.lm_head.weight.shape[0]
    )
    itemsize = model.network.lm_head.weight.element_size()
    held = weights + rows * shape.layers * shape.kv_width * (width + tokens / 2)
    step = bench.rates.seconds(rows * 2 * weights, itemsize * held)
    prefill = bench.rates.seconds(shape.flops(rows * width, rows * causal(int(width))))
    least = prefill + (tokens - 1) * step
    seconds = heat.spread(OURS)
    changed = float((ours(steering) != ours(None)).mean())
    row = Outcome(
        "generation",
        f"steered generation of {rows} rows, against unsteered `generate`",
        ">= 0.9 of its tokens/s",
        heat.ratio(THEIRS, OURS),
        0.9,
        seconds={n: heat.spread(n) for n in heat.seconds},
        refused=heat.refused,
        differences=heat.differences,
        faster_than={n: heat.ratio(n, OURS) for n in heat.seconds if n != OURS},
        bound={
            "seconds": least,
            "distance": seconds.median / least,
            "how": (
                "prefill by FLOPs, then each step by FLOPs or by weights and keys and values read"
            ),
        },
        details={
            "rows": rows,
            "new_tokens": tokens,
            "prompt_tokens": width,
            "tokens_per_s": rows * tokens / seconds.median,
            "ids_that_steering_changed": changed,
        },
        idea=(
            "set up the edited model once per direction, not per call; make the addition outside"
            " the loop of steps"
        ),
    )
    if not row.met:
        row.profile = profile(lambda: ours(steering))
    return [row]
