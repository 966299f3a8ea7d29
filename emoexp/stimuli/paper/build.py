"""Builds the pack `paper` on the user's machine and proves it, list by list.

Its sources are the paper's public page and JSON files. The project has none of the paper's
sentences, only their hashes. What a page does not have as text comes from numbers in emoexp (the
steered half, signs of trends, line breaks of prompts), and the pack's provenance says so.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoexp.errors import require
from emoexp.stimuli.paper import published
from emoexp.stimuli.paper.proof import (
    LABELS,
    NUMERIC,
    OPEN,
    OPENINGS,
    OTHER,
    PAPER,
    SCENARIO,
    SELF,
    TEMPLATES,
    ListFingerprint,
    PromptFingerprint,
    judge,
    list_fingerprints,
    normalise_item,
    optional_fingerprints,
    prompt_fingerprints,
)
from emoexp.stimuli.paper.sources import ListSource, get_content

URL = "https://transformer-circuits.pub/2026/emotions/index.html"
PAIRS = (
    ("happy", "sad"),
    ("calm", "desperate"),
    ("loving", "hostile"),
    ("proud", "ashamed"),
    ("hopeful", "gloomy"),
)
EXEMPLARS = ("blissful", "hostile")
OURS, CHOICE = "emoexp's numbers", "emoexp's choice"
"""Sources, in the provenance, of what the paper does not have as text."""


@dataclass(frozen=True)
class Proven:
    """The proven lists and prompts, by name, and the name of each one's source."""

    lists: dict[str, tuple[str, ...]]
    prompts: dict[str, str]
    sources: dict[str, str]

    def whole(self, names: Sequence[str]) -> bool:
        """Checks that all of a group of optional prompts were found."""
        return set(names) <= set(self.prompts)


def gather(sources: Sequence[ListSource], *, numeric: bool) -> Proven:
    """Looks for every list and prompt; takes each from the first source that proves it.

    Args:
        numeric: whether to look for the numeric templates.

    Raises:
        EmoexpError: a list that no source proves, with how many items were found and how many are
            wanted; all such lists at once.
    """
    proven = Proven({}, {}, {})
    faults = []
    for name, fingerprint in list_fingerprints().items():
        if name == NUMERIC and not numeric:
            continue
        fault = _find_list(name, fingerprint, sources, proven)
        # The scenarios' titles are for people; no measurement reads them.
        if fault and name != LABELS:
            faults.append(fault)
    optional = optional_fingerprints()
    for name, prompt in (prompt_fingerprints() | optional).items():
        if not _find_prompt(name, prompt, sources, proven) and name not in optional:
            faults.append(f"{name}: 0 items found, 1 wanted")
    require(
        not faults,
        f"nothing is imported, for not all lists are proven verbatim: {'; '.join(faults)}",
    )
    return proven


def _find_list(
    name: str, fingerprint: ListFingerprint, sources: Sequence[ListSource], proven: Proven
) -> str | None:
    """Adds a list to `proven` from the first source that proves it; returns a fault if none does.

    The fault counts the items of the longest candidate.
    """
    # All sources are read first: a later one that is malformed raises in any case.
    candidates = [(source.name, items) for source in sources for items in source.candidates(name)]
    for origin, candidate in candidates:
        if items := fingerprint.search(candidate):
            proven.lists[name] = items
            proven.sources[name] = origin
            return None
    most = max((len(candidate) for _, candidate in candidates), default=0)
    differ = ", and their text is not the paper's" if most >= fingerprint.n else ""
    image = " (the page has them in an image only: give --numeric FILE, or --without-numeric)"
    missing = image if name == NUMERIC and not most else ""
    return f"{name}: {most} items found, {fingerprint.n} wanted{differ}{missing}"


def _find_prompt(
    name: str, fingerprint: PromptFingerprint, sources: Sequence[ListSource], proven: Proven
) -> bool:
    """Adds a prompt to `proven` from the first source that proves it; returns whether one does."""
    for source in sources:
        if text := fingerprint.search(source.words(name)):
            proven.prompts[name] = text
            proven.sources[name] = source.name
            return True
    return False


