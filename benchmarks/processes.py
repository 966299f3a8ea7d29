"""Rows that need whole runs: `python -m emoexp` in processes of its own, each with a cache and a
directory of its own."""

from __future__ import annotations

import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench, Outcome, save_random
from benchmarks.bounds import Shape
from benchmarks.race import ROOT, Spread, profile_lines

HELLO = """import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    pass
main()
"""
DEEP = Shape(layers=24, d_model=128, heads=4, kv_heads=4, ff=352)
"""For a sweep over 20 layers."""
CHEAP = "experiment=logit_lens,implicit,numeric,preference,correlation"


class Scratch:
    """A directory with an artifact store, for commands whose seconds count."""

    def __init__(self, bench: Bench) -> None:
        self.place = Path(tempfile.mkdtemp(dir=bench.work))
        threads = {"OMP_NUM_THREADS": str(bench.settings.threads)} if bench.settings.threads else {}
        self.environment = (
            os.environ
            | threads
            | {
                "EMOEXP_ARTIFACTS": str(self.place / "artifacts"),
                "PYTHONPATH": str(ROOT),
                "HF_HUB_OFFLINE": "1",
                "PYTHONWARNINGS": "ignore",
            }
        )

    def seconds(self, *command: str) -> float:
        """Of one command.

        Raises:
            RuntimeError: it fails.
        """
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-600:]}")
        return time.perf_counter() - start

    def profile(self, *command: str) -> list[str]:
        """Where one run of `python -m emoexp ...` spends its time, imports among it."""
        self.seconds("-m", "cProfile", "-o", "profile", *command)
        return profile_lines(pstats.Stats(str(self.place / "profile")))

    def forget(self) -> None:
        """Empties the artifact store."""
        shutil.rmtree(self.place / "artifacts", ignore_errors=True)


def taking_turns(
    scratch: Scratch, commands: Mapping[str, Sequence[str]], repetitions: int
) -> dict[str, list[float]]:
    """Seconds of each command, in turns, after one round that fills the file cache."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for i in range(repetitions + 1):
        for name, command in commands.items():
            seconds = scratch.seconds(*command)
            if i:
                found[name].append(seconds)
    return found


def divided(above: list[float], below: list[float]) -> Spread:
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def help_page(bench: Bench) -> list[Outcome]:
    scratch = Scratch(bench)
    (scratch.place / "hello.py").write_text(HELLO, encoding="utf-8")
    commands = {
        "--help": ("-m", "emoexp", "--help"),
        "hydra hello world": ("hello.py",),
        "python -c pass": ("-c", "pass"),
    }
    found = taking_turns(scratch, commands, 3 if bench.settings.quick else 9)
    row = Outcome(
        "help",
        "`python -m emoexp --help`, against a Hydra hello world",
        "<= 2x",
        divided(found["--help"], found["hydra hello world"]),
        2,
        at_least=False,
        seconds={name: Spread.of(seconds) for name, seconds in found.items()},
        bound={
            "seconds": Spread.of(bare := found["python -c pass"]).median,
            "distance": divided(found["--help"], bare).median,
            "how": "python -c pass",
        },
        idea="import less before the page is written",
    )
    if not row.met:
        row.profile = scratch.profile("-m", "emoexp", "--help")
    return [row]


def cached(bench: Bench) -> list[Outcome]:
    """The same command twice; the second reads what the first one computed, and still loads the
    model and draws its figures."""
    scratch = Scratch(bench)
    run = (
        "-m",
        "emoexp",
        *(
            ("scale=smoke", "emotions=core12", "experiment=correlation")
            if bench.settings.quick
            else ()
        ),
    )
    first, again = (
        scratch.seconds(*run),
        [scratch.seconds(*run) for _ in range(1 if bench.settings.quick else 3)],
    )
    floor = scratch.seconds(
        "-c", "import torch, transformers, nnsight, matplotlib.pyplot, pandas, scipy.stats"
    )
    row = Outcome(
        "cached",
        f"a second `{' '.join(('python', *run))}`, everything cached, against the first",
        "<= 0.1x",
        divided(again, [first] * len(again)),
        0.1,
        at_least=False,
        seconds={
            "first": Spread.of([first]),
            "second": Spread.of(again),
            "imports": Spread.of([floor]),
        },
        bound={
            "seconds": floor,
            "distance": Spread.of(again).median / floor,
            "how": "importing torch, transformers, nnsight, matplotlib, pandas, scipy",
        },
        idea="import less; load no weights where nothing is computed",
    )
    if not row.met:
        row.profile = scratch.profile(*run)
    return [row]


def layers(bench: Bench) -> list[Outcome]:
    """All validations but steering at 20 layers of one loaded model, against one layer; everything
    is computed anew in each."""
    quick = bench.settings.quick
    folder = save_random(
        bench.work / "deep", Shape(6, 64, 4, 2, 128) if quick else DEEP, "float32", "cpu"
    )
    scratch, found = Scratch(bench), dict[str, list[float]]()
    many = "range(1,5)" if quick else "range(2,22)"
    count = 4 if quick else 20
    model = (
        "model=custom",
        f"model.repo_id={folder}",
        "stimuli=organism",
        "stories=pack",
        "emotions=core12" if quick else "emotions=all",
    )
    common = (
        "-m",
        "emoexp",
        "--multirun",
        "experiment=implicit,correlation" if quick else CHEAP,
        *model,
        f"scale={'smoke' if quick else 'paper'}",
    )
    for name, swept in (("one layer", "layer=range(3,4)"), ("all layers", f"layer={many}")):
        scratch.forget()
        shutil.rmtree(scratch.place / "multirun", ignore_errors=True)
        found[name] = [scratch.seconds(*common, swept, f"layers_per_job={count}")]
    row = Outcome(
        "layers",
        f"all validations but steering for {count} layers, against one layer",
        "<= 1.2x",
        divided(found["all layers"], found["one layer"]),
        1.2,
        at_least=False,
        seconds={name: Spread.of(seconds) for name, seconds in found.items()},
        details={
            "command": " ".join(common[2:]),
            "network": "24 x 128" if not quick else "6 x 64",
            "seconds_per_further_layer": (
                (found["all layers"][0] - found["one layer"][0]) / (count - 1)
            ),
        },
        bound={"how": "1.0: nothing but reading"},
        idea=(
            "a further layer costs the same whatever the model's size: draw fewer figures in a"
            " sweep"
        ),
    )
    if not row.met:
        shutil.rmtree(scratch.place / "multirun", ignore_errors=True)
        row.profile = scratch.profile(*common, "layer=range(2,5)", "layers_per_job=3")
    return [row]
