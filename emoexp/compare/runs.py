"""The runs of a comparison: found below the directories that a user gives, and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoexp.errors import EmoexpError
from emoexp.geometry.cosines import FILE, Cosines, load_cosines
from emoexp.store.record import RESULT, RunRecord
from emoexp.store.runs import left_out, runs_below

WRITES = "run python -m emoexp experiment=geometry with this model first, which writes it"


@dataclass(frozen=True)
class Space:
    """The geometry that a run has saved.

    Attributes:
        facts: what its vectors depend on, for people, by name.
    """

    directory: Path
    cosines: Cosines
    facts: dict[str, str]

    def same_as(self, other: Space) -> bool:
        """Tells whether both are one measurement, which a run at several layers saves with each."""
        mine, theirs = self.cosines, other.cosines
        return (
            (mine.names, mine.layers, mine.model) == (theirs.names, theirs.layers, theirs.model)
            and self.facts == other.facts
            and np.array_equal(mine.matrices, theirs.matrices)
        )


def load_spaces(directories: Sequence[Path]) -> list[Space]:
    """Reads the cosines of every run below the directories, each measurement once. A file that
    cannot be read is left out, which is said.

    Raises:
        EmoexpError: a directory has none, or fewer than two runs are left.
    """
    spaces: list[Space] = []
    broken: list[str] = []
    for file in (file for directory in directories for file in _files(directory)):
        try:
            space = _load(file)
        except EmoexpError as error:
            broken.append(str(error))
            continue
        if not any(space.same_as(other) for other in spaces):
            spaces.append(space)
    if len(spaces) < 2:
        count = "one geometry and no other to compare it with" if spaces else "no geometry"
        why = f" (left out: {'; '.join(broken)})" if broken else ""
        raise EmoexpError(
            f"{', '.join(map(str, directories))}: {count}{why}; give runs of another model, corpus"
            " or pack"
        )
    for why in broken:
        left_out(why)
    return spaces


def _files(directory: Path) -> list[Path]:
    """Returns the files of cosines in or below a directory.

    Raises:
        EmoexpError: there is no such directory, no run, or no run with cosines.
    """
    if not directory.is_dir():
        raise EmoexpError(f"{directory} is not a directory: give that of a run or a sweep")
    if files := sorted(directory.glob(f"**/{FILE}")):
        return files
    found = runs_below([directory])
    if not found:
        raise EmoexpError(f"no {RESULT} below {directory}: give the directory of a run or a sweep")
    experiments = {run.record.experiment for run in found if run.record}
    of = f"it is of experiment={', '.join(sorted(experiments))}" if experiments else found[0].why
    raise EmoexpError(f"{directory} has no {FILE} ({of}): {WRITES}")


def _load(file: Path) -> Space:
    """Reads one run: its cosines, and from its record what they depend on."""
    cosines, record = load_cosines(file), RunRecord.load(file.parent)
    identity = cosines.identity.get("model") or {}
    corpus = str(cosines.identity.get("corpus"))[:8]
    stories = cosines.identity.get("stories")
    facts = {
        "pack": "" if record is None or not record.stimuli else str(record.stimuli["name"]),
        "stories": f"{record.corpus['name']} {corpus}" if record and record.corpus else corpus,
        "per emotion": "all" if stories is None else str(stories),
        **{key: str(identity.get(key)) for key in ("dtype", "quantization", "revision")},
        "weights": str(identity.get("files") or identity.get("repo_id"))[:8],
    }
    return Space(file.parent, cosines, facts)


def labels(spaces: Sequence[Space]) -> list[str]:
    """Returns a label for each run: its model, and where several have one model, what differs."""
    found = []
    for space in spaces:
        alike = [other for other in spaces if other.cosines.model == space.cosines.model]
        apart = [
            f"{name} {value}"
            for name, value in space.facts.items()
            if any(other.facts[name] != value for other in alike)
        ]
        found.append(", ".join([space.cosines.model, *apart]))
    return [
        label if found.count(label) == 1 else f"{label} ({space.directory})"
        for label, space in zip(found, spaces, strict=True)
    ]


def remarks(first: Space, second: Space) -> list[str]:
    """Says what beside the emotions makes two runs alike or different."""
    found = []
    corpora = {str(space.cosines.identity.get("corpus")) for space in (first, second)}
    if len(corpora) == 1:
        found.append(
            "both read the same stories, so rho has a share of what these texts have in common,"
            " which permuted names do not show: compare runs with other stories too"
        )
    else:
        found.append("the stories differ, so rho shows models and stories together")
    lacking = set(first.cosines.names) ^ set(second.cosines.names)
    if lacking:
        few = f"{len(lacking)} emotion(s) that only one of them has are left out"
        found.append(f"{few}; the vectors are centred over all that a run has")
    return found
