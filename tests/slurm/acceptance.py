"""Issue 4's acceptance on a real SLURM: the same numbers from a quiet sweep and from one that
everything goes wrong in.

    python tests/slurm/acceptance.py [overrides]
    make acceptance-slurm SWEEP="experiment=verify scale=smoke"

Six layers of two organisms, each a job, with a driver that is a job too (slurm/sweep.sbatch): once
undisturbed, and once, on an empty store, with a driver that is killed, a job that raises, one whose
process gets SIGKILL, one whose step is killed whole, one that is pre-empted (USR2) and one that is
requeued; then the node's daemon is killed under a job and started again. Then the same command once
more. Nothing is injected into the code: the job that raises finds a folder where it wants to write
its vectors.

"Once" is counted on the disk, every quarter of a second: each row of the store and each finished
result.json must have been seen with one inode and one time of writing only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from slurm_cluster import Cluster
from sweeping import REPOSITORY, SMALL, ended, pre_empt, records, until, versions

from emoexp.cli.sweep import expected_jobs
from emoexp.store import runs
from emoexp.store.record import RESULT, RunRecord
from emoexp.store.runs import RunState

DEFAULT = (*SMALL, "scale.stories_per_emotion=2")
"""V3 and V4 from twelve emotions: a job is some seconds of CPU."""
JOBS = ("model=organism,organism_indifferent", "layer=range(2,8)", "launcher=slurm")
N = 12
COMPARED = ("verdicts", "metrics", "notes", "layer", "model", "identity", "code")


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


class Sweep:
    """One sweep's directory, store and drivers."""

    def __init__(self, cluster: Cluster, folder: Path, overrides: list[str]) -> None:
        self.cluster, self.folder, self.overrides = cluster, folder, overrides
        self.directory, self.store = folder / "sweep", folder / "store"
        self.seen: dict[Path, set[tuple[int, int]]] = defaultdict(set)
        self.store.mkdir(parents=True)
        mine = {
            "EMOEXP_HOME": str(REPOSITORY),
            "EMOEXP_SWEEP": "sweep",
            "EMOEXP_ARTIFACTS": str(self.store),
            "OMP_NUM_THREADS": "1",
        }
        venv = sys.prefix if sys.prefix != sys.base_prefix else ""
        here = {
            "EMOEXP_ENV": str(REPOSITORY / "slurm" / "env.sh"),
            "EMOEXP_VENV": venv,
            "PYTHONPATH": str(REPOSITORY),
            "HF_HUB_OFFLINE": "1",
        }
        self.environment = os.environ | cluster.environment | mine | here
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while True:
            for path, version in versions(self.store).items():
                self.seen[path].add(version)
            for path in self.directory.glob("*/result.json"):
                with path.open() as handle:
                    stat = os.fstat(handle.fileno())
                    if json.load(handle)["status"] == "success":
                        self.seen[path].add((stat.st_ino, stat.st_mtime_ns))
            time.sleep(0.25)

    def drive(self) -> str:
        """Submits the driver; its job id."""
        command = (
            "sbatch",
            "--parsable",
            str(REPOSITORY / "slurm" / "sweep.sbatch"),
            *self.overrides,
        )
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def states(self) -> Counter[str]:
        found = Counter(
            runs.state_of(path.parent).state.value for path in self.directory.glob("*/result.json")
        )
        return found + Counter({RunState.missing.value: N - found.total()})

    def job(self, *unwanted: str) -> tuple[Path, dict[str, Any]]:
        """A job that has started and not ended, other than those named: its directory and where it
        runs."""
        end = time.monotonic() + 900
        while time.monotonic() < end:
            for path in sorted(self.directory.glob("*/result.json")):
                if (
                    path.parent.name in unwanted
                    or runs.state_of(path.parent).state is not RunState.running
                ):
                    continue
                where = record_of(path.parent).where
                if (
                    self.cluster.ask(
                        "squeue", "-h", "-o", "%T", "-j", where["slurm"]["job_id"]
                    ).strip()
                    == "RUNNING"
                ):
                    return path.parent, where
            time.sleep(0.2)
        raise SystemExit("no job runs that could be disturbed")

    def module(self, name: str) -> str:
        return subprocess.run(
            (sys.executable, "-m", name, "sweep"),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        ).stdout

    def waited(self, driver: str) -> str:
        (state,) = ended(self.cluster, driver, 1, 3000)
        return state