def read_split(path: Path, activities: Sequence[str]) -> tuple[int, ...]:
    """Reads the indices of the steered half from a file with the layout of steered_split_32.json.

    Raises:
        EmoexpError: it names an activity that is not the paper's, or not half of them.
    """
    wanted = get_content(
        path, lambda content: [f"{a['category']}\t{a['activity']}" for a in content["activities"]]
    )
    index = {item: i for i, item in enumerate(activities)}
    steered = sorted({index[key] for item in wanted if (key := normalise_item(item)) in index})
    require(
        len(steered) == len(wanted) and 2 * len(steered) == len(activities),
        f"{path}: {len(steered)} of the {len(wanted)} activities are the paper's; must be"
        f" {len(activities) // 2} different ones of it",
    )
    return tuple(steered)


def provenance(proven: Proven, split: Path | None, steered: Sequence[int]) -> dict[str, Any]:
    """Returns, for each list and prompt, its source and its hash.

    For what the paper does not have as text, it says how it was made.

    Args:
        split: the user's file of the steered half, if there is one.
        steered: indices of the steered half.
    """
    fingerprints = list_fingerprints() | prompt_fingerprints() | optional_fingerprints()
    record: dict[str, Any] = {
        name: {"from": origin, "sha256": fingerprints[name].sha256, "proven": True}
        for name, origin in proven.sources.items()
    }
    if NUMERIC not in proven.lists:
        note = "imported with --without-numeric: V5 and V6 are not measured"
        record[NUMERIC] = {"from": "absent", "note": note}
    if LABELS not in proven.lists:
        record[LABELS] = {"from": "absent", "note": "not found verbatim"}
    return record | _derived(split, steered) | _optional_parts(proven)


def _derived(split: Path | None, steered: Sequence[int]) -> dict[str, Any]:
    """Returns the provenance of what the paper does not have as text."""
    clusters = "the sign of the paper's cluster (Table 12); none for Competitive Pride, which mixes"
    weak = f"signs of the trends in Figure 3, digitised; weak ones: {', '.join(_weak_trends())}"
    breaks = "of the two generation prompts, and their delimiters, which are in the PDF only"
    return {
        "steered": _steered_half(split, steered),
        "valence": {"from": OURS, "note": clusters},
        "numeric_signs": {"from": OURS, "note": weak},
        "opposite_pairs": {"from": CHOICE, "note": "the paper lists none"},
        "exemplars": {"from": OURS, "note": "the emotions of Figure 4"},
        "line_breaks": {"from": OURS, "note": breaks},
    }


def _steered_half(split: Path | None, steered: Sequence[int]) -> dict[str, Any]:
    """Returns the provenance of the steered half."""
    half, source = published.activities(), OURS
    note = "digitised from Figure 4; three identities are ambiguous between near-equal Elos"
    if split:
        n_other, source = len(set(half.steered) - set(steered)), "a file"
        note = f"{n_other} of 32 differ from emoexp's numbers"
    return {"from": source, "note": note, "ambiguous": [list(pair) for pair in half.ambiguous]}


def _weak_trends() -> list[str]:
    """Returns the published trends whose absolute value is below 0.5, with their values."""
    return [
        f"{key} {probe} {rho:+.2f}"
        for key, trends in published.numeric_trends().items()
        for probe, rho in trends.items()
        if abs(rho) < 0.5
    ]


def _optional_parts(proven: Proven) -> dict[str, Any]:
    """Returns the provenance of the blackmail scenario, and of optional parts that are absent."""
    record: dict[str, Any] = {}
    if proven.whole(SCENARIO):
        tags = "XML tags, lost on the page, restored as in public copies of the scenario;"
        record["blackmail_tags"] = {"from": OURS, "note": f"{tags} and line breaks"}
        own = "rules and question are not the paper's"
        record["blackmail_judge"] = {"from": CHOICE, "note": own}
    for part, names in (("blackmail", SCENARIO), ("self_report", OPENINGS)):
        if not proven.whole(names):
            missing = ", ".join(name for name in names if name not in proven.prompts)
            note = f"{missing} not found verbatim: experiment={part} does not run on this pack"
            record[part] = {"from": "absent", "note": note}
    return record


