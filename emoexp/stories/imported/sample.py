"""The texts of a corpus that is being read: the first of each emotion in canonical order, so that
memory is bounded however many rows there are, and the counts of the others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from emoexp.errors import EmoexpError
from emoexp.stories.corpus import Story

MOST = 10_000
"""Texts of one emotion that are kept, at most."""
MOST_EMOTIONS = 2_000
MOST_CHARACTERS = 1_000_000
"""Characters of one text; a longer one is no story."""


class Sample:
    """The texts of each emotion whose SHA-256 is lowest, each once.

    Attributes:
        lost: the numbers of texts that are left out, by reason (see `losses.REJECTED`) and emotion.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[bytes, Story]] = {}
        self.highest: dict[str, bytes] = {}
        self.lost: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self.kept.values()))

    def add(self, story: Story) -> None:
        """Adds a text, or counts it as left out.

        Raises:
            EmoexpError: there are too many emotions.
        """
        kept = self.kept.setdefault(story.emotion, {})
        digest = hashlib.sha256(story.text.encode()).digest()
        if not story.text:
            self.lost["empty", story.emotion] += 1
        elif len(story.text) > MOST_CHARACTERS:
            self.lost["huge", story.emotion] += 1
        elif (first := kept.get(digest)) is not None:
            kept[digest] = min(first, story, key=lambda s: s.topic)
            self.lost["duplicate", story.emotion] += 1
        elif digest > self.highest.get(story.emotion, b"\xff" * 32):
            self.lost["beyond", story.emotion] += 1
        else:
            kept[digest] = story
            if len(kept) >= 2 * MOST:
                self._cut(story.emotion)
        if len(self.kept) > MOST_EMOTIONS:
            raise EmoexpError(
                f"the corpus has more than {MOST_EMOTIONS:,} emotions, such as {story.emotion!r}:"
                " say which column has them (stories.columns={emotion: <column>})"
            )

    def _cut(self, emotion: str) -> None:
        """Keeps the `MOST` first texts of an emotion."""
        kept = self.kept[emotion]
        if len(kept) > MOST:
            self.lost["beyond", emotion] += len(kept) - MOST
            first = sorted(kept)[:MOST]
            self.kept[emotion] = {digest: kept[digest] for digest in first}
            self.highest[emotion] = first[-1]

    def stories(self) -> Iterator[Story]:
        """Yields the texts in canonical order: emotions by name, texts by their SHA-256."""
        for emotion in sorted(self.kept):
            self._cut(emotion)
            kept = self.kept[emotion]
            yield from (kept[digest] for digest in sorted(kept))
