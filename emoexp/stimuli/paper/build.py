"""Builds the pack `paper` on the user's machine from the paper's public page or from JSON files,
and proves it list by list.

The project holds none of the paper's sentences: it holds their hashes. What a page does not have as
text comes from numbers that emoexp holds (the steered half, signs of trends, line breaks of
prompts), and the pack's provenance says so.
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

from emoexp.errors import EmoexpError
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


@dataclass(frozen=True)
class Proven:
    """What of the paper was found: lists and prompts by name, and the source of each."""

    lists: dict[str, tuple[str, ...]]
    prompts: dict[str, str]
    sources: dict[str, str]

    def whole(self, names: Sequence[str]) -> bool:
        """Whether all of a group of optional prompts were found."""
        return set(names) <= set(self.prompts)


def gather(sources: Sequence[ListSource], *, numeric: bool) -> Proven:
    """Every list, each from the first source that proves it.

    Raises:
        EmoexpError: a list that no source proves, with how many items were found and how many are
            wanted; all such lists at once.
    """
    lists, prompts, origins, faults = {}, {}, {}, []
    for name, fingerprint in list_fingerprints().items():
        if name == NUMERIC and not numeric:
            continue
        offered = [
            (source.name, candidate) for source in sources for candidate in source.candidates(name)
        ]
        arranged = next(
            ((origin, items) for origin, c in offered if (items := fingerprint.search(c))), None
        )
        if arranged:
            origins[name], lists[name] = arranged
        elif name != LABELS:  # the scenarios' titles are for people; no measurement reads them
            count = max((len(candidate) for _, candidate in offered), default=0)
            differ = ", and their text is not the paper's" if count >= fingerprint.n else ""
            missing = (
                " (the page has them in an image only: give --numeric FILE, or --without-numeric)"
                if name == NUMERIC and not count
                else ""
            )
            faults.append(f"{name}: {count} items found, {fingerprint.n} wanted{differ}{missing}")
    optional = optional_fingerprints()
    for name, prompt in (prompt_fingerprints() | optional).items():
        found = next(
            ((s.name, text) for s in sources if (text := prompt.search(s.words(name)))), None
        )
        if found:
            origins[name], prompts[name] = found
        elif name not in optional:
            faults.append(f"{name}: 0 items found, 1 wanted")
    if faults:
        raise EmoexpError(
            f"nothing is imported, for not all lists are proven verbatim: {'; '.join(faults)}"
        )
    return Proven(lists, prompts, origins)


def read_split(path: Path, activities: Sequence[str]) -> tuple[int, ...]:
    """Indices of the steered half from a file laid out as steered_split_32.json.

    Raises:
        EmoexpError: it names an activity that is not the paper's, or not half of them.
    """
    wanted = get_content(
        path, lambda content: [f"{a['category']}\t{a['activity']}" for a in content["activities"]]
    )
    place = {item: i for i, item in enumerate(activities)}
    found = sorted({place[key] for item in wanted if (key := normalise_item(item)) in place})
    if len(found) != len(wanted) or 2 * len(found) != len(activities):
        raise EmoexpError(
            f"{path}: {len(found)} of the {len(wanted)} activities are the paper's; must be"
            f" {len(activities) // 2} different ones of it"
        )
    return tuple(found)


def provenance(proven: Proven, split: Path | None, steered: Sequence[int]) -> dict[str, Any]:
    """List by list where it comes from and its hash; for what the paper does not have as text, how
    it was made."""
    prompts = prompt_fingerprints() | optional_fingerprints()
    hashes = {name: f.sha256 for name, f in list_fingerprints().items()} | {
        name: f.sha256 for name, f in prompts.items()
    }
    record: dict[str, Any] = {
        name: {"from": origin, "sha256": hashes[name], "proven": True}
        for name, origin in proven.sources.items()
    }
    if NUMERIC not in proven.lists:
        record[NUMERIC] = {
            "from": "absent",
            "note": "imported with --without-numeric: V5 and V6 are not measured",
        }
    if LABELS not in proven.lists:
        record[LABELS] = {"from": "absent", "note": "not found verbatim"}
    ours, half = "emoexp's numbers", published.activities()
    weak = [
        f"{key} {probe} {rho:+.2f}"
        for key, t in published.numeric_trends().items()
        for probe, rho in t.items()
        if abs(rho) < 0.5
    ]
    other = len(set(half.steered) - set(steered))
    record["steered"] = {
        "from": "a file" if split else ours,
        "note": (
            f"{other} of 32 differ from emoexp's numbers"
            if split
            else "digitised from Figure 4; three identities are ambiguous between near-equal Elos"
        ),
        "ambiguous": [list(pair) for pair in half.ambiguous],
    }
    record["valence"] = {
        "from": ours,
        "note": (
            "the sign of the paper's cluster (Table 12); none for Competitive Pride, which mixes"
        ),
    }
    record["numeric_signs"] = {
        "from": ours,
        "note": f"signs of the trends in Figure 3, digitised; weak ones: {', '.join(weak)}",
    }
    record["opposite_pairs"] = {"from": "emoexp's choice", "note": "the paper lists none"}
    record["exemplars"] = {"from": ours, "note": "the emotions of Figure 4"}
    record["line_breaks"] = {
        "from": ours,
        "note": "of the two generation prompts, and their delimiters, which are in the PDF only",
    }
    if proven.whole(SCENARIO):
        record["blackmail_tags"] = {
            "from": ours,
            "note": (
                "XML tags, lost on the page, restored as in public copies of the scenario; and line"
                " breaks"
            ),
        }
        record["blackmail_judge"] = {
            "from": "emoexp's choice",
            "note": "rules and question are not the paper's",
        }
    for part, names in (("blackmail", SCENARIO), ("self_report", OPENINGS)):
        if not proven.whole(names):
            lost = ", ".join(name for name in names if name not in proven.prompts)
            record[part] = {
                "from": "absent",
                "note": f"{lost} not found verbatim: experiment={part} does not run on this pack",
            }
    return record


def build_pack(proven: Proven, packs: Path, split: Path | None) -> Path:
    """Writes `packs`/paper whole or not at all, in place of an earlier one; the same sources give
    the same bytes."""
    steered = (
        read_split(split, proven.lists["activities_64"])
        if split
        else published.activities().steered
    )
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
    folder.mkdir()
    head = {
        "name": PAPER,
        "author": "Sofroniew, Kauvar, Saunders, Chen et al. 2026 (Anthropic), imported",
        "language": "English",
        "templates": {template: proven.prompts[prompt] for template, prompt in TEMPLATES.items()},
        "opposite_pairs": PAIRS,
        "exemplars": EXEMPLARS,
        "absent": (
            ([] if NUMERIC in proven.lists else ["numeric"])
            + ([] if proven.whole(SCENARIO) else ["blackmail"])
        ),
        **openings(proven),
        "provenance": record,
    }
    _write_json(folder / "pack.json", head)
    valence = published.valence_signs()
    cluster = {word: name for name, words in published.clusters().items() for word in words}
    _write_table(
        folder / "emotions.csv",
        ("emotion", "valence", "cluster"),
        (
            (e, f"{valence[e]:+.0f}" if e in valence else "", cluster[e])
            for e in proven.lists["emotions_171"]
        ),
    )
    activities = [item.split("\t") for item in proven.lists["activities_64"]]
    _write_table(
        folder / "activities.csv",
        ("category", "steered", "text"),
        ((c, int(i in steered), t) for i, (c, t) in enumerate(activities)),
    )
    scenarios = [item.split("\t") for item in proven.lists["scenarios_12"]]
    labels = proven.lists.get(LABELS, ("",) * len(scenarios))
    _write_table(
        folder / "scenarios.csv",
        ("emotion", "text", "label"),
        ((e, t, label) for (e, t), label in zip(scenarios, labels, strict=True)),
    )
    (folder / "topics.txt").write_text(
        "".join(f"{topic}\n" for topic in proven.lists["topics_100"]), encoding="utf-8"
    )
    if NUMERIC in proven.lists:
        signs = published.numeric_signs()
        rows = zip(signs, (item.split("\t") for item in proven.lists[NUMERIC]), strict=True)
        _write_json(
            folder / "numeric.json",
            [
                {
                    "key": key,
                    "template": text,
                    "values": [int(v) for v in values.split(",")],
                    "signs": signs[key],
                }
                for key, (text, values) in rows
            ],
        )

    if proven.whole(SCENARIO):
        system, prompt = (
            proven.prompts[name].replace("{", "{{").replace("}", "}}") for name in SCENARIO
        )
        _write_json(folder / "blackmail.json", {"system": system, "prompt": prompt, **judge()})


def openings(proven: Proven) -> dict[str, Any]:
    """`self_report` and `drift` of pack.json, if all of the paper's openings were found: drift is
    what the paper lets be continued."""
    if not proven.whole(OPENINGS):
        return {}
    own, other, free = (
        {"question": texts[0], "answer": "".join(texts[1:])}
        for texts in ([proven.prompts[n] for n in g] for g in (SELF, OTHER, OPEN))
    )
    return {"self_report": {"self": own, "other": [other]}, "drift": [own, other, free]}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
