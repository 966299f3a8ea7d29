"""The jobs of a report: which were to run, and which failed, were killed or are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoexp.report.groups import SUCCESS, UNREADABLE, Run
from emoexp.store import runs as runs_on_disk
from emoexp.store.runs import RunState

SILENT, MISSING = "no result", "never started"
NAMES = {
    RunState.error.value: "failed",
    RunState.killed.value: "killed",
    RunState.running.value: "running",
    UNREADABLE: "result unreadable",
}
ORDER = (*NAMES.values(), SILENT, MISSING)


@dataclass(frozen=True)
class Trouble:
    """A job without a finished result, and the last line of its error."""

    state: str
    job: str
    why: str
    path: str


@dataclass(frozen=True)
class Jobs:
    """How many runs there should be and how many there are.

    Attributes:
        expected: runs that there should be: those of the sweeps, and each that belongs to none.
        finished: runs that have finished.
        troubles: the others.
    """

    expected: int
    finished: int
    troubles: list[Trouble]

    def summary(self) -> str:
        """Returns how many runs finished, and what became of the others."""
        counts = Counter(trouble.state for trouble in self.troubles)
        return f"{self.finished} of {self.expected} runs finished" + "".join(
            f", {counts[state]} {state}" for state in ORDER if counts[state]
        )


def last_line(text: str) -> str:
    """Returns the last line that is not empty, cut to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _trouble(run: Run, runs: Sequence[Run]) -> Trouble:
    """Returns what became of a run that did not finish, and where it was run again."""
    state, path = NAMES[run["state"]], run["path"]
    if run["state"] == UNREADABLE:
        return Trouble(state, Path(path).name, last_line(run["error"]), path)
    why = last_line(run.get("error") or "")
    if not why:
        where = run.get("where", {})
        place = "".join(f", {name} {where[name]}" for name in ("host", "pid") if where.get(name))
        why = f"started {run.get('started') or run['provenance']['time']}{place}"
    if identity := run.get("identity"):
        finished = [other for other in runs if other["state"] == SUCCESS]
        again = [other["path"] for other in finished if other.get("identity") == identity]
        if again:
            why += f" (finished in {again[-1]})"
    layer = run["layer"] if run["layer"] is not None else "not resolved"
    return Trouble(state, f"{run['experiment']}, {run['model']}, layer {layer}", why, path)


def look(directories: Sequence[Path], runs: Sequence[Run]) -> Jobs:
    """Compares the runs with those that there should be: those of the sweeps below the directories,
    and each that belongs to no sweep."""
    troubles = [_trouble(run, runs) for run in runs if run["state"] != SUCCESS]
    sweeps = {
        path.parent.resolve()
        for directory in directories
        for path in directory.glob(f"**/{runs_on_disk.SWEEP}")
    }
    folders = {Path(run["path"]).resolve() for run in runs}
    absent = {
        place: sweep
        for sweep in sorted(sweeps)
        for place in runs_on_disk.expected_places(sweep)
        if place not in folders
    }
    for place, sweep in absent.items():
        job = str(place.relative_to(sweep))
        if place.exists():
            why = "it ended before it wrote a result.json"
            troubles.append(Trouble(SILENT, job, why, str(place)))
        else:
            troubles.append(Trouble(MISSING, job, "there is no folder of it", str(place)))
    troubles.sort(key=lambda trouble: (ORDER.index(trouble.state), trouble.path))
    return Jobs(len(runs) + len(absent), sum(run["state"] == SUCCESS for run in runs), troubles)
