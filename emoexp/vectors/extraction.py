"""Means of the residual stream over the stories of each emotion and over neutral texts, which are
stored (paper, "Extracting emotion vectors").

Stories are streamed: a batch's means are added to the sums of their groups and not stored, so
memory does not grow with the number of stories. Story i of an emotion, in the corpus's order,
belongs to group i modulo `GROUPS`: a corpus lists its stories topic by topic, so topics spread over
the groups, and group g holds the same topics for every emotion where the emotions share their
topics. Up to `GROUPS` stories, each is a group of its own, and a run with fewer stories per emotion
reads them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from emoexp.errors import EmoexpError, require
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts, Row, key_of, read_layer, read_tensors
from emoexp.stories.corpus import Corpus
from emoexp.stories.losses import DROPPED, loss_lines
from emoexp.vectors.pooling import (
    GROUPS,
    MASSIVE,
    SKIP_TOKENS,
    check_texts,
    pool_stories,
    pool_texts,
)

NEUTRAL = "neutral"
"""What neutral texts are called among emotions."""
NEUTRAL_CHUNK = 64
VERSION = 6
SUMMED = ("mean", "n", "n_short", "norm_sum", "norm_count", "massive")
"""The tensors of an emotion's row that StoryMeans needs; its groups are `GROUPS` times as large."""


class Source(NamedTuple):
    """A stored row, by its label, and how many of its first stories are used (None: all)."""

    label: str
    stories: int | None


@dataclass(frozen=True, eq=False)
class StoryMeans:
    """All-layer means of one corpus; two are equal only if they are the same object.

    Attributes:
        emotions: names, in the order of `by_emotion`.
        by_emotion: (emotion, layer, d_model), float64.
        neutral: (text, layer, d_model), float64.
        residual_norm: mean norm of the residual stream over the stories' tokens without the first
            of each sequence (BOS) and without massive ones; (layer,).
        n_stories: stories that have a token left after the skip, by emotion.
        dropped: stories that are left out, by reason (see `Checked`) and emotion; neutral texts
            under "neutral".
        identity: what the numbers depend on.
        sources: the stored row that an emotion's numbers are of, and how many of its stories.
        massive: tokens of the stories that were left out as massive; (layer,).
    """

    emotions: tuple[str, ...]
    by_emotion: np.ndarray
    neutral: np.ndarray
    residual_norm: np.ndarray
    n_stories: np.ndarray
    dropped: dict[str, dict[str, int]]
    identity: dict[str, Any]
    sources: tuple[Source, ...] = ()
    massive: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def massive_dimensions(self) -> list[int]:
        """Returns, by layer, how many dimensions of the mean activation are massive: in size above
        `MASSIVE` times the median dimension."""
        size = np.abs(self.by_emotion.mean(0))
        return [int(n) for n in (size > MASSIVE * np.median(size, axis=1, keepdims=True)).sum(1)]

    def summary(self) -> dict[str, Any]:
        """Returns the counts for result.json.

        They are of the stories that the vectors are computed from, of those left out, of the
        neutral texts, and of massive tokens and dimensions by layer.
        """
        return {
            "stories": int(self.n_stories.sum()),
            "stories_per_emotion_min": int(self.n_stories.min()),
            "stories_per_emotion_max": int(self.n_stories.max()),
            "stories_by_emotion": dict(zip(self.emotions, map(int, self.n_stories), strict=True)),
            "dropped": self.dropped,
            "neutral": len(self.neutral),
            "massive_tokens": [int(n) for n in self.massive],
            "massive_dimensions": self.massive_dimensions(),
        }


@dataclass(frozen=True)
class StoryGroups:
    """Means of groups of stories at one layer.

    Attributes:
        emotions: names, in the order of `means`.
        means: (emotion, group, d_model), float32; an empty group is zeros and must be weighted by
            its count.
        counts: stories in each group; (emotion, group).
        layer: the 0-based block.
    """

    emotions: tuple[str, ...]
    means: np.ndarray
    counts: np.ndarray
    layer: int


