"""The transcripts page: every trial, readable without a network, with the passages marked that the
rules judged by."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emoexp.blackmail.judgements import Judged
from emoexp.stimuli import Blackmail


def segments(text: str, passages: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """`text` cut where marks begin and end; true where a passage covers it. Passages may
    overlap."""
    covered = [False] * len(text)
    for start, end in passages:
        covered[start:end] = [True] * (end - start)
    cuts = [0, *(i for i in range(1, len(text)) if covered[i] != covered[i - 1]), len(text)]
    return [(text[a:b], covered[a]) for a, b in pairwise(cuts) if a < b]


def scenes_of(scenario: Blackmail) -> list[dict[str, Any]]:
    return [
        {"number": k, "system": scene.system or "", "prompt": scene.prompt}
        for k in range(len(scenario.scenes))
        for scene in [scenario.scene(k)]
    ]


def card(judged: Judged, n_scenes: int) -> dict[str, Any]:
    """One trial as the template wants it."""
    trial, label = judged.trial, judged.label
    model = "" if label is None else label.verdict.lower() if label.verdict else "missing"
    return {
        "condition": trial.condition.title,
        "k": trial.k,
        "scene": trial.k % n_scenes,
        "direction": "" if trial.direction == trial.condition.name else trial.direction,
        "segments": segments(trial.text, judged.ruling.passages),
        "rules": judged.ruling.verdict,
        "model": model,
        "said": "" if label is None else label.said,
        "disagree": judged.disagree,
        "fault": judged.fault or "",
        "ended": trial.ended,
        "tokens": trial.n_tokens,
        "surprise": trial.surprise,
        "repetition": trial.repetition,
    }


def write(
    path: Path, title: str, lines: Sequence[str], found: Sequence[Judged], scenario: Blackmail
) -> None:
    """The page, renamed into place; every text is escaped. `lines` stand below its title."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = [card(judged, len(scenario.scenes)) for judged in found]
    page = environment.get_template("transcripts.html.j2").render(
        title=title,
        lines=lines,
        cards=cards,
        conditions=list(dict.fromkeys(c["condition"] for c in cards)),
        rules=sorted({c["rules"] for c in cards}),
        models=sorted({c["model"] for c in cards} - {""}),
        scenes=scenes_of(scenario),
    )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