def disturb(sweep: Sweep) -> None:
    """Every accident, each on a job of its own."""
    names = [f"{sweep.directory}/{name}" for name in expected(sweep)]
    victim = Path(names[1])
    (victim / "vectors.safetensors").mkdir(parents=True)
    driver = sweep.drive()
    hit, where = sweep.job(victim.name)
    sweep.cluster.ask("scancel", "--signal=KILL", "--full", driver)
    say(f"driver {driver} killed")
    os.kill(where["pid"], signal.SIGKILL)
    say(f"SIGKILL to the process of {short(hit)}")
    touched = [victim.name, hit.name]
    accidents: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("step killed", lambda job: sweep.cluster.ask("scancel", "--signal=KILL", "--full", job)),
        ("USR2, as at a pre-emption,", lambda job: pre_empt(sweep.cluster, job)),
        ("scontrol requeue", lambda job: sweep.cluster.ask("scontrol", "requeue", job)),
    )
    for text, accident in accidents:
        hit, where = sweep.job(*touched)
        touched.append(hit.name)
        accident(where["slurm"]["job_id"])
        say(f"{text} of {short(hit)}")
    until(
        lambda: (
            sum(record["where"]["restarts"] for record in records(sweep.directory).values()) >= 2
        ),
        900,
    )
    until(lambda: runs.state_of(victim).state is RunState.error, 900)
    say(
        f"both requeued jobs run again; {short(victim)} raised:"
        f" {(record_of(victim).error or '')[:60]}"
    )
    hit, where = sweep.job()
    sweep.cluster.restart_node()
    say(f"node daemon killed and started again under {short(hit)}")
    (victim / "vectors.safetensors").rmdir()


def record_of(directory: Path) -> RunRecord:
    """The record of a run that has started."""
    record = RunRecord.load(directory)
    assert record is not None
    return record


def expected(sweep: Sweep) -> list[str]:
    """Names of the jobs' directories, as a composed sweep has them."""
    return expected_jobs([o for o in sweep.overrides if not o.startswith("hydra.")])


def short(directory: Path) -> str:
    return ", ".join(re.findall(r"(?:model|layer)-[a-z0-9]+", directory.name))


def judge(quiet: Sweep, other: Sweep) -> list[str]:
    """What is not as it should be."""
    faults = []
    one, two = records(quiet.directory), records(other.directory)
    if set(one) != set(two) or len(one) != N:
        faults.append(f"{len(one)} and {len(two)} results, not {N} each")
    for name in sorted(set(one) & set(two)):
        faults += [f"{name}: {key} differs" for key in COMPARED if one[name][key] != two[name][key]]
    for sweep in (quiet, other):
        twice = [path for path, found in sweep.seen.items() if len(found) != 1]
        results = [path for path in sweep.seen if path.name == RESULT]
        say(
            f"{sweep.folder.name}: {len(results)} results and {len(sweep.seen) - len(results)} rows"
            f" of the store, {len(twice)} of them written more than once"
        )
        faults += [f"written {len(sweep.seen[path])} times: {path}" for path in twice]
        if set(sweep.states()) != {"success"}:
            faults.append(f"{sweep.folder.name} ends with {dict(sweep.states())}")
        told = sweep.module("emoexp.report")
        faults += [
            f"the report of {sweep.folder.name} has no {name}"
            for name in ("organism_indifferent", "report.html")
            if name not in told
        ]
    lines = [
        len((sweep.directory / "report.csv").read_text().splitlines()) - 1
        for sweep in (quiet, other)
    ]
    if lines[0] != lines[1]:
        faults.append(f"report.csv has {lines[0]} verdicts and {lines[1]}")
    stores = [
        {path.relative_to(sweep.store) for path in versions(sweep.store)}
        for sweep in (quiet, other)
    ]
    if stores[0] != stores[1]:
        faults.append("the stores hold different rows")
    say(f"report.csv: {lines[0]} verdicts and {lines[1]}")
    return faults


def main() -> int:
    overrides = [*(sys.argv[1:] or DEFAULT), *JOBS]
    for number in (signal.SIGTERM, signal.SIGINT):  # the cluster is taken down in any case
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    root = Path(tempfile.mkdtemp(prefix="emoexp-accept-", dir="/tmp"))
    cluster = Cluster(root / "cluster")
    started = time.monotonic()
    try:
        cluster.up()
        say(f"cluster up after {time.monotonic() - started:.0f} s; {' '.join(overrides)}")
        quiet, other = (
            Sweep(cluster, root / "quiet", overrides),
            Sweep(cluster, root / "disturbed", overrides),
        )
        begin = time.monotonic()
        state = quiet.waited(quiet.drive())
        say(
            f"quiet sweep: driver {state}, {dict(quiet.states())}, {time.monotonic() - begin:.0f} s"
        )
        begin = time.monotonic()
        disturb(other)
        done = {path.parent.name for path in other.seen if path.name == RESULT}
        say(
            f"disturbed sweep: {dict(other.states())}, {time.monotonic() - begin:.0f} s; now the"
            " same command once more"
        )
        sys.stdout.write(other.module("emoexp.cli.status"))
        begin = time.monotonic()
        state = other.waited(other.drive())
        kept = sum(
            log.read_text().count("done already")
            for log in other.directory.glob(".submitit/*/*_log.err")
        )
        say(
            f"rerun: driver {state}, {dict(other.states())}, {time.monotonic() - begin:.0f} s;"
            f" {len(done)} were done before it, {kept} said so and stayed"
        )
        time.sleep(1)
        faults = judge(quiet, other)
    finally:
        shutil.copytree(cluster.root / "log", root / "log", dirs_exist_ok=True)
        cluster.down()
    for fault in faults:
        say(f"FAULT {fault}")
    say(
        f"{'same numbers, each computed once' if not faults else f'{len(faults)} faults'}: {root},"
        f" {time.monotonic() - started:.0f} s"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