def build_pack(proven: Proven, packs: Path, split: Path | None) -> Path:
    """Writes the pack into the folder `packs`/paper and returns that folder.

    It replaces an earlier pack, and leaves it where the new one cannot be written in full. The same
    sources give the same bytes.

    Args:
        packs: the folder of packs.
        split: the user's file of the steered half; None for the digitised one.
    """
    steered = published.activities().steered
    if split:
        steered = read_split(split, proven.lists["activities_64"])
    packs.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".paper-", dir=packs))
    try:
        write_files(work / "new", proven, steered, provenance(proven, split, steered))
        target = packs / PAPER
        if target.exists():
            os.replace(target, work / "old")
        os.replace(work / "new", target)
    finally:
        shutil.rmtree(work)
    return target


def write_files(
    folder: Path, proven: Proven, steered: Sequence[int], record: dict[str, Any]
) -> None:
    """Writes every file of the pack into a new folder.

    Args:
        steered: indices of the steered half.
        record: the provenance.
    """
    folder.mkdir()
    _write_json(folder / "pack.json", _head(proven, record))
    _write_tables(folder, proven, steered)
    topics = "".join(f"{topic}\n" for topic in proven.lists["topics_100"])
    (folder / "topics.txt").write_text(topics, encoding="utf-8")
    if NUMERIC in proven.lists:
        _write_json(folder / "numeric.json", _numeric_templates(proven.lists[NUMERIC]))
    if proven.whole(SCENARIO):
        system, prompt = (
            proven.prompts[name].replace("{", "{{").replace("}", "}}") for name in SCENARIO
        )
        _write_json(folder / "blackmail.json", {"system": system, "prompt": prompt, **judge()})


def _head(proven: Proven, record: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of pack.json."""
    absent = [] if NUMERIC in proven.lists else ["numeric"]
    if not proven.whole(SCENARIO):
        absent.append("blackmail")
    return {
        "name": PAPER,
        "author": "Sofroniew, Kauvar, Saunders, Chen et al. 2026 (Anthropic), imported",
        "language": "English",
        "templates": {template: proven.prompts[prompt] for template, prompt in TEMPLATES.items()},
        "opposite_pairs": PAIRS,
        "exemplars": EXEMPLARS,
        "absent": absent,
        **openings(proven),
        "provenance": record,
    }


def _write_tables(folder: Path, proven: Proven, steered: Sequence[int]) -> None:
    """Writes emotions.csv, activities.csv and scenarios.csv."""
    valence, emotions = published.valence_signs(), proven.lists["emotions_171"]
    cluster = {word: name for name, words in published.clusters().items() for word in words}
    signs = [f"{valence[e]:+.0f}" if e in valence else "" for e in emotions]
    clusters = [cluster[e] for e in emotions]
    rows: Iterable[Sequence[Any]] = zip(emotions, signs, clusters, strict=True)
    _write_table(folder / "emotions.csv", ("emotion", "valence", "cluster"), rows)
    activities = [item.split("\t") for item in proven.lists["activities_64"]]
    rows = ((c, int(i in steered), t) for i, (c, t) in enumerate(activities))
    _write_table(folder / "activities.csv", ("category", "steered", "text"), rows)
    scenarios = [item.split("\t") for item in proven.lists["scenarios_12"]]
    labels = proven.lists.get(LABELS, ("",) * len(scenarios))
    rows = ((*scenario, label) for scenario, label in zip(scenarios, labels, strict=True))
    _write_table(folder / "scenarios.csv", ("emotion", "text", "label"), rows)


def _numeric_templates(items: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the content of numeric.json; the signs are those of the published trends."""
    templates = []
    for (key, signs), item in zip(published.numeric_signs().items(), items, strict=True):
        template, values = item.split("\t")
        numbers = [int(value) for value in values.split(",")]
        templates.append({"key": key, "template": template, "values": numbers, "signs": signs})
    return templates


def openings(proven: Proven) -> dict[str, Any]:
    """Returns `self_report` and `drift` of pack.json, if all of the paper's openings were found.

    The drift openings are those that the paper continues under steering. Without all of the
    openings, the result is empty.
    """
    if not proven.whole(OPENINGS):
        return {}
    own, other, free = (_opening(proven, names) for names in (SELF, OTHER, OPEN))
    return {"self_report": {"self": own, "other": [other]}, "drift": [own, other, free]}


def _opening(proven: Proven, names: Sequence[str]) -> dict[str, str]:
    """Returns the opening of a question and, if it has a second name, the answer's beginning."""
    question, *answer = (proven.prompts[name] for name in names)
    return {"question": question, "answer": "".join(answer)}


def _write_json(path: Path, content: Any) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
