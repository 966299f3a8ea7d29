"""Expected against found: what is planted in the bundled models, and whether the experiments find
it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from emoexp.report.blocks import Block, Cell, Heading, TableBlock, Text, in_order, marked
from emoexp.report.groups import Part
from emoexp.stats.criteria import CRITERIA

PLANTED: dict[str, frozenset[str]] = {
    "bundled:organism": frozenset(CRITERIA),
    "bundled:organism_indifferent": frozenset({"V1", "V2", "V3", "V4", "V5", "V6"}),
    "bundled:organism_untrained": frozenset(),
}
"""The criteria that should hold (emoexp/data/models/*/README.md); of the others none should pass
and be informative."""
PACK, SPAN = "organism", "steered_activity"
"""What the expectations are stated for: the bundled models know no other texts, and a wrong span is
meant to fail."""
RULE = (
    "Of the bundled models it is known what they should show. Holds: it is planted, and should pass"
    " and be informative; one that passes, not above its null, cannot tell. Nothing: it is not"
    " planted, and should not both pass and be informative. Judged at two thirds of the depth, or"
    " where that was not run, at the best layer."
)


class Outcome(NamedTuple):
    """What was expected, and whether it was found.

    `kind` is good (as planted), weak (cannot tell) or bad.
    """

    expected: str
    kind: str


def outcome(holds: bool, verdict: dict[str, Any]) -> Outcome:
    """Returns what was expected of a criterion, and whether it was found."""
    both = verdict["passed"] and verdict["informative"]
    if not holds:
        return Outcome("nothing", "bad" if both else "good")
    return Outcome("holds", "good" if both else "weak" if verdict["passed"] else "bad")


def planted(part: Part) -> frozenset[str] | None:
    """Returns the criteria that should hold in this part; None where nothing is known."""
    models = [run["provenance"].get("model") or {} for run in part.runs]
    repos = {str(model["repo_id"]) for model in models if "repo_id" in model}
    packs = {run["stimuli"]["name"] for run in part.runs if run["stimuli"] is not None}
    if len(repos) != 1 or packs != {PACK} or {run["span"] for run in part.runs} != {SPAN}:
        return None
    return PLANTED.get(repos.pop())


def judged_layer(part: Part) -> int:
    """Returns the layer at two thirds of the depth or, where that was not run, the best one."""
    if part.two_thirds is not None and part.two_thirds in part.layers:
        return part.two_thirds
    return part.best


def outcomes(part: Part, holding: frozenset[str]) -> dict[str, Outcome]:
    """Returns the outcome of each criterion at the layer that is judged."""
    verdicts = part.at(judged_layer(part)).items()
    return {name: outcome(name in holding, verdict) for name, verdict in verdicts}


def summary(part: Part) -> Text | None:
    """Returns one line, how much of what is planted was found; None where nothing is known
    beforehand."""
    if (holding := planted(part)) is None:
        return None
    by_criterion = outcomes(part, holding)
    kinds = [result.kind for result in by_criterion.values()]
    wrong = in_order(name for name, result in by_criterion.items() if result.kind == "bad")
    found = f"{kinds.count('good')} of {len(kinds)} as planted, {kinds.count('weak')} cannot tell"
    named = f" ({', '.join(wrong)})" if wrong else ""
    text = f"{part.label}, layer {judged_layer(part)}: {found}, {len(wrong)} not as planted{named}."
    return Text(text, "bad" if wrong else "good")


def expected_blocks(parts: Sequence[Part]) -> list[Block]:
    """Returns the section; nothing where no model is one of the bundled, with its own pack and the
    paper's span."""
    known = [(part, holding) for part in parts if (holding := planted(part)) is not None]
    if not known:
        return []
    judged = [(part.at(judged_layer(part)), outcomes(part, holding)) for part, holding in known]
    rows = []
    for identifier in in_order(v for at, _ in judged for v in at):
        cells = [Cell(f"{identifier} {CRITERIA[identifier].name}")]
        for at, by_criterion in judged:
            if result := by_criterion.get(identifier):
                value = marked(at[identifier]).text
                cells += [Cell(result.expected), Cell(value, result.kind)]
            else:
                cells += [Cell("-"), Cell("-")]
        rows.append(tuple(cells))
    columns = ["criterion"]
    for part, _ in known:
        columns += [f"{part.label}: expected", f"found at layer {judged_layer(part)}"]
    lines = [line for part, _ in known if (line := summary(part))]
    return [Heading("Expected against found"), Text(RULE), TableBlock(tuple(columns), rows), *lines]
