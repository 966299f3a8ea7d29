"""Finds, reads and checks packs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError, shortened
from emoexp.places import PACKS
from emoexp.stimuli.checks import is_text
from emoexp.stimuli.pack import FILES, OPTIONAL, Stimuli
from emoexp.stimuli.paper.proof import PAPER, paper_faults
from emoexp.stimuli.reader import Reader
from emoexp.store.provenance import hash_files
from emoexp.textfiles import explained, kind_of

BUNDLED = PACKS
STORIES = ("stories.jsonl", "neutral.jsonl")
Rows = list[dict[str, Any]]
MOST_LISTED = 20
"""Faults that one error lists."""
IMPORT = "run: python -m emoexp.stimuli import --url (or --html FILE, or --json FOLDER)"


def artifacts_root() -> Path:
    """Returns the artifacts folder for code without a config: EMOEXP_ARTIFACTS or ~/.cache/emoexp.

    conf/config.yaml has the same default.
    """
    return Path(os.environ.get("EMOEXP_ARTIFACTS", "~/.cache/emoexp")).expanduser().absolute()


def find_pack(path: str, root: Path | None = None) -> Path:
    """Returns the folder of a pack.

    Args:
        path: a folder, `bundled:<name>`, or `imported:<name>` (under the artifacts root).
        root: the artifacts root; None for `artifacts_root()`.

    Raises:
        EmoexpError: there is no such pack.
    """
    kind, _, name = path.partition(":")
    if kind == "bundled" and not (BUNDLED / name).is_dir():
        shipped = sorted(p.name for p in BUNDLED.iterdir() if p.is_dir())
        raise EmoexpError(f"there is no bundled pack {name!r}: choose from {', '.join(shipped)}")
    if kind == "bundled":
        folder = BUNDLED / name
    elif kind == "imported":
        folder = (root or artifacts_root()) / "packs" / name
    else:
        folder = Path(path).expanduser()
    if not path.strip() or kind_of(folder) != "folder":
        if kind == "imported":
            raise EmoexpError(f"stimuli={name} is not on this machine; {IMPORT}")
        near = f", did you mean bundled:{path}?" if path and (BUNDLED / path).is_dir() else ""
        raise EmoexpError(f"there is no pack at {shortened(path)!r}: not a folder{near}")
    return folder


def load_stimuli(path: str, root: Path | None = None) -> Stimuli:
    """Reads the pack that `path` names (see `find_pack`).

    A pack called `paper` is compared with the paper's hashes each time.

    Raises:
        EmoexpError: one line that lists every fault of the pack.
    """
    folder = find_pack(path, root)
    pack, faults = read_pack(folder)
    if pack is None or faults:
        raise faulty(folder, faults)
    return pack


def faulty(folder: Path, faults: Sequence[str]) -> EmoexpError:
    """Returns the error of a pack with faults, in one line."""
    more = f"; and {len(faults) - MOST_LISTED} more" if len(faults) > MOST_LISTED else ""
    listed = "; ".join(faults[:MOST_LISTED])
    return EmoexpError(f"the pack at {folder} has {len(faults)} fault(s): {listed}{more}")


def read_pack(folder: Path) -> tuple[Stimuli | None, list[str]]:
    """Reads a pack and checks all but its stories (see `read_stories`).

    Returns:
        The pack (None where a part has a fault) and every fault.
    """
    reader = Reader(folder)
    head = reader.head()
    parts = _parts(reader, tuple(head.get("absent", ())))
    pairs = head.get("opposite_pairs", ())
    in_head = [emotion for pair in pairs for emotion in pair] + list(head.get("exemplars", ()))
    reader.named("pack.json", in_head, parts["emotions"])
    texts = [a.text for a in parts["activities"]] + [s.text for s in parts["scenarios"]]
    reader.twice(texts)
    there = {name: kind_of(folder / name) for name in (*FILES, *OPTIONAL)}
    for name in STORIES:
        if there[name] == "folder":
            reader.fault(f"{name}: a folder, not a file")
    if reader.faults:
        return None, reader.faults
    with explained(folder):
        sha256 = hash_files([folder / name for name, kind in there.items() if kind])
    pack = Stimuli(sha256=sha256, folder=folder, **head, **parts)
    differences = paper_faults(pack)
    pack = replace(pack, is_paper=not differences)
    if pack.name != PAPER:
        return pack, []
    advice = "import it again, or give the pack another name"
    return pack, [f"the pack is called {PAPER!r}, but {what}: {advice}" for what in differences]


def _parts(reader: Reader, absent: Sequence[str]) -> dict[str, Any]:
    """Reads the files besides pack.json; returns their parts by the names of Stimuli's attributes.

    Args:
        absent: the parts that the pack declares absent.
    """
    if missing := [
        name
        for name in FILES
        if kind_of(reader.folder / name) is None and name.split(".")[0] not in absent
    ]:
        reader.fault(f"lacks {', '.join(missing)}")
    emotions, valence, clusters = reader.emotions()
    return {
        "emotions": emotions,
        "valence": valence,
        "clusters": clusters,
        "activities": reader.activities(),
        "scenarios": reader.scenarios(emotions),
        "numeric": reader.numeric(emotions, absent),
        "topics": reader.topics(),
        "blackmail": reader.blackmail(absent),
    }


def read_stories(folder: Path, emotions: Sequence[str]) -> tuple[Rows, Rows, list[str]]:
    """Reads and checks the stories and neutral texts of a pack, which a run reads only when it
    needs them.

    Args:
        emotions: the pack's; empty where they could not be read, or any will do.

    Returns:
        The rows of both files, and every fault.
    """
    reader = Reader(folder)
    stories = _rows(reader, STORIES[0], ("emotion", "topic", "text"), emotions)
    neutral = _rows(reader, STORIES[1], ("text",), emotions)
    if bool(stories) != bool(neutral):
        reader.fault("stories.jsonl and neutral.jsonl must come together")
    return stories, neutral, reader.faults


def _rows(reader: Reader, name: str, fields: Sequence[str], emotions: Sequence[str]) -> Rows:
    """Returns the rows of a JSON Lines file, checked for their fields, their emotion, and that no
    text stands twice: it would count twice in a mean, and be in both halves of a split."""
    rows, lines = [], dict[str, int]()
    for number, line in enumerate((reader.text(name) or "").split("\n"), 1):
        row = reader.json(name, line, dict, number - 1) if line.strip() else None
        if row is None:
            continue
        rows.append(row)
        if lacking := [field for field in fields if not is_text(row.get(field))]:
            reader.fault(f"{name}, line {number}: no text under {', '.join(lacking)}")
        elif emotions and row.get("emotion", emotions[0]) not in emotions:
            reader.fault(f"{name}, line {number}: unknown emotion(s) {row['emotion']}")
        elif (first := lines.setdefault(" ".join(row["text"].split()), number)) < number:
            reader.fault(f"{name}, line {number}: the same text as line {first}")
    return rows
