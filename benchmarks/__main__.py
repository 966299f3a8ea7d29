"""`python -m benchmarks`: every row, or `--only` some; results.json and a table."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.bench import REAL, Bench, Outcome, Settings
from benchmarks.bounds import SHAPES
from benchmarks.extraction import dtypes, extraction, padding_waste, peak_memory
from benchmarks.generation import generation
from benchmarks.preferences import baseline, steering
from benchmarks.processes import cached, help_page, layers
from benchmarks.table import record, show


def organism(bench: Bench) -> list[Outcome]:
    """Extraction, steering and baseline on the bundled organism, so small that every call costs
    more than its arithmetic; reported."""
    small = Bench(replace(bench.settings, shape="tiny" if bench.settings.quick else "organism"))
    try:
        rows = [row for group in (extraction, steering, baseline) for row in group(small)]
    finally:
        shutil.rmtree(small.work, ignore_errors=True)
    kept = [row for row in rows if row.key in ("extraction", "loop", "steering", "baseline")]
    machine = {"shape": small.settings.shape, "sizes": asdict(small.shape)}
    return [
        replace(
            row,
            key=f"organism-{row.key}",
            work=f"organism: {row.work}",
            goal="reported",
            limit=None,
            machine=machine,
        )
        for row in kept
    ]


REAL_GOALS = {"extraction": ">= 0.98", "steering": ">= 11x", "baseline": ">= 2.3x"}


def _on_real(bench: Bench, dtype: str = "float32") -> Bench:
    """The bench on SmolLM2 in its chat format, whose system prompt is long."""
    shape = "tiny" if bench.settings.quick else REAL
    return Bench(replace(bench.settings, shape=shape, dtype=dtype))


def real(group: Callable[[Bench], list[Outcome]]) -> Callable[[Bench], list[Outcome]]:
    """Rows of a group that have a goal, on real weights."""

    def measured(bench: Bench) -> list[Outcome]:
        own = _on_real(bench)
        try:
            rows = group(own)
        finally:
            shutil.rmtree(own.work, ignore_errors=True)
        machine = {"shape": own.settings.shape, "sizes": asdict(own.shape)}
        return [
            replace(
                row,
                key=f"{REAL}-{row.key}",
                work=f"SmolLM2, chat: {row.work}",
                goal=goal,
                limit=float(goal.removeprefix(">= ").rstrip("x")),
                machine=machine,
            )
            for row in rows
            if (goal := REAL_GOALS.get(row.key))
        ]

    return measured


def real_bfloat16(bench: Bench) -> list[Outcome]:
    """Extraction from real weights in bfloat16 against float32."""
    whole, half = _on_real(bench), _on_real(bench, "bfloat16")
    try:
        row = dtypes(whole, half)
    finally:
        for made in (whole, half):
            shutil.rmtree(made.work, ignore_errors=True)
    return [replace(row, machine={"shape": whole.settings.shape, "sizes": asdict(whole.shape)})]


GROUPS: dict[str, Callable[[Bench], list[Outcome]]] = {
    "extraction": extraction,
    "padding": padding_waste,
    "steering": steering,
    "baseline": baseline,
    "generation": generation,
    "memory": peak_memory,
    "help": help_page,
    "cached": cached,
    "layers": layers,
    "organism": organism,
    "real-extraction": real(extraction),
    "real-steering": real(steering),
    "real-baseline": real(baseline),
    "real-bfloat16": real_bfloat16,
}
"""What is measured together; `extraction` gives the row `loop` too, `steering` the rows of the band
and of one third."""


def arguments(
    parser: argparse.ArgumentParser, given: Sequence[str] | None, rows: Iterable[str]
) -> argparse.Namespace:
    """The options that both benches have, with the defaults that `parser` was given."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=tuple(rows),
        help="these rows; the others in results.json stay as they are",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, to try the bench itself; written to build/, not to results.json",
    )
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--device")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its own choice")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(given)


def measure(
    options: argparse.Namespace, groups: dict[str, Callable[[Bench], list[Outcome]]]
) -> bool:
    """Measures, writes and shows; whether every group could be measured."""
    logging.getLogger().setLevel(logging.ERROR)
    settings = Settings(
        options.shape,
        options.device,
        options.dtype,
        options.repetitions,
        options.quick,
        options.threads,
    )
    bench, failed = Bench(settings), list[str]()
    out: Path = options.out
    held = {}
    try:
        for name, group in groups.items():
            start = time.perf_counter()
            try:
                rows = [
                    row.as_dict()
                    | {
                        "machine": bench.machine() | row.machine,
                        "taken": time.strftime("%Y-%m-%d %H:%M"),
                    }
                    for row in group(bench)
                ]
            except Exception as error:  # the other rows are worth having
                failed.append(
                    f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:400]}"
                )
                sys.stderr.write(f"{failed[-1]}\n")
                continue
            sys.stderr.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
            held = record(out, rows)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    show(held)
    return not failed


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.set_defaults(shape=None, device="cpu", dtype="float32", repetitions=None)
    options = arguments(parser, given, GROUPS)
    options.shape = options.shape or ("tiny" if options.quick else "small")
    options.repetitions = options.repetitions or 3
    options.out = options.out or Path(
        "build/benchmarks/quick.json" if options.quick else "benchmarks/results.json"
    )
    groups = {
        name: group for name, group in GROUPS.items() if not options.only or name in options.only
    }
    return 0 if measure(options, groups) else 1


if __name__ == "__main__":
    sys.exit(main())
