"""Residual means over stories and neutral texts: one pass, all layers, float64 sums (paper,
"Extracting emotion vectors").

A story's mean is over its tokens from the 50th on (positions within the text; BOS is not counted);
an emotion's is over its stories with equal weight. A story with no token left is dropped and
counted, never averaged in as zeros.

Stories are streamed: a batch's means are added to the sums of their groups and not stored, so
memory does not grow with the number of stories. Story i of an emotion, in the corpus's order,
belongs to group i modulo 16: a corpus lists its stories topic by topic, so topics spread over the
groups, and group g holds the same topics for every emotion where the emotions share their topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emoexp.errors import EmoexpError
from emoexp.models.batches import length_batches
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts, Row, read_layer, read_tensors
from emoexp.stories.corpus import Corpus

SKIP_TOKENS = 50
NEUTRAL_CHUNK = 64
GROUPS = 16
"""Groups of stories whose means are stored by emotion, for split halves; fewer where there are
fewer stories."""
FLOAT64_DEVICES = ("cpu", "cuda")
VERSION = 4
SUMMED = ("mean", "n", "n_short", "norm_sum", "norm_count")
"""The tensors of an emotion's row that StoryMeans needs; its groups are 16 times as large."""


@dataclass(frozen=True, eq=False)
class StoryMeans:
    """All-layer means of one corpus; two are equal only if they are the same object.

    Attributes:
        emotions: names, in the order of `by_emotion`.
        by_emotion: (emotion, layer, d_model), float64.
        neutral: (text, layer, d_model), float64.
        residual_norm: mean norm of the residual stream over the stories' tokens without the first
            of each sequence (BOS); (layer,).
        n_stories: stories that have a token left after the skip, by emotion.
        n_short: stories dropped because no token is left after the skip.
        identity: what the numbers depend on.
    """

    emotions: tuple[str, ...]
    by_emotion: np.ndarray
    neutral: np.ndarray
    residual_norm: np.ndarray
    n_stories: np.ndarray
    n_short: int
    identity: dict[str, Any]

    def summary(self) -> dict[str, int]:
        """Returns the counts for result.json.

        They are of the stories that the vectors are computed from, of those too short for the skip,
        and of the neutral texts.
        """
        return {
            "stories": int(self.n_stories.sum()),
            "stories_per_emotion_min": int(self.n_stories.min()),
            "stories_per_emotion_max": int(self.n_stories.max()),
            "n_short": self.n_short,
            "neutral": len(self.neutral),
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


class Pooled(NamedTuple):
    """Means and norms of one batch of texts.

    Norms are over all tokens of all its texts but the first of each sequence. That is the BOS or,
    for a model without one, the text's first token: many models use it as an attention sink, with a
    norm 10 to 100 times the others'.

    Attributes:
        kept: indices of the texts that have tokens left after the skip.
        means: of those texts; (text, layer, d_model), float64.
        norm_sum: sum of the norms; (layer,).
        norm_count: number of the norms.
    """

    kept: list[int]
    means: np.ndarray
    norm_sum: np.ndarray
    norm_count: int


def summing_device(device: torch.device) -> torch.device:
    """Returns the device for float64 sums: `device`, or the CPU if it has no float64 (mps)."""
    return device if device.type in FLOAT64_DEVICES else torch.device("cpu")


def pool_batches(
    model: SubjectModel, texts: Sequence[str], side: str = "right"
) -> Iterator[Pooled]:
    """Yields the texts' means over tokens 50 onward, batch by batch in order of length.

    Raises:
        EmoexpError: the model's activations are not numbers.
    """
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts]
    for batch in length_batches(lengths, model.config.batch_tokens):
        encoding = model.encode([Prompt(texts[i]) for i in batch], side=side)
        device = summing_device(model.device)
        late = (encoding.is_text & (encoding.text_positions >= SKIP_TOKENS)).to(device).double()
        normed = (encoding.is_text & (encoding.positions > 0)).to(device)
        counts = late.sum(1)
        weights = (late / counts.clamp(min=1)[:, None])[:, None]

        def pool(
            residual: Tensor, weights: Tensor = weights, normed: Tensor = normed
        ) -> tuple[Tensor, Tensor]:
            h = residual.to(weights.device).double()
            return torch.bmm(weights, h)[:, 0], torch.where(normed, h.norm(dim=-1), 0).sum()

        means, norms = zip(*model.each_residual(encoding, range(model.n_layers), pool), strict=True)
        mean, norm_sum = torch.stack(means, 1).cpu().numpy(), torch.stack(norms).cpu().numpy()
        if not (np.isfinite(mean).all() and np.isfinite(norm_sum).all()):
            raise EmoexpError(
                "the model's activations are not numbers: if it runs in float16, use"
                " model.dtype=bfloat16 or float32"
            )
        kept = (counts > 0).cpu().numpy()
        yield Pooled(
            [i for i, keep in zip(batch, kept, strict=True) if keep],
            mean[kept],
            norm_sum,
            int(normed.sum()),
        )


def pool_texts(model: SubjectModel, texts: Sequence[str], side: str = "right") -> np.ndarray:
    """Returns the mean of each text that has tokens left after the skip, in the order of `texts`.

    Memory grows with the texts.

    Returns:
        (text, layer, d_model), float64.
    """
    means = {
        i: mean
        for batch in pool_batches(model, texts, side)
        for i, mean in zip(batch.kept, batch.means, strict=True)
    }
    if not means:
        return np.zeros((0, model.n_layers, model.d_model))
    return np.stack([means[i] for i in sorted(means)])


