"""Which jobs were to run and which did: failed, killed, missing."""

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
    """Attributes:
    expected: how many runs there should be: those of the sweeps, and each that belongs to none.
    finished: how many there are.
    """

    expected: int
    finished: int
    troubles: list[Trouble]

    def summary(self) -> str:
        counts = Counter(trouble.state for trouble in self.troubles)
        return f"{self.finished} of {self.expected} runs finished" + "".join(
            f", {counts[state]} {state}" for state in ORDER if counts[state]
        )


def last_line(text: str) -> str:
    """The last line that says something, cut to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _trouble(run: Run, runs: Sequence[Run]) -> Trouble:
    if run["state"] == UNREADABLE:
        return Trouble(
            NAMES[UNREADABLE], Path(run["path"]).name, last_line(run["error"]), run["path"]
        )
    where = run.get("where", {})
    place = "".join(f", {name} {where[name]}" for name in ("host", "pid") if where.get(name))
    why = (
        last_line(run.get("error") or "")
        or f"started {run.get('started') or run['provenance']['time']}{place}"
    )
    again = [
        other["path"]
        for other in runs
        if other["state"] == SUCCESS
        and run.get("identity")
        and other.get("identity") == run["identity"]
    ]
    layer = run["layer"] if run["layer"] is not None else "not resolved"
    job = f"{run['experiment']}, {run['model']}, layer {layer}"
    return Trouble(
        NAMES[run["state"]],
        job,
        why + (f" (finished in {again[-1]})" if again else ""),
        run["path"],
    )


def look(directories: Sequence[Path], runs: Sequence[Run]) -> Jobs:
    """Expected against found, over the sweeps below the directories and the single runs."""
    troubles = [_trouble(run, runs) for run in runs if run["state"] != SUCCESS]
    sweeps = {
        path.parent.resolve()
        for directory in directories
        for path in directory.glob(f"**/{runs_on_disk.SWEEP}")
    }
    found = {Path(run["path"]).resolve() for run in runs}
    absent = {
        place: sweep
        for sweep in sorted(sweeps)
        for place in runs_on_disk.expected_places(sweep)
        if place not in found
    }
    for place, sweep in absent.items():
        state, why = (
            (SILENT, "it ended before it wrote a result.json")
            if place.exists()
            else (MISSING, "there is no folder of it")
        )
        troubles.append(Trouble(state, str(place.relative_to(sweep)), why, str(place)))
    troubles.sort(key=lambda trouble: (ORDER.index(trouble.state), trouble.path))
    return Jobs(len(runs) + len(absent), sum(run["state"] == SUCCESS for run in runs), troubles)
