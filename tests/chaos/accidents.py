"""Runs emoexp in processes that can be hurt, and compares what they leave with a quiet run.

A process is forked from a server that has imported everything, so that a try costs no import. In
it, each pass through the model's last block is written down with the hash of its input: these
`passes` say how far a run is, and what was computed twice.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from filelock import FileLock

from emoexp.store.artifacts import read_tensors
from emoexp.store.record import RESULT

COMPARED = ("status", "layer", "metrics", "verdicts", "notes", "tables", "stimuli", "corpus")
SMALL = ("scale=smoke", "emotions=core12")
WAIT_S = 1800.0


@dataclass(frozen=True)
class Setting:
    """What a process is given: another user, a limit of memory in bytes, the number of the pass
    at which memory runs out, or a signal (its `number`) that comes `delay` seconds after pass
    `at_pass`, or, with none, after the first table is opened to be written."""

    uid: int | None = None
    limit: int | None = None
    out_of_memory_at: int | None = None
    number: signal.Signals | None = None
    at_pass: int | None = None
    delay: float = 0.0


def _run(arguments: tuple[str, ...], home: Path, setting: Setting) -> None:
    """The command in a child: its output goes to `home`/log, its passes to `home`/passes."""
    os.setsid()
    os.chdir(home)
    os.umask(0o002)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` ignores it
    log = os.open(home / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if setting.uid is not None:
        os.setgroups([])
        os.setgid(setting.uid)
        os.setuid(setting.uid)
    _note_passes(home / "passes", setting)
    if setting.number is not None and setting.at_pass is None:
        sys.addaudithook(partial(_kill_at_table, setting))
    if setting.limit is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + setting.limit,) * 2)
    sys.argv = ["emoexp", *arguments]
    from emoexp.__main__ import main

    main()


def _kill(setting: Setting) -> None:
    timer = threading.Timer(setting.delay, os.kill, (os.getpid(), setting.number))
    timer.daemon = True
    timer.start()


def _kill_at_table(setting: Setting, event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and ".csv" in str(arguments[0]) and "w" in str(arguments[1]):
        _kill(setting)


def _note_passes(file: Path, setting: Setting) -> None:
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    n = 0

    def note(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal n
        attention = getattr(module, "self_attn", None)
        if attention is None or attention.layer_idx + 1 < attention.config.num_hidden_layers:
            return
        n += 1
        if setting.number is not None and n == setting.at_pass:
            _kill(setting)
        if n == setting.out_of_memory_at:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        if inputs and inputs[0].device.type == "cpu":
            digest = hashlib.sha256(inputs[0].detach().contiguous().numpy().tobytes()).hexdigest()
            with file.open("a") as out:
                out.write(f"{digest[:16]}\n")

    register_module_forward_pre_hook(note)


SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["emoexp.cli.main", "emoexp.cli.run", "emoexp.models.subject"])


@dataclass
class Place:
    """A home with a store and a run directory, in which one command is run again and again."""

    home: Path
    command: tuple[str, ...]
    store: Path = field(default=None)  # type: ignore[assignment]
    starts: int = 0
    seen: dict[Path, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.store = self.store or self.home / "store"
        self.run = self.home / "run"

    def start(self, setting: Setting = Setting()) -> ForkServerProcess:
        places = (f"artifacts={self.store}", f"hydra.run.dir={self.run}")
        arguments = (*self.command, *places)
        process = SERVER.Process(target=_run, args=(arguments, self.home, setting))
        process.start()
        self.starts += 1
        return process

    def finish(self, setting: Setting = Setting()) -> int:
        """Runs the command to its end; returns the exit status."""
        process = self.start(setting)
        process.join(WAIT_S)
        assert process.exitcode is not None, f"it hangs: {self.said()[-2000:]}"
        return process.exitcode

    def said(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def one_line(self, *words: str) -> str:
        """The last line that was printed: ours, with the words, and no traceback above it."""
        said = self.said()
        assert "Traceback" not in said, said[-3000:]
        line = said.strip().splitlines()[-1]
        assert line.startswith("emoexp: "), said[-2000:]
        assert all(word.lower() in line.lower() for word in words), line
        return line

    def passes(self) -> Counter[str]:
        path = self.home / "passes"
        return Counter(path.read_text().split() if path.exists() else ())

    def n_passes(self) -> int:
        path = self.home / "passes"
        return path.stat().st_size // 17 if path.exists() else 0

    def rows(self) -> dict[str, Any]:
        """Every stored row and text, by its path in the store. Of a safetensors file the tensors:
        the order of its metadata is another each time."""
        found: dict[str, Any] = {}
        for path in self.store.rglob("*"):
            name = str(path.relative_to(self.store))
            if path.suffix == ".json":
                found[name] = path.read_bytes()
            elif path.suffix == ".safetensors":
                tensors = read_tensors(path)[0]
                found[name] = {k: (v.dtype, v.shape, v.tobytes()) for k, v in tensors.items()}
        return found

    def look(self) -> None:
        """Notes inode and time of every row: one that is written twice gets a second version."""
        for path in self.store.rglob("*.safetensors"):
            stat = path.stat()
            self.seen[path].add((stat.st_ino, stat.st_mtime_ns))

    def written_twice(self) -> list[Path]:
        self.look()
        return [path for path, versions in self.seen.items() if len(versions) > 1]

    def numbers(self) -> dict[str, Any]:
        """What the run has found: the record without times and places, and every table."""
        text = (self.run / RESULT).read_text()
        record = json.loads(re.sub(r"http://[^/ ]+", "", text.replace(str(self.home), "HOME")))
        tables = {p.name: p.read_bytes() for p in self.run.glob("*.csv")}
        return {key: record[key] for key in COMPARED} | tables

    def left_over(self) -> list[str]:
        """Files half-written, and locks that are held."""
        files = [p for root in (self.store, self.run) for p in root.rglob("*") if p.is_file()]
        wrong = [f"half-written: {p}" for p in files if p.suffix == ".tmp"]
        for path in (p for p in files if p.name.endswith(".lock")):
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
                lock.release()
            except TimeoutError:
                wrong.append(f"locked: {path}")
        return wrong


def same(found: Place, quiet: Place) -> None:
    """Asserts the same numbers and the same store, to the bit, with nothing left over."""
    ours, theirs = found.numbers(), quiet.numbers()
    assert [k for k in theirs if ours.get(k) != theirs[k]] == []
    assert ours.keys() == theirs.keys()
    stored, wanted = found.rows(), quiet.rows()
    assert stored.keys() == wanted.keys()
    assert [k for k in wanted if stored[k] != wanted[k]] == []
    assert found.left_over() == []


def until(true: Callable[[], bool], process: ForkServerProcess) -> bool:
    """Waits until `true`; False if the process ends before."""
    end = time.monotonic() + WAIT_S
    while not true():
        if process.exitcode is not None:
            return False
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.005)
    return True


def hurt(process: ForkServerProcess, number: signal.Signals) -> bool:
    """Sends a signal to a process and waits for its end; False if it had ended before."""
    alive = process.exitcode is None
    if alive and process.pid is not None:
        os.kill(process.pid, number)
    process.join(WAIT_S)
    return alive


def kill_at_random(place: Place, passes: int, n: int, rng: random.Random) -> Counter[str]:
    """Runs the command `n` times, and ends it at a random moment: within its first `passes`, and
    three times while its tables are written. Returns how often it was ended, by signal."""
    landed: Counter[str] = Counter()
    signals = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    for k in range(n):
        number, late = rng.choice(signals), k >= n - 3
        at_pass = None if late else rng.randint(1, passes)
        delay = rng.uniform(0, 0.02 if late else 0.1)
        status = place.finish(Setting(number=number, at_pass=at_pass, delay=delay))
        landed[number.name] += status != 0
        place.look()
    return landed