def extract(
    model: SubjectModel,
    corpus: Corpus,
    emotions: Sequence[str],
    artifacts: Artifacts,
    stories_per_emotion: int | None,
) -> StoryMeans:
    """Returns the means of `emotions` and of the neutral texts, from the store or computed.

    Each emotion is one row of the artifact, so a killed run resumes at the emotion it had reached.
    A row with more stories than asked for is read, where it holds each story by itself.

    Raises:
        EmoexpError: an emotion has no stories, all of its stories are left out, or fewer than two
            neutral texts are read.
    """
    check_has_stories(corpus, emotions)
    stored = {"version": VERSION, "model": model.identity, "skip": SKIP_TOKENS}
    identity = stored | {"corpus": corpus.sha256}
    sources, rows = _story_rows(model, corpus, emotions, artifacts, stored, stories_per_emotion)
    neutral = _neutral_means(model, corpus, artifacts, stored)
    dropped = _dropped(model, corpus, emotions, rows, len(neutral))
    return StoryMeans(
        emotions=tuple(emotions),
        by_emotion=np.stack([r["mean"] for r in rows]),
        neutral=neutral,
        residual_norm=(
            np.sum([r["norm_sum"].sum(0) for r in rows], 0)
            / np.sum([r["norm_count"].sum(0) for r in rows], 0)
        ),
        n_stories=np.array([int(r["n"]) for r in rows]),
        dropped=dropped,
        identity=identity | {"stories": stories_per_emotion},
        sources=sources,
        massive=np.sum([r["massive"].sum(0) for r in rows], 0),
    )


def _story_rows(
    model: SubjectModel,
    corpus: Corpus,
    emotions: Sequence[str],
    artifacts: Artifacts,
    identity: dict[str, Any],
    limit: int | None,
) -> tuple[tuple[Source, ...], list[Row]]:
    """Returns where the first `limit` stories of each emotion are stored, and their numbers, which
    are computed where they are missing."""
    texts = [[story.text for story in corpus.by_emotion[emotion]] for emotion in emotions]
    sources = tuple(
        _source(artifacts, identity, emotion, own, limit)
        for emotion, own in zip(emotions, texts, strict=True)
    )
    by_label = dict(zip((source.label for source in sources), texts, strict=True))

    def emotion_row(label: str) -> Row:
        return pool_stories(model, by_label[label][:limit])

    title = "stories, all layers"
    stored = artifacts.rows("stories", identity, list(by_label), emotion_row, title, names=SUMMED)
    rows = [
        row if source.stories is None else _first(row, artifacts, identity, source)
        for row, source in zip(stored, sources, strict=True)
    ]
    return sources, rows


def _source(
    artifacts: Artifacts,
    identity: dict[str, Any],
    emotion: str,
    texts: Sequence[str],
    limit: int | None,
) -> Source:
    """Chooses the row that the first `limit` of an emotion's stories are read from.

    A row is called after the texts that it is of, so that a change of some leaves the rows of the
    others as they are. A stored row of up to `GROUPS` stories holds each of them by itself, so its
    first stories are taken; otherwise the row is of exactly these stories.
    """
    n = len(texts[:limit])

    def label(count: int) -> str:
        return f"{emotion}, {key_of(texts[:count])}"

    for count in range(n, min(len(texts), GROUPS) + 1):
        if artifacts.path("stories", identity, label(count)).exists():
            return Source(label(count), None if count == n else n)
    return Source(label(n), None)


def _first(row: Row, artifacts: Artifacts, identity: dict[str, Any], source: Source) -> Row:
    """Returns the row of the first stories of a stored row, whose groups are single stories."""
    n, path = source.stories, artifacts.path("stories", identity, source.label)
    stored = read_tensors(path, ["groups", "group_n"])[0]
    groups, group_n = stored["groups"][:n], stored["group_n"][:n]
    kept = int(group_n.sum())
    mean = (groups * group_n[:, None, None]).sum(0, dtype=np.float64) / max(kept, 1)
    parts = {name: row[name][:n] for name in ("norm_sum", "norm_count", "massive")}
    return parts | {"mean": mean, "n": np.array(kept), "n_short": np.array(len(group_n) - kept)}


