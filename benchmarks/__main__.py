"""`python -m benchmarks`: every row, or `--only` some; results.json and a table."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.bench import REAL, Bench, Outcome, Settings
from benchmarks.bounds import SHAPES
from benchmarks.extraction import dtypes, extraction, padding_waste, peak_memory
from benchmarks.generation import generation
from benchmarks.preferences import baseline, steering
from benchmarks.processes import cached, help_page, layers
from benchmarks.table import record, show


@contextmanager
def of_shape(bench: Bench, shape: str, dtype: str | None = None) -> Iterator[Bench]:
    """Lends a bench of another shape, and dtype if one is given, whose folder is removed
    afterwards; a quick one is tiny."""
    shape = "tiny" if bench.settings.quick else shape
    dtype = dtype or bench.settings.dtype
    other = Bench(replace(bench.settings, shape=shape, dtype=dtype))
    try:
        yield other
    finally:
        shutil.rmtree(other.work, ignore_errors=True)


def sizes(bench: Bench) -> dict[str, Any]:
    """Returns what a row says of the shape that it was measured on."""
    return {"shape": bench.settings.shape, "sizes": asdict(bench.shape)}


def organism(bench: Bench) -> list[Outcome]:
    """Extraction, steering and baseline on the bundled organism, so small that every call costs
    more than its arithmetic; reported."""
    with of_shape(bench, "organism") as small:
        rows = [row for group in (extraction, steering, baseline) for row in group(small)]
    kept = [row for row in rows if row.key in ("extraction", "loop", "steering", "baseline")]
    machine = sizes(small)
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


def real(group: Callable[[Bench], list[Outcome]]) -> Callable[[Bench], list[Outcome]]:
    """Rows of a group that have a goal, on SmolLM2 in its chat format, whose system prompt is
    long."""

    def measured(bench: Bench) -> list[Outcome]:
        with of_shape(bench, REAL) as own:
            rows = group(own)
        return [
            replace(
                row,
                key=f"{REAL}-{row.key}",
                work=f"SmolLM2, chat: {row.work}",
                goal=goal,
                limit=float(goal.removeprefix(">= ").rstrip("x")),
                machine=sizes(own),
            )
            for row in rows
            if (goal := REAL_GOALS.get(row.key))
        ]

    return measured


def real_bfloat16(bench: Bench) -> list[Outcome]:
    """Extraction from real weights in bfloat16 against float32."""
    with of_shape(bench, REAL) as whole, of_shape(bench, REAL, "bfloat16") as half:
        return [replace(dtypes(whole, half), machine=sizes(whole))]


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
