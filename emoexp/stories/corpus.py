"""The corpus of emotion stories and neutral texts, by any author."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.places import STARTER
from emoexp.stimuli import Stimuli
from emoexp.stimuli.load import STORIES, faulty, read_stories
from emoexp.textfiles import kind_of


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
    if not any(kind_of(pack.folder / name) for name in STORIES):
        raise EmoexpError(
            f"the pack {pack.name!r} has no stories of its own: take the ones that ship"
            " (stories=starter), generate some (python -m emoexp experiment=stories"
            " stories=screen), or give a corpus (stories=corpus stories.path=<folder, file or"
            " dataset id>)"
        )
    return _read_folder(pack.folder, f"pack {pack.name}", pack.author, pack.emotions)


def starter_corpus() -> Corpus:
    """Reads the corpus that ships for any model: 20 stories for each of 30 emotions, one on each of
    the same 20 topics, and 80 neutral texts."""
    author = (STARTER / "AUTHOR").read_text(encoding="utf-8").strip()
    return _read_folder(STARTER, "starter", author, ())


def _read_folder(folder: Path, name: str, author: str, emotions: Sequence[str]) -> Corpus:
    """Reads stories.jsonl and neutral.jsonl of a folder.

    Raises:
        EmoexpError: one of them has faults, as `emoexp.stimuli check` lists them.
    """
    stories, neutral, faults = read_stories(folder, emotions)
    if faults:
        raise faulty(folder, faults)
    texts = tuple(Story(r["emotion"], r["topic"], r["text"]) for r in stories)
    return Corpus(name, author, texts, tuple(row["text"] for row in neutral))
