"""Finds, reads and checks packs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.places import PACKS
from emoexp.stimuli.checks import is_text
from emoexp.stimuli.pack import FILES, OPTIONAL, Stimuli
from emoexp.stimuli.paper.proof import PAPER, paper_faults
from emoexp.stimuli.reader import Reader
from emoexp.store.provenance import hash_files

BUNDLED = PACKS
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
    if not folder.is_dir():
        if kind == "imported":
            raise EmoexpError(f"stimuli={name} is not on this machine; {IMPORT}")
        raise EmoexpError(f"there is no pack at {folder}: not a folder")
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
        raise EmoexpError(f"the pack at {folder} has {len(faults)} fault(s): {'; '.join(faults)}")
    return pack


def read_pack(folder: Path) -> tuple[Stimuli | None, list[str]]:
    """Reads a pack and checks all but its stories (see `story_faults`).

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
    if reader.faults:
        return None, reader.faults
    files = [folder / name for name in (*FILES, *OPTIONAL) if (folder / name).exists()]
    pack = Stimuli(sha256=hash_files(files), folder=folder, **head, **parts)
    differences = paper_faults(pack)
    renamed = "import it again, or give the pack another name"
    faults = [
        f"the pack is called {PAPER!r}, but {difference}: {renamed}" for difference in differences
    ]
    return replace(pack, is_paper=not differences), faults if pack.name == PAPER else []


def _parts(reader: Reader, absent: Sequence[str]) -> dict[str, Any]:
    """Reads the files besides pack.json; returns their parts by the names of Stimuli's attributes.

    Args:
        absent: the parts that the pack declares absent.
    """
    if missing := [
        name
        for name in FILES
        if not (reader.folder / name).exists() and name.split(".")[0] not in absent
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


def story_faults(folder: Path, emotions: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Checks the stories and neutral texts of a pack, which a run reads only when it needs them.

    Args:
        emotions: the pack's; empty where they could not be read.

    Returns:
        The number of rows by file, and every fault.
    """
    reader = Reader(folder)
    story_fields = ("emotion", "topic", "text")
    counts = {
        "stories.jsonl": _count_rows(reader, "stories.jsonl", story_fields, emotions),
        "neutral.jsonl": _count_rows(reader, "neutral.jsonl", ("text",), emotions),
    }
    if bool(counts["stories.jsonl"]) != bool(counts["neutral.jsonl"]):
        reader.fault("stories.jsonl and neutral.jsonl must come together")
    return counts, reader.faults


def _count_rows(reader: Reader, name: str, fields: Sequence[str], emotions: Sequence[str]) -> int:
    """Checks the rows of a JSON Lines file for their fields and emotion; returns their number."""
    n_rows = 0
    for number, line in enumerate((reader.text(name) or "").split("\n"), 1):
        row = reader.json(name, line, dict, number - 1) if line.strip() else None
        if row is None:
            continue
        n_rows += 1
        if lacking := [field for field in fields if not is_text(row.get(field))]:
            reader.fault(f"{name}, line {number}: no text under {', '.join(lacking)}")
        elif emotions and row.get("emotion", emotions[0]) not in emotions:
            reader.fault(f"{name}, line {number}: unknown emotion(s) {row['emotion']}")
    return n_rows
