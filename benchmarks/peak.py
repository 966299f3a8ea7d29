"""`python -m benchmarks.peak FOLDER N DEVICE DTYPE`: peak memory while N stories are extracted, in
bytes, as one line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from benchmarks.bench import Bench, Settings
from emoexp.vectors.pooling import pool_stories


def reset() -> None:
    """Makes the peak the present (Linux: writing 5 to clear_refs resets VmHWM)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5")


def resident() -> tuple[int, int]:
    """Resident memory of this process now and at its peak, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in lines
        if line.startswith(("VmRSS", "VmHWM"))
    }
    return found["VmRSS"], found["VmHWM"]


def main() -> None:
    folder, n, device, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    bench = Bench(Settings(device=device, dtype=dtype))
    model, pool = bench.subject(Path(folder), "peak"), bench.stories(100)
    texts = [pool[i % len(pool)] for i in range(n)]
    pool_stories(model, pool[:16])
    reset()
    before = torch.cuda.memory_allocated() if device != "cpu" else resident()[0]
    pool_stories(model, texts)
    peak = torch.cuda.max_memory_allocated() if device != "cpu" else resident()[1]
    sys.stdout.write(json.dumps({"peak": peak - before, "whole": peak, "before": before}) + "\n")


if __name__ == "__main__":
    main()
