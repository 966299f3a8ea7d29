"""Texts continued under steering, read again without it: what each of their tokens says about each
probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoexp.config import ReplySpan
from emoexp.models.prompts import Prompt, ask, reply_mask
from emoexp.models.subject import Generated, Steering, SubjectModel
from emoexp.steering.continuations import batches, continued
from emoexp.steering.degeneration import token_surprise
from emoexp.stimuli import Opening
from emoexp.store.artifacts import Row


@dataclass(frozen=True)
class TextSampling:
    """How texts are continued."""

    max_new_tokens: int
    temperature: float
    top_p: float
    steered: ReplySpan


@dataclass(frozen=True)
class Texts:
    """Continuations by one direction at several strengths, of the same trials each.

    Attributes:
        ids: new tokens, -1 after the end; (strength, trial, token).
        surprise: nats under the unsteered model, NaN after the end; (strength, trial, token).
        cosines: of the residual stream (unsteered, over prompt and text) with each probe, NaN after
            the end; (strength, trial, token, probe).
        ended: by itself, and not at the limit; (strength, trial).
    """

    ids: np.ndarray
    surprise: np.ndarray
    cosines: np.ndarray
    ended: np.ndarray

    @classmethod
    def of(cls, row: Row) -> Texts:
        return cls(row["ids"], row["surprise"], row["cosines"], row["ended"].astype(bool))

    def tokens(self, strength: int, trial: int) -> list[int]:
        ids = self.ids[strength, trial]
        return [int(token) for token in ids[ids >= 0]]


def opened(opening: Opening, model: SubjectModel) -> Prompt:
    """An opening as the model reads it; a text to be continued is itself the turn."""
    if opening.question is None:
        return Prompt(opening.answer, {"turn": ((0, len(opening.answer)),)})
    return ask(Prompt(opening.question), model.config.format, model.tokenizer, opening.answer)


def write(
    model: SubjectModel,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    layer: int,
    added: np.ndarray,
    probes: np.ndarray,
    sampling: TextSampling,
) -> Row:
    """Continues every prompt with each of `added` at `layer` in its turn; with the same seed,
    whatever is added.

    Args:
        prompts: one for each trial, and so are `seeds`.
        added: already scaled, zeros for unsteered; (strength, d_model).
        probes: unit norm; (probe, d_model).

    Returns:
        `Texts` as an artifact's row.
    """
    n, k = len(prompts), len(added)
    flat, vectors = (
        list(prompts) * k,
        torch.as_tensor(added, dtype=torch.float32).repeat_interleave(n, 0),
    )
    width = model.encode(prompts).ids.shape[1] + sampling.max_new_tokens
    shape, found = (k * n, sampling.max_new_tokens), dict[str, np.ndarray]()
    found["ids"], found["ended"] = (
        np.full(shape, -1, dtype=np.int32),
        np.zeros(k * n, dtype=np.int8),
    )
    found["surprise"], found["cosines"] = (
        np.full(shape, np.nan, dtype=np.float32),
        np.full((*shape, len(probes)), np.nan, dtype=np.float32),
    )
    for part in batches(k * n, width, model.config.batch_tokens):
        some = [flat[i] for i in part]
        encoding = model.encode(some)
        steering = (
            Steering({layer: vectors[part]}, reply_mask(some, sampling.steered, encoding))
            if bool(vectors[part].any())
            else None
        )
        said = model.generate(
            encoding,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seeds=[seeds[i % n] for i in part],
            steering=steering,
        )
        for i, ids, ended, surprise, cosines in zip(
            part,
            said.ids,
            said.ended,
            token_surprise(model, some, said),
            project(model, some, said, layer, probes),
            strict=True,
        ):
            found["ids"][i, : len(ids)], found["ended"][i] = ids, ended
            found["surprise"][i, : len(ids)], found["cosines"][i, : len(ids)] = surprise, cosines
    return {name: array.reshape(k, n, *array.shape[1:]) for name, array in found.items()}


def project(
    model: SubjectModel,
    prompts: Sequence[Prompt],
    replies: Generated,
    layer: int,
    probes: np.ndarray,
) -> list[np.ndarray]:
    """Cosine of the unsteered residual at each token of each reply with each probe; one array
    (token, probe) per reply."""
    whole = continued(model, prompts, replies.ids)
    directions = torch.as_tensor(probes, dtype=torch.float32)
    residuals = model.residuals(whole.encoding, [layer])[0].cpu()
    cosines = (residuals / residuals.norm(dim=-1, keepdim=True)) @ directions.T
    return [row[reply].numpy() for row, reply in zip(cosines, whole.reply, strict=True)]


def drifted(texts: Texts, unsteered: Texts) -> np.ndarray:
    """Cosines of the texts minus those of the unsteered ones of the same trial at the same token,
    NaN where either has ended; as `cosines`."""
    return np.asarray(texts.cosines.astype(np.float64) - unsteered.cosines)


def mean_tokens(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Mean over the tokens chosen; (trial, token, probe), (trial, token) -> (trial, probe), NaN for
    a trial without one."""
    kept = np.where(tokens[..., None] & np.isfinite(values), values, 0.0)
    counts = (tokens[..., None] & np.isfinite(values)).sum(1)
    return np.asarray(
        np.divide(kept.sum(1), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    )


def last_quarter(values: np.ndarray) -> np.ndarray:
    """The last quarter (rounded up) of the tokens that each trial has; (trial, token, probe) ->
    (trial, token)."""
    there = np.isfinite(values).all(-1)
    left = there[:, ::-1].cumsum(1)[:, ::-1]  # tokens from here to the end
    return np.asarray(there & (left <= -(-there.sum(1, keepdims=True) // 4)))


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each token and the `window` - 1 before it, as far as there are any; (trial, token) ->
    (trial, token), NaN where the token itself is."""
    there = np.isfinite(values)
    totals, counts = (np.cumsum(a, 1) for a in (np.where(there, values, 0.0), there.astype(float)))
    before = [np.pad(a, ((0, 0), (window, 0)))[:, : a.shape[1]] for a in (totals, counts)]
    return np.where(there, (totals - before[0]) / np.maximum(counts - before[1], 1), np.nan)


def confidence_band(
    values: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over trials at each token and the 95 % bootstrap band (trials resampled); three arrays
    (token,), NaN where fewer than two trials go on."""
    rng, there = np.random.default_rng(seed), np.isfinite(values)
    weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), draws).astype(
        float
    )
    counts = weights @ there
    with np.errstate(invalid="ignore", divide="ignore"):
        means = weights @ np.where(there, values, 0.0) / counts
        mean = np.where(there, values, 0.0).sum(0) / there.sum(0)
    enough = there.sum(0) >= 2
    edges = np.full((2, values.shape[1]), np.nan)
    edges[:, enough] = np.nanquantile(means[:, enough], [0.025, 0.975], axis=0)
    return np.where(enough, mean, np.nan), edges[0], edges[1]
