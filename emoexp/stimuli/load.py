"""From a name to a pack: where packs lie, and what makes one whole."""

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
    """EMOEXP_ARTIFACTS, or ~/.cache/emoexp: as conf/config.yaml has it, for where there is no
    config."""
    return Path(os.environ.get("EMOEXP_ARTIFACTS", "~/.cache/emoexp")).expanduser().absolute()


def find_pack(path: str, root: Path | None = None) -> Path:
    """The folder that `path` names: itself, `bundled:<name>` or `imported:<name>` under the
    artifacts root.

    Raises:
        EmoexpError: there is no such pack.
    """
    kind, _, name = path.partition(":")
    if kind == "bundled" and not (BUNDLED / name).is_dir():
        shipped = sorted(p.name for p in BUNDLED.iterdir() if p.is_dir())
        raise EmoexpError(f"there is no bundled pack {name!r}: choose from {', '.join(shipped)}")
    folder = (
        BUNDLED / name
        if kind == "bundled"
        else (
            (root or artifacts_root()) / "packs" / name
            if kind == "imported"
            else Path(path).expanduser()
        )
    )
    if not folder.is_dir():
        raise EmoexpError(
            f"stimuli={name} is not on this machine; {IMPORT}"
            if kind == "imported"
            else f"there is no pack at {folder}: not a folder"
        )
    return folder


def load_stimuli(path: str, root: Path | None = None) -> Stimuli:
    """The pack that `path` names (`find_pack`); an imported one is proven again.

    Raises:
        EmoexpError: one line that lists every fault of the pack.
    """
    folder = find_pack(path, root)
    pack, faults = read_pack(folder)
    if pack is None or faults:
        raise EmoexpError(f"the pack at {folder} has {len(faults)} fault(s): {'; '.join(faults)}")
    return pack


def read_pack(folder: Path) -> tuple[Stimuli | None, list[str]]:
    """The pack, as far as it can be made, and every fault but those of its stories
    (`story_faults`)."""
    reader = Reader(folder)
    head = reader.head()
    absent = tuple(head.get("absent", ()))
    if missing := [
        name for name in FILES if not (folder / name).exists() and name.split(".")[0] not in absent
    ]:
        reader.fault(f"lacks {', '.join(missing)}")
    emotions, valence = reader.emotions()
    parts: dict[str, Any] = {
        "emotions": emotions,
        "valence": valence,
        "activities": reader.activities(),
        "scenarios": reader.scenarios(emotions),
        "numeric": reader.numeric(emotions, absent),
        "topics": reader.topics(),
        "blackmail": reader.blackmail(absent),
    }
    reader.named(
        "pack.json",
        [e for pair in head.get("opposite_pairs", ()) for e in pair]
        + list(head.get("exemplars", ())),
        emotions,
    )
    texts = [a.text for a in parts["activities"]] + [s.text for s in parts["scenarios"]]
    reader.twice(texts)
    if reader.faults:
        return None, reader.faults
    sha256 = hash_files([folder / name for name in (*FILES, *OPTIONAL) if (folder / name).exists()])
    pack = Stimuli(sha256=sha256, folder=folder, **head, **parts)
    differences = paper_faults(pack)
    renamed = "import it again, or give the pack another name"
    faults = [
        f"the pack is called {PAPER!r}, but {difference}: {renamed}" for difference in differences
    ]
    return replace(pack, is_paper=not differences), faults if pack.name == PAPER else []


def story_faults(folder: Path, emotions: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """How many stories and neutral texts a pack brings, and every fault of theirs; a run meets them
    when it reads them."""
    reader, counts = Reader(folder), {}
    for name, fields in (
        ("stories.jsonl", ("emotion", "topic", "text")),
        ("neutral.jsonl", ("text",)),
    ):
        text, rows = reader.text(name), []
        for number, line in enumerate((text or "").split("\n"), 1):
            row = reader.json(name, line, dict, number - 1) if line.strip() else None
            if row is None:
                continue
            rows.append(row)
            if lacking := [f for f in fields if not is_text(row.get(f))]:
                reader.fault(f"{name}, line {number}: no text under {', '.join(lacking)}")
            elif emotions and row.get("emotion", emotions[0]) not in emotions:
                reader.fault(f"{name}, line {number}: unknown emotion(s) {row['emotion']}")
        counts[name] = len(rows)
    if bool(counts["stories.jsonl"]) != bool(counts["neutral.jsonl"]):
        reader.fault("stories.jsonl and neutral.jsonl must come together")
    return counts, reader.faults
