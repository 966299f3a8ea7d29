"""The corpus of emotion stories and neutral texts, by any author."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.places import STARTER
from emoexp.stimuli import Stimuli

FILES = ("stories.jsonl", "neutral.jsonl")


@dataclass(frozen=True, slots=True)
class Story:
    """A story of one emotion. `topic` is empty where the source names none."""

    emotion: str
    topic: str
    text: str


@dataclass(frozen=True)
class Rejected:
    """A text that is left out, and the reason: `names_emotion`, `duplicate`, `refusal` or
    `empty`."""

    story: Story
    reason: str


@dataclass(frozen=True)
class Corpus:
    """Stories and neutral texts from which emotion vectors are computed.

    Attributes:
        name: where the corpus comes from, for people to read.
        author: who wrote it: a model, a generator, people. Part of every result, since the source
            of the stories is a first-class variable.
        stories: the stories that count, in the source's order.
        neutral: neutral texts (dialogues).
        rejected: the texts that do not count.
        lost: numbers of further texts that do not count, by reason and emotion.
        unread: files beside it that were not read.
    """

    name: str
    author: str
    stories: tuple[Story, ...]
    neutral: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    lost: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @cached_property
    def by_emotion(self) -> dict[str, list[Story]]:
        """Returns the stories by emotion, emotions in order of first appearance."""
        groups: dict[str, list[Story]] = {}
        for story in self.stories:
            groups.setdefault(story.emotion, []).append(story)
        return groups

    @cached_property
    def sha256(self) -> str:
        """Returns the hash of all texts that count, whatever files they came in."""
        digest = hashlib.sha256()
        for story in self.stories:
            digest.update(json.dumps([story.emotion, story.topic, story.text]).encode() + b"\n")
        for text in self.neutral:
            digest.update(json.dumps(text).encode() + b"\n")
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """Returns the entry `corpus` of result.json."""
        return {
            "name": self.name,
            "author": self.author,
            "sha256": self.sha256,
            "stories": len(self.stories),
            "emotions": len(self.by_emotion),
            "neutral": len(self.neutral),
            "stories_by_emotion": {e: len(stories) for e, stories in self.by_emotion.items()},
            "rejected": self.rejected_by_reason,
            "unread": list(self.unread),
        }

    @cached_property
    def rejected_by_reason(self) -> dict[str, dict[str, int]]:
        """Returns how many texts do not count, by reason and emotion (neutral ones under "")."""
        counts = Counter(self.lost)
        counts.update((r.reason, r.story.emotion) for r in self.rejected)
        found: dict[str, dict[str, int]] = {}
        for (reason, emotion), n in sorted(counts.items()):
            found.setdefault(reason, {})[emotion] = n
        return found


def pack_corpus(pack: Stimuli) -> Corpus:
    """Reads the corpus that is bundled with a pack.

    Raises:
        EmoexpError: the pack has none, or a line is not what it should be.
    """
    if not all((pack.folder / name).exists() for name in FILES):
        raise EmoexpError(
            f"the pack {pack.name!r} has no stories of its own: take the ones that ship"
            " (stories=starter), generate some (python -m emoexp experiment=stories"
            " stories=screen), or give a corpus (stories=corpus stories.path=<folder, file or"
            " dataset id>)"
        )
    return _read_folder(pack.folder, f"pack {pack.name}", pack.author)


def starter_corpus() -> Corpus:
    """Reads the corpus that ships for any model: 20 stories for each of 30 emotions, one on each of
    the same 20 topics, and 80 neutral texts."""
    author = (STARTER / "AUTHOR").read_text(encoding="utf-8").strip()
    return _read_folder(STARTER, "starter", author)


def _read_folder(folder: Path, name: str, author: str) -> Corpus:
    """Reads stories.jsonl and neutral.jsonl of a folder."""
    stories, neutral = (folder / file for file in FILES)
    return Corpus(
        name=name,
        author=author,
        stories=tuple(
            Story(r["emotion"], r["topic"], r["text"])
            for r in json_lines(stories, ("emotion", "topic", "text"))
        ),
        neutral=tuple(r["text"] for r in json_lines(neutral, ("text",))),
    )


def json_lines(path: Path, fields: Iterable[str]) -> list[dict[str, Any]]:
    """Reads the rows of a JSONL file in which every row has `fields`, as text.

    Raises:
        EmoexpError: a row is malformed; the message names file and line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise EmoexpError(f"{path}, line {number}: not JSON ({error})") from error
        texts = row if isinstance(row, dict) else {}
        if lacking := [name for name in fields if not isinstance(texts.get(name), str)]:
            raise EmoexpError(f"{path}, line {number}: no text under {', '.join(lacking)}")
        rows.append(row)
    return rows