def pool_stories(model: SubjectModel, texts: Sequence[str]) -> Row:
    """Computes the means and norms of an emotion's stories, streamed.

    Peak memory is one batch and the sums, however many stories there are.

    Returns:
        mean (layer, d_model), equal weight per story; n and n_short (); groups (group, layer,
        d_model) in float32, zeros where group_n (group,) is 0; norm_sum (layer,) and norm_count ().
        With n = 0, mean and groups are zeros.
    """
    n_groups = min(GROUPS, len(texts))
    sums = np.zeros((n_groups, model.n_layers, model.d_model))
    counts = np.zeros(n_groups, dtype=np.int64)
    norm_sum, norm_count = np.zeros(model.n_layers), 0
    for batch in pool_batches(model, texts):
        for i, mean in zip(batch.kept, batch.means, strict=True):
            sums[i % n_groups] += mean
            counts[i % n_groups] += 1
        norm_sum += batch.norm_sum
        norm_count += batch.norm_count
    n = int(counts.sum())
    return {
        "mean": sums.sum(0) / max(n, 1),
        "n": np.array(n),
        "n_short": np.array(len(texts) - n),
        "norm_sum": norm_sum,
        "norm_count": np.array(norm_count),
        "groups": (sums / np.maximum(counts, 1)[:, None, None]).astype(np.float32),
        "group_n": counts,
    }


def extract(
    model: SubjectModel,
    corpus: Corpus,
    emotions: Sequence[str],
    artifacts: Artifacts,
    stories_per_emotion: int | None,
) -> StoryMeans:
    """Returns the means of `emotions` and of the neutral texts, from the store or computed.

    Each emotion is one row of the artifact, so a killed run resumes at the emotion it had reached.

    Raises:
        EmoexpError: an emotion has no stories, all of its stories are shorter than the skip, or
            fewer than two neutral texts are longer.
    """
    _check_has_stories(corpus, emotions)
    identity = {
        "version": VERSION,
        "model": model.identity,
        "corpus": corpus.sha256,
        "skip": SKIP_TOKENS,
        "stories": stories_per_emotion,
    }

    def emotion_row(emotion: str) -> Row:
        return _emotion_row(model, corpus, emotion, stories_per_emotion)

    title = "stories, all layers"
    rows = artifacts.rows("stories", identity, emotions, emotion_row, title, names=SUMMED)
    neutral = _neutral_means(model, corpus, artifacts, identity)
    norm_sum = sum((r["norm_sum"] for r in rows), np.zeros(model.n_layers))
    return StoryMeans(
        emotions=tuple(emotions),
        by_emotion=np.stack([r["mean"] for r in rows]),
        neutral=neutral,
        residual_norm=norm_sum / sum(int(r["norm_count"]) for r in rows),
        n_stories=np.array([int(r["n"]) for r in rows]),
        n_short=sum(int(r["n_short"]) for r in rows),
        identity=identity,
    )


def _check_has_stories(corpus: Corpus, emotions: Sequence[str]) -> None:
    """Raises EmoexpError if the corpus has no stories of an emotion."""
    if lacking := [e for e in emotions if e not in corpus.by_emotion]:
        raise EmoexpError(
            f"the corpus {corpus.name!r} has no stories of {', '.join(map(repr, lacking))}: add"
            " some, or choose among its emotions (emotions=corpus, or emotions.names=[...])"
        )


def _emotion_row(model: SubjectModel, corpus: Corpus, emotion: str, limit: int | None) -> Row:
    """`pool_stories` of an emotion's first `limit` stories (None: all).

    Raises:
        EmoexpError: no story has a token left after the skip.
    """
    texts = [story.text for story in corpus.by_emotion[emotion]]
    row = pool_stories(model, texts[:limit])
    if not row["n"]:
        raise EmoexpError(
            f"all {row['n_short']} stories of {emotion!r} have {SKIP_TOKENS} tokens or fewer:"
            " nothing is left after the skip"
        )
    return row


def _neutral_means(
    model: SubjectModel, corpus: Corpus, artifacts: Artifacts, identity: dict[str, Any]
) -> np.ndarray:
    """Means of the neutral texts, one row for each chunk of texts; (text, layer, d_model).

    Raises:
        EmoexpError: fewer than two of them have a token after the skip.
    """

    def chunk_row(label: str) -> Row:
        start = int(label) * NEUTRAL_CHUNK
        return {"means": pool_texts(model, corpus.neutral[start : start + NEUTRAL_CHUNK])}

    chunks = [f"{i:04d}" for i in range(-(-len(corpus.neutral) // NEUTRAL_CHUNK))]
    rows = artifacts.rows("neutral", identity, chunks, chunk_row, "neutral texts")
    neutral = np.concatenate([row["means"] for row in rows])
    if len(neutral) < 2:
        raise EmoexpError(
            f"the corpus {corpus.name!r} has {len(neutral)} neutral text(s) longer than"
            f" {SKIP_TOKENS} tokens: at least 2 are needed"
        )
    return neutral


def load_groups(means: StoryMeans, artifacts: Artifacts, layer: int) -> StoryGroups:
    """Reads the groups of stories of `means`, which `extract` has stored in `artifacts`.

    It reads one layer of each row and nothing else.
    """
    paths = [artifacts.path("stories", means.identity, emotion) for emotion in means.emotions]
    counts = np.zeros((len(paths), GROUPS), dtype=np.int64)
    groups = np.zeros((len(paths), GROUPS, means.by_emotion.shape[2]), dtype=np.float32)
    for e, path in enumerate(paths):
        group_n = read_tensors(path, ["group_n"])[0]["group_n"]
        counts[e, : len(group_n)] = group_n
        groups[e, : len(group_n)] = read_layer(path, "groups", layer)
    return StoryGroups(means.emotions, groups, counts, layer)
