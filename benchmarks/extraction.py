"""All-layer extraction: against a bare forward, against what a user would write, its padding and
its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.bench import Bench, Outcome, save_random
from benchmarks.bounds import SHAPES, causal
from benchmarks.race import ROOT, Contestant, Spread, profile, race
from emoexp.models.subject import SubjectModel
from emoexp.vectors.pooling import pool_stories, pool_texts

SCREEN, PAPER = 50, 1200
"""Stories of one emotion in the screening corpus (10 topics x 5) and in the paper's (100 x 12):
what is batched together."""
OURS, BARE, LOOP = "emoexp", "bare forward", "loop, one text"


def forwards(model: SubjectModel, run: Callable[[], Any]) -> list[dict[str, Any]]:
    """What the decoder was given during `run`, forward by forward: ids, mask, positions."""
    seen: list[dict[str, Any]] = []

    def note(module: Any, inputs: Any, keywords: dict[str, Any]) -> None:
        seen.append(
            {
                name: keywords[name]
                for name in ("input_ids", "attention_mask", "position_ids")
                if keywords.get(name) is not None
            }
        )

    handle = model.network.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    return seen


def padding(given: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Tokens put through the network, and how many of them are real."""
    return sum(f["input_ids"].numel() for f in given), sum(
        int(f["attention_mask"].sum()) for f in given
    )


def contestants(bench: Bench, texts: list[str], given: list[dict[str, Any]]) -> list[Contestant]:
    """emoexp, the bare forward of the batches it makes, and the peers. A peer that cannot be loaded
    fails when it is first run."""
    model, tokenizer, plain, n = bench.model, bench.tokenizer, bench.plain, bench.shape.layers
    kept: dict[str, Any] = {}

    @torch.no_grad()
    def bare() -> None:
        for batch in given:
            plain.model(**batch, use_cache=False)

    def nnsight() -> np.ndarray:
        kept.setdefault("nnsight", None)
        kept["nnsight"] = kept["nnsight"] or peers.load_nnsight(bench.fresh(), tokenizer)
        return peers.extract_nnsight(kept["nnsight"], tokenizer, texts, n, bench.device)

    def bridge() -> np.ndarray:
        kept["bridge"] = kept.get("bridge") or peers.load_bridge(
            bench.fresh(), tokenizer, str(bench.folder)
        )
        return peers.extract_bridge(kept["bridge"], tokenizer, texts, n, bench.device)

    return [
        Contestant(OURS, lambda: pool_texts(model, texts)),
        Contestant(BARE, bare),
        Contestant(LOOP, lambda: peers.extract_hooks(plain, tokenizer, texts, 1)),
        Contestant("hooks, batches of 16", lambda: peers.extract_hooks(plain, tokenizer, texts)),
        Contestant("nnsight plainly", nnsight),
        Contestant("TransformerLens", bridge),
        Contestant(
            "steering-vectors", lambda: peers.extract_steering_vectors(plain, tokenizer, texts)
        ),
    ]


def extraction(bench: Bench) -> list[Outcome]:
    """One emotion's stories (24 on a CPU): the bare forward of the same padded tokens, then the
    loop and the other peers on the same texts."""
    shape, n = (
        bench.shape,
        (8 if bench.settings.quick else SCREEN if bench.device.type == "cuda" else 24),
    )
    texts = bench.stories(n)
    given = forwards(bench.model, lambda: pool_texts(bench.model, texts))
    padded, real = padding(given)
    everyone, unmeasured = contestants(bench, texts, given), {BARE: "it gives no means"}
    closely = race(
        everyone[:2], 4 * bench.settings.repetitions, bench.tolerance, only_timed=unmeasured
    )  # one after the other: a few percent count
    heat = race(everyone[:1] + everyone[2:], bench.settings.repetitions, bench.tolerance)
    lengths = [int(n) for f in given for n in f["attention_mask"].sum(1)]
    flops = shape.flops(real, sum(causal(n) for n in lengths))
    details = {
        "texts": len(texts),
        "real_tokens": real,
        "padded_tokens": padded,
        "batches": len(given),
        "tokens_per_s": real / heat.spread(OURS).median,
    }
    bound = bench.bound(
        heat.spread(OURS),
        flops,
        how="all blocks on the real tokens, causal attention, no padding; no logits",
    )
    details["best_of_each"] = min(closely.seconds[BARE]) / min(
        closely.seconds[OURS]
    )  # what is left where neighbours disturb least
    shared: dict[str, Any] = {
        "seconds": (
            {name: heat.spread(name) for name in heat.seconds} | {BARE: closely.spread(BARE)}
        ),
        "differences": heat.differences,
        "refused": heat.refused,
        "details": details,
        "bound": bound,
    }
    on_gpu = bench.device.type == "cuda"
    rows = [
        Outcome(
            "extraction",
            "all-layer extraction, against a bare forward of the same padded batches without"
            " logits",
            ">= 0.95 of its tokens/s",
            closely.ratio(BARE, OURS),
            0.95,
            **shared,
        ),
        Outcome(
            "loop",
            "all-layer extraction, against PyTorch hooks one text at a time",
            ">= 10x" if on_gpu else ">= 1x (CPU: not slower)",
            heat.ratio(LOOP, OURS),
            10 if on_gpu else 1,
            faster_than={name: heat.ratio(name, OURS) for name in heat.seconds if name != OURS},
            **shared,
        ),
    ]
    rows[0].idea = (
        "tokenize once (now twice: for the lengths, and for the batch), and the next batch while"
        " this one runs"
    )
    rows[1].idea = "rows of different texts packed into one, without padding"
    if not all(row.met for row in rows):
        lines = profile(lambda: pool_texts(bench.model, texts))
        rows = [replace(row, profile=lines) for row in rows]
    return rows


