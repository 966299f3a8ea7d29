"""`python -m emoexp.cli.status DIR...`: the jobs of running and finished sweeps by state, how long
is left, and why a job failed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoexp.console import open_console, print_table
from emoexp.errors import EmoexpError, OneLineParser, one_line_errors
from emoexp.store import runs
from emoexp.store.record import RunRecord
from emoexp.store.runs import Run, RunState

COLOURS = {
    RunState.success: "green",
    RunState.error: "red",
    RunState.killed: "red",
    RunState.running: "cyan",
    RunState.missing: "yellow",
}


def jobs_of(directory: Path) -> list[Run]:
    """Returns the runs below a directory, and those that its sweep expects and that have not
    started. One that cannot be read is left out, which is said.

    Raises:
        EmoexpError: there is neither a run nor a sweep, or no run that can be read.
    """
    found = {run.directory: run for run in runs.runs_below([directory])}
    found |= {p: runs.state_of(p) for p in runs.expected_places(directory) if p not in found}
    if not found:
        raise EmoexpError(f"no run and no sweep below {directory}: give the directory of one")
    readable = [found[place] for place in sorted(found) if not found[place].why]
    for why in (run.why for run in found.values() if run.why):
        runs.left_out(why)
    if not readable:
        raise EmoexpError(f"no run below {directory} can be read")
    return readable


def seconds(record: RunRecord) -> float:
    """Returns how long a run took; one that has not ended, none."""
    times = (record.ended or record.started, record.started)
    ended, started = map(datetime.fromisoformat, times)
    return (ended - started).total_seconds()


def time_left(jobs: Sequence[Run]) -> timedelta | None:
    """Unfinished jobs at the pace of the finished ones, over as many as run now; None while there
    is no pace to go by."""
    done = [seconds(run.record) for run in jobs if run.record and run.state is RunState.success]
    left = sum(run.state in (RunState.running, RunState.missing) for run in jobs)
    if not done or not left:
        return None
    at_once = max(1, sum(run.state is RunState.running for run in jobs))
    return timedelta(seconds=round(sum(done) / len(done) * left / at_once))


def row_of(run: Run, below: Path) -> tuple[str, str, str, str]:
    """Returns the job (its path below a directory), its state, where it ran and its last error."""
    where = run.record.where if run.record else {}
    slurm = where.get("slurm", {})
    job = slurm.get("slurm_job_id") or slurm.get("job_id")
    place = str(where.get("host", "?"))
    place += f", SLURM {job}" if job else f", pid {where.get('pid', '?')}"
    silent = "died without a message: killed, out of memory, or the node failed"
    error = (run.record.error if run.record else None) or silent
    path = str(run.directory.relative_to(below))
    name = run.directory.name if path == "." else path
    return name, run.state.value, place, error.splitlines()[-1]


def show(directory: Path, console: Console) -> bool:
    """Prints one directory's jobs; whether all are done."""
    jobs = jobs_of(directory)
    counts = Counter(run.state for run in jobs)
    states = ", ".join(f"[{COLOURS[s]}]{counts[s]} {s.value}[/]" for s in RunState if counts[s])
    left = f"; about {eta} left" if (eta := time_left(jobs)) else ""
    line = f"{escape(str(directory))}: {len(jobs)} job(s): {states}{left}"
    console.print(line, soft_wrap=True)
    wrong = [run for run in jobs if run.state in (RunState.error, RunState.killed)]
    if wrong:
        table = Table("job", "state", "where", "last error")
        for run in wrong:
            table.add_row(*map(escape, row_of(run, directory)))
        print_table(console, table)
    return counts[RunState.success] == len(jobs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit status 0 if every job is done, 1 if not, 2 for a mistake of the user's."""
    parser = OneLineParser(
        prog="python -m emoexp.cli.status",
        description="The jobs of sweeps by state, how long is left, and why a job failed.",
    )
    text = "a run, a sweep, or a folder of them"
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help=text)
    with one_line_errors():
        directories = parser.parse_args(arguments).directories
        console = open_console()
        done = [show(directory, console) for directory in directories]
        sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
