"""Residual means over stories and neutral texts: one pass, all layers, float64 sums (paper, "Extracting emotion vectors").

A story's mean is over its tokens from the 50th on (positions within the text; BOS is not counted); an emotion's is over its
stories with equal weight. A story with no token left is dropped and counted, never averaged in as zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from emoexp.artifacts import Artifacts, Row
from emoexp.errors import EmoexpError
from emoexp.model import SubjectModel
from emoexp.prompts import Prompt
from emoexp.stories.corpus import Corpus

SKIP_TOKENS = 50
NEUTRAL_CHUNK = 64
VERSION = 2


@dataclass(frozen=True)
class StoryMeans:
    """All-layer means of one corpus.

    Attributes:
        emotions: names, in the order of `by_emotion`.
        by_emotion: (emotion, layer, d_model), float64.
        neutral: (text, layer, d_model), float64.
        residual_norm: mean norm of the residual stream over the stories' tokens without BOS; (layer,).
        n_stories: stories that count, by emotion.
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


def length_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices sorted by length and cut so that no padded batch exceeds `batch_tokens` (one text at the least)."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def pool_texts(model: SubjectModel, texts: Sequence[str], side: str = "right") -> Row:
    """Per text and layer the float64 mean over tokens 50 onward, and the norms over all tokens of the text.

    Returns:
        means (text, layer, d_model) of the texts that have tokens left, kept (text,) bool, norm_sum (layer,), norm_count ().
    """
    layers = list(range(model.n_layers))
    prompts = [Prompt(text) for text in texts]
    lengths = [len(model.tokenizer(p.text)["input_ids"]) for p in prompts]
    means = np.zeros((len(texts), model.n_layers, model.d_model))
    kept = np.zeros(len(texts), dtype=bool)
    norm_sum, norm_count = np.zeros(model.n_layers), 0
    for batch in length_batches(lengths, model.config.batch_tokens):
        encoding = model.encode([prompts[i] for i in batch], side=side)
        residuals = model.residuals(encoding, layers)
        text = encoding.is_text.to(residuals.device)
        late = text & (encoding.text_positions >= SKIP_TOKENS).to(residuals.device)
        counts = late.sum(1).double()
        kept[batch] = (counts > 0).cpu().numpy()
        for layer in layers:
            h = residuals[layer].double()
            sums = torch.einsum("rtd,rt->rd", h, late.double())
            means[batch, layer] = (sums / counts.clamp(min=1)[:, None]).cpu().numpy()
            norm_sum[layer] += float(h.norm(dim=-1)[text].sum())
        norm_count += int(encoding.is_text.sum())
    return {"means": means[kept], "kept": kept, "norm_sum": norm_sum, "norm_count": np.array(norm_count)}


def extract(model: SubjectModel, corpus: Corpus, emotions: Sequence[str], artifacts: Artifacts, stories_per_emotion: int | None) -> StoryMeans:
    """The means of `emotions` and of the neutral texts, from the store or computed; an emotion is the unit of resume.

    Raises:
        EmoexpError: an emotion has no stories, or all of its stories are shorter than the skip.
    """
    if lacking := [e for e in emotions if e not in corpus.by_emotion]:
        raise EmoexpError(
            f"the corpus {corpus.name!r} has no stories of {', '.join(map(repr, lacking))}: add some, or choose among its emotions "
            "(emotions=corpus, or emotions.names=[...])"
        )
    identity = {
        "version": VERSION, "model": model.identity, "corpus": corpus.sha256, "skip": SKIP_TOKENS, "stories": stories_per_emotion,
    }  # fmt: skip

    def emotion_row(emotion: str) -> Row:
        pooled = pool_texts(model, [s.text for s in corpus.by_emotion[emotion]][:stories_per_emotion])
        if not pooled["kept"].any():
            raise EmoexpError(f"all {len(pooled['kept'])} stories of {emotion!r} have {SKIP_TOKENS} tokens or fewer: nothing is left after the skip")
        return {
            "mean": pooled["means"].mean(0), "n": np.array(int(pooled["kept"].sum())), "n_short": np.array(int((~pooled["kept"]).sum())),
            "norm_sum": pooled["norm_sum"], "norm_count": pooled["norm_count"],
        }  # fmt: skip

    def neutral_row(label: str) -> Row:
        start = int(label) * NEUTRAL_CHUNK
        return {"means": pool_texts(model, corpus.neutral[start : start + NEUTRAL_CHUNK])["means"]}

    rows = artifacts.rows("stories", identity, emotions, emotion_row, "stories, all layers")
    chunks = [f"{i:04d}" for i in range(-(-len(corpus.neutral) // NEUTRAL_CHUNK))]
    neutral = np.concatenate([r["means"] for r in artifacts.rows("neutral", identity, chunks, neutral_row, "neutral texts")])
    if len(neutral) < 2:
        raise EmoexpError(f"the corpus {corpus.name!r} has {len(neutral)} neutral text(s) longer than {SKIP_TOKENS} tokens: at least 2 are needed")
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