def check_has_stories(corpus: Corpus, emotions: Sequence[str]) -> None:
    """Raises EmoexpError if the corpus has no stories of an emotion."""
    if lacking := [e for e in emotions if e not in corpus.by_emotion]:
        rejected = {
            reason: {e: n for e, n in counts.items() if e in lacking}
            for reason, counts in corpus.rejected_by_reason.items()
        }
        lost = loss_lines({reason: counts for reason, counts in rejected.items() if counts}, {})
        raise EmoexpError(
            f"the corpus {corpus.name!r} has no stories of {', '.join(map(repr, lacking))}: add"
            " some, or choose among its emotions (emotions=corpus, or emotions.names=[...])"
            f"{''.join(f'; {line}' for line in lost)}"
        )


def _dropped(
    model: SubjectModel,
    corpus: Corpus,
    emotions: Sequence[str],
    rows: Sequence[Row],
    n_neutral: int,
) -> dict[str, dict[str, int]]:
    """Returns how many texts are left out, by reason and emotion, and says so on stderr.

    Args:
        n_neutral: how many neutral texts are read.

    Raises:
        EmoexpError: all stories of an emotion are left out, or all but one neutral text.
    """
    dropped: dict[str, dict[str, int]] = {}
    lost = {e: (int(row["n"]), int(row["n_short"])) for e, row in zip(emotions, rows, strict=True)}
    texts = {e: [s.text for s in corpus.by_emotion[e][: sum(lost[e])]] for e in emotions}
    lost[NEUTRAL] = (n_neutral, len(corpus.neutral) - n_neutral)
    texts[NEUTRAL] = list(corpus.neutral)
    for emotion in (e for e in lost if lost[e][1]):
        reasons = Counter(text.reason for text in check_texts(model, texts[emotion]))
        reasons["massive"] = lost[emotion][1] - sum(n for reason, n in reasons.items() if reason)
        for reason, n in reasons.items():
            if reason and n:
                dropped.setdefault(reason, {})[emotion] = n
    for line in loss_lines({}, dropped):
        sys.stderr.write(line + "\n")
    for emotion, (n, _) in lost.items():
        least = 2 if emotion == NEUTRAL else 1
        left = {DROPPED[reason]: counts.get(emotion) for reason, counts in dropped.items()}
        why = ", ".join(f"{count} {reason}" for reason, count in left.items() if count)
        what = "neutral texts are" if emotion == NEUTRAL else f"stories of {emotion!r} are"
        left_out = f"left out are {why}" if why else "add some"
        require(n >= least, f"{n} {what} left, at least {least} needed: {left_out}")
    return dropped


def _neutral_means(
    model: SubjectModel, corpus: Corpus, artifacts: Artifacts, identity: dict[str, Any]
) -> np.ndarray:
    """Means of the neutral texts that are read, one row for each chunk of texts; (text, layer,
    d_model)."""

    texts = corpus.neutral
    starts = range(0, len(texts), NEUTRAL_CHUNK)
    chunks = [texts[i : i + NEUTRAL_CHUNK] for i in starts]
    labels = [key_of(chunk) for chunk in chunks]
    by_label = dict(zip(labels, chunks, strict=True))

    def chunk_row(label: str) -> Row:
        return {"means": pool_texts(model, by_label[label])}

    found = artifacts.rows("neutral", identity, list(by_label), chunk_row, "neutral texts")
    rows = dict(zip(by_label, found, strict=True))  # a chunk that comes twice is computed once
    return np.concatenate(
        [np.zeros((0, model.n_layers, model.d_model)), *(rows[k]["means"] for k in labels)]
    )


def load_groups(means: StoryMeans, artifacts: Artifacts, layer: int) -> StoryGroups:
    """Reads the groups of stories of `means`, which `extract` has stored in `artifacts`.

    It reads one layer of each row and nothing else.
    """
    identity = {name: means.identity[name] for name in ("version", "model", "skip")}
    counts = np.zeros((len(means.sources), GROUPS), dtype=np.int64)
    groups = np.zeros((*counts.shape, means.by_emotion.shape[2]), dtype=np.float32)
    for e, (label, n) in enumerate(means.sources):
        path = artifacts.path("stories", identity, label)
        group_n = read_tensors(path, ["group_n"])[0]["group_n"][:n]
        counts[e, : len(group_n)] = group_n
        groups[e, : len(group_n)] = read_layer(path, "groups", layer)[:n]
    return StoryGroups(means.emotions, groups, counts, layer)
