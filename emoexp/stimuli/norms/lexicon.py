"""A lexicon, which is all ratings of a source, and the norms, which are those of some emotions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emoexp.errors import EmoexpError

FEWEST = 3
"""Fewest emotions that a source must have, for a valence axis."""


class Rating(NamedTuple):
    """What people gave a word.

    Attributes:
        line: the word's line in its file.
        valence: on [-1, 1].
        arousal: on [-1, 1]; NaN where the source has none.
    """

    line: int
    word: str
    valence: float
    arousal: float


@dataclass(frozen=True)
class Norms:
    """The norms of the emotions that a source has.

    Attributes:
        layout: what the ratings are, for the record.
        origin: the package with its version, or the file.
        emotions: all that were asked for.
        valence: by emotion, on [-1, 1].
        arousal: by emotion, on [-1, 1]; empty where the source has none.
        sha256: of each file that was read, by its name.
    """

    layout: str
    origin: str
    emotions: tuple[str, ...]
    valence: dict[str, float]
    arousal: dict[str, float]
    sha256: dict[str, str]

    @property
    def unrated(self) -> list[str]:
        """The emotions that the source does not have."""
        return [emotion for emotion in self.emotions if emotion not in self.valence]

    def coverage(self) -> str:
        """Returns one line: the source, how many of the emotions it has, and which it lacks."""
        counts = f"{len(self.valence)} of {len(self.emotions)} emotions"
        lacks = f"; without a rating: {', '.join(self.unrated)}" if self.unrated else ""
        arousal = "" if self.arousal else "; the source has no arousal"
        return f"norms {self.layout} ({self.origin}): {counts}{arousal}{lacks}"

    def summary(self) -> dict[str, Any]:
        """Returns what the record of a run says of its norms."""
        return {
            "layout": self.layout,
            "origin": self.origin,
            "sha256": self.sha256,
            "emotions": len(self.emotions),
            "rated": len(self.valence),
            "unrated": self.unrated,
        }


@dataclass(frozen=True)
class Lexicon:
    """All ratings of a source.

    Attributes:
        path: the file, for messages.
        layout, origin, sha256: as in `Norms`.
    """

    path: Path
    layout: str
    origin: str
    ratings: list[Rating]
    sha256: dict[str, str]

    def norms_of(self, emotions: Sequence[str]) -> Norms:
        """Returns the norms of those of `emotions` that the lexicon has.

        A word is an emotion if the two are equal but for case, underscores and hyphens; a word with
        the emotion's own hyphens comes first. A part of an emotion ("grief" of "grief-stricken") is
        another word.

        Raises:
            EmoexpError: an emotion is rated twice, or fewer than three are in the lexicon.
        """
        exact = self._found(_normal, emotions)
        others = self._found(_unhyphened, [e for e in emotions if e not in exact])
        found = {e: (exact | others)[e] for e in emotions if e in exact or e in others}
        if len(found) < FEWEST:
            raise EmoexpError(
                f"{self.path} ({self.layout}) has {len(found)} of the {len(emotions)} emotions: at"
                f" least {FEWEST} are needed for a valence axis"
            )
        return Norms(
            self.layout,
            self.origin,
            tuple(emotions),
            {e: rating.valence for e, rating in found.items()},
            {e: rating.arousal for e, rating in found.items() if not np.isnan(rating.arousal)},
            self.sha256,
        )

    def _found(self, key: Callable[[str], str], emotions: Sequence[str]) -> dict[str, Rating]:
        """Returns the rating of each emotion that has the same key as a word.

        Raises:
            EmoexpError: two words of one key are rated differently.
        """
        by_key = {key(emotion): emotion for emotion in emotions}
        found: dict[str, Rating] = {}
        for rating in self.ratings:
            if (emotion := by_key.get(key(rating.word))) is None:
                continue
            first = found.setdefault(emotion, rating)
            if not np.array_equal(first[2:], rating[2:], equal_nan=True):
                raise EmoexpError(
                    f"{self.path} ({self.layout}), line {rating.line}: {rating.word!r} is rated a"
                    f" second time (first in line {first.line}): leave one of the two"
                )
        return found


def _normal(word: str) -> str:
    """Returns a word in small letters, with blanks for underscores."""
    return word.strip().lower().replace("_", " ")


def _unhyphened(word: str) -> str:
    """Returns a word in small letters, with blanks for underscores and hyphens."""
    return _normal(word).replace("-", " ")
