"""`python benchmarks/gpu.py`: the same rows on a GPU at Llama-8B shape with random weights, and
what only a GPU can say: model FLOP utilisation while extracting, a whole `verify` over 20 layers,
and peak memory in bf16 and in 4 bits.

Proven on the CPU with `--shape tiny --device cpu`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(
    0, str(Path(__file__).parent.parent)
)  # run as a file, python looks in benchmarks/ only

import torch

from benchmarks.__main__ import GROUPS, arguments, measure
from benchmarks.bench import Bench, Outcome
from benchmarks.bounds import PEAKS, causal
from benchmarks.extraction import forwards, padding
from benchmarks.processes import Scratch
from benchmarks.race import Spread, profile, timed
from emoexp.config import Quantization
from emoexp.vectors.pooling import pool_texts

LAYERS = 20
SHARED = ("extraction", "steering", "baseline", "generation", "memory")
"""The rows of `make benchmark` that run the network."""


def prefill(bench: Bench) -> list[Outcome]:
    """Tokens a second and model FLOP utilisation while all layers of paper-length stories are
    extracted, in the batches that emoexp makes."""
    texts, shape = bench.stories(16 if bench.settings.quick else 400), bench.shape
    given = forwards(bench.model, lambda: pool_texts(bench.model, texts))
    padded, real = padding(given)
    flops = shape.flops(
        real, sum(causal(int(n)) for f in given for n in f["attention_mask"].sum(1))
    )
    seconds = Spread.of(
        [timed(lambda: pool_texts(bench.model, texts)) for _ in range(bench.settings.repetitions)]
    )
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else ""
    sheet = (
        next((peak for gpu, peak in PEAKS.items() if gpu in name), None)
        if bench.settings.dtype == "bfloat16"
        else None
    )
    peak = sheet or bench.rates.flops
    median, low, high = (
        100 * flops / s / peak for s in (seconds.median, seconds.high, seconds.low)
    )
    used = Spread(median, low, high, seconds.n)
    row = Outcome(
        "prefill",
        "extraction, all layers: model FLOP utilisation (of"
        f" {'the data sheet' if sheet else 'the measured product'})",
        ">= 60 %",
        used,
        60,
        unit=" %",
        seconds={"emoexp": seconds},
        bound=bench.bound(seconds, flops, how="all blocks on the real tokens"),
        details={
            "texts": len(texts),
            "real_tokens": real,
            "padded_tokens": padded,
            "tokens_per_s": real / seconds.median,
            "peak_tflops": peak / 1e12,
        },
        idea=(
            "sums on the GPU, layer by layer, with one copy to the CPU per batch; tokenize the next"
            " batch meanwhile; flash attention over packed rows"
        ),
    )
    if not row.met:
        row.profile = [*profile(lambda: pool_texts(bench.model, texts)), *kernels(bench, texts)]
    return [row]


def kernels(bench: Bench, texts: list[str], top: int = 12) -> list[str]:
    """The GPU's own view: the kernels that take longest (on the CPU, the operators)."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as trace

    on_gpu = bench.device.type == "cuda"
    with trace(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        pool_texts(bench.model, texts[:64])
    spent = sorted(
        found.key_averages(),
        key=lambda e: -(e.self_device_time_total if on_gpu else e.self_cpu_time_total),
    )[:top]
    return [
        f"{(e.self_device_time_total if on_gpu else e.self_cpu_time_total) / 1e6:.3f} s {e.count}x"
        f" {e.key[:90]}"
        for e in spent
    ]


def memory_by_weights(bench: Bench) -> list[Outcome]:
    """Peak memory of loading and extracting, with weights as they are and in 4 bits; reported."""
    rows: list[Outcome] = []
    texts, on_gpu = bench.stories(8 if bench.settings.quick else 50), bench.device.type == "cuda"
    for quantization in (Quantization.none, Quantization.nf4):
        vars(bench).pop("model", None)
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if on_gpu else 0
        model = bench.subject(bench.folder, bench.settings.shape, quantization=quantization)
        loaded = torch.cuda.memory_allocated() - before if on_gpu else weights(model.network)
        pool_texts(model, texts)
        peak = torch.cuda.max_memory_allocated() - before if on_gpu else loaded
        name = bench.settings.dtype if quantization is Quantization.none else "nf4"
        what = f"peak memory of extraction, weights in {name}" + (
            "" if on_gpu else " (CPU: of the weights only)"
        )
        rows.append(
            Outcome(
                f"memory-{name}",
                what,
                "reported",
                Spread.of([peak / 1e9]),
                unit=" GB",
                details={"weights_gb": loaded / 1e9, "texts": len(texts)},
            )
        )
        del model
    return rows


def weights(network: Any) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())


def sweep(bench: Bench) -> list[Outcome]:
    """`verify` at 20 layers of one loaded model, everything computed, against one layer;
    reported."""
    scratch, n = Scratch(bench), bench.shape.layers
    count = min(LAYERS, n - 2)
    first = (n - count) // 2
    model = (
        "model=custom",
        f"model.repo_id={bench.folder}",
        f"model.device={bench.settings.device}",
        f"model.dtype={bench.settings.dtype}",
        "stimuli=organism",
        "stories=pack",
        "emotions=core12" if bench.settings.quick else "emotions=all",
        f"scale={'smoke' if bench.settings.quick else 'paper'}",
    )
    smaller = (
        ("experiment.steering.n_emotions=3", "scale.random_directions=8")
        if bench.settings.quick
        else ()
    )
    vars(bench).pop("model", None)
    vars(bench).pop("plain", None)
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
    seconds = {}
    for name, layers in (
        ("one layer", f"range({first},{first + 1})"),
        (f"{count} layers", f"range({first},{first + count})"),
    ):
        scratch.forget()
        shutil.rmtree(scratch.place / "multirun", ignore_errors=True)
        seconds[name] = Spread.of(
            [
                scratch.seconds(
                    "-m",
                    "emoexp",
                    "--multirun",
                    *model,
                    *smaller,
                    f"layer={layers}",
                    f"layers_per_job={count}",
                )
            ]
        )
    ratio = Spread.of([seconds[f"{count} layers"].median / seconds["one layer"].median])
    return [
        Outcome(
            "sweep",
            f"a whole `verify`, steering too, at {count} layers, against one",
            "reported",
            ratio,
            seconds=seconds,
        )
    ]


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/gpu.py", description=__doc__)
    parser.set_defaults(shape="8b", device="cuda", dtype=None, repetitions=None)
    groups = {"prefill": prefill, "memory_by_weights": memory_by_weights, "sweep": sweep}
    options = arguments(parser, given, (*SHARED, *groups))
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU here: --shape tiny --device cpu proves the script")
    options.quick = options.quick or options.shape == "tiny"
    options.dtype = options.dtype or (
        "bfloat16" if options.device.startswith("cuda") else "float32"
    )
    options.repetitions = options.repetitions or (2 if options.quick else 5)
    options.out = options.out or Path(
        "build/benchmarks/gpu.json" if options.quick else "benchmarks/results-gpu.json"
    )
    chosen = {**{name: GROUPS[name] for name in SHARED}, **groups}
    return (
        0
        if measure(
            options,
            {
                name: group
                for name, group in chosen.items()
                if not options.only or name in options.only
            },
        )
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