def dtypes(whole: Bench, half: Bench) -> Outcome:
    """The same stories in float32 and in bfloat16, whose means differ by its rounding."""
    texts = whole.stories(8 if whole.settings.quick else 24)
    wide, narrow = "float32", "bfloat16"
    heat = race(
        [
            Contestant(wide, lambda: pool_texts(whole.model, texts)),
            Contestant(narrow, lambda: pool_texts(half.model, texts)),
        ],
        whole.settings.repetitions,
        half.tolerance,
        only_timed={narrow: "its numbers are rounded"},
    )
    return Outcome(
        f"{whole.settings.shape}-bfloat16",
        "all-layer extraction in bfloat16, against float32",
        "reported",
        heat.ratio(wide, narrow),
        seconds={name: heat.spread(name) for name in heat.seconds},
    )


def padding_waste(bench: Bench) -> list[Outcome]:
    """Padded over real tokens, counted at the decoder's input; a matter of lengths alone, so a
    small network does it."""
    folder = save_random(
        bench.work / "count", SHAPES["tiny"], bench.settings.dtype, bench.settings.device
    )
    model, waste, details = (
        bench.subject(folder, "count"),
        dict[str, list[float]](),
        dict[str, Any](),
    )
    for name, n in (("screen", SCREEN), ("paper", 100 if bench.settings.quick else PAPER)):
        for seed in range(3 if n == SCREEN else 1):
            padded, real = padding(
                forwards(model, partial(pool_stories, model, bench.stories(n, seed)))
            )
            waste.setdefault(name, []).append(100 * (padded / real - 1))
        details[name] = {"stories_per_emotion": n, "percent": waste[name]}
    worst = max(waste.values(), key=lambda found: Spread.of(found).median)
    row = Outcome(
        "padding",
        "extraction: padding beyond the real tokens, 50 or 1,200 stories to an emotion, the worse",
        "<= 5 %",
        Spread.of(worst),
        5,
        at_least=False,
        unit=" %",
        bound={"how": "0 %: packed rows"},
        details=details
        | {
            "lengths": "log-normal, median 170 tokens, sigma 0.3, 60..480",
            "batch_tokens": model.config.batch_tokens,
        },
        idea="batch across emotions",
    )
    return [row]


def peak_memory(bench: Bench) -> list[Outcome]:
    """Peak memory while one emotion's stories are extracted, above that of the loaded and warmed-up
    model; a process for each size."""
    few, many = (100, 1000) if bench.settings.quick else (1000, 10000)
    shape = (
        bench.settings.shape if bench.device.type == "cuda" and not bench.settings.quick else "tiny"
    )
    folder = (
        bench.folder
        if shape == bench.settings.shape
        else save_random(
            bench.work / "memory", SHAPES[shape], bench.settings.dtype, bench.settings.device
        )
    )
    with ThreadPoolExecutor(2) as pool:  # side by side: it is not their seconds that count
        measured = pool.map(
            lambda n: in_process(
                "benchmarks.peak", str(folder), str(n), bench.settings.device, bench.settings.dtype
            ),
            (few, many),
        )
        found = dict(zip((few, many), measured, strict=True))
    ratio = Spread.of([found[many]["peak"] / found[few]["peak"]])
    row = Outcome(
        "memory",
        f"peak memory of extraction at {many:,} stories over that at {few:,}",
        "<= 1.1x",
        ratio,
        1.1,
        at_least=False,
        details={
            "shape": shape,
            "bytes": {str(n): f for n, f in found.items()},
            "what": "above the loaded model, after one warm-up batch",
        },
        bound={"how": "1.0: one batch and the sums"},
        idea="see which list grows: tracemalloc between two batches",
    )
    return [row]


def in_process(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON that `python -m module` prints, in a process of its own."""
    # a fixed threshold: large blocks go back to the system at once, so that what is measured is
    # what is held, not what malloc keeps
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "MALLOC_MMAP_THRESHOLD_": str(2**17),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} {' '.join(arguments)}: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
