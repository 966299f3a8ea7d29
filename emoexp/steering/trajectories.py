"""Texts continued under steering, and the cosine of each of their tokens with each probe when the
texts are read again without steering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoexp.config import ReplySpan
from emoexp.models.prompts import Prompt, reply_mask
from emoexp.models.subject import Generated, Steering, SubjectModel
from emoexp.steering.continuations import batches, continued
from emoexp.steering.degeneration import token_surprise
from emoexp.stimuli import Opening
from emoexp.store.artifacts import Row


@dataclass(frozen=True)
class TextSampling:
    """Settings of how texts are continued."""

    max_new_tokens: int
    temperature: float
    top_p: float
    steered: ReplySpan


@dataclass(frozen=True)
class Texts:
    """Texts of the same trials at several strengths of one direction.

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
        """Reads the texts from an artifact's row, as `write` returns it."""
        return cls(row["ids"], row["surprise"], row["cosines"], row["ended"].astype(bool))

    def tokens(self, strength: int, trial: int) -> list[int]:
        """Returns the new tokens of one text."""
        ids = self.ids[strength, trial]
        return [int(token) for token in ids[ids >= 0]]


def opened(opening: Opening, model: SubjectModel) -> Prompt:
    """Returns the prompt of an opening; of a text without a question, the text is the turn."""
    if opening.question is None:
        return Prompt(opening.answer, {"turn": ((0, len(opening.answer)),)})
    return model.ask(Prompt(opening.question), opening.answer)


def write(
    model: SubjectModel,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    layer: int,
    added: np.ndarray,
    probes: np.ndarray,
    sampling: TextSampling,
) -> Row:
    """Continues every prompt with each of `added` at `layer`, and reads the texts again.

    A trial has the same seed whatever is added.

    Args:
        prompts: one for each trial, and so are `seeds`.
        added: already scaled, zeros for unsteered; (strength, d_model).
        probes: unit norm; (probe, d_model).

    Returns:
        `Texts` as an artifact's row.
    """
    n, k = len(prompts), len(added)
    repeated = list(prompts) * k
    vectors = torch.as_tensor(added, dtype=torch.float32).repeat_interleave(n, 0)
    encoding = model.encode(prompts)
    model.check_length(encoding, sampling.max_new_tokens)
    width = encoding.ids.shape[1] + sampling.max_new_tokens
    arrays = _empty_arrays(k * n, sampling.max_new_tokens, len(probes))
    for part in batches(k * n, width, model.config.batch_tokens):
        batch, batch_seeds = [repeated[i] for i in part], [seeds[i % n] for i in part]
        replies = _continue(model, batch, batch_seeds, layer, vectors[part], sampling)
        surprise = token_surprise(model, batch, replies)
        cosines = project(model, batch, replies, layer, probes)
        for r, i in enumerate(part):
            length = len(replies.ids[r])
            arrays["ids"][i, :length] = replies.ids[r]
            arrays["ended"][i] = replies.ended[r]
            arrays["surprise"][i, :length] = surprise[r]
            arrays["cosines"][i, :length] = cosines[r]
    return {name: array.reshape(k, n, *array.shape[1:]) for name, array in arrays.items()}


def _empty_arrays(n: int, n_tokens: int, n_probes: int) -> dict[str, np.ndarray]:
    """The arrays of `Texts` for `n` texts in a row, without a token yet."""
    return {
        "ids": np.full((n, n_tokens), -1, dtype=np.int32),
        "ended": np.zeros(n, dtype=np.int8),
        "surprise": np.full((n, n_tokens), np.nan, dtype=np.float32),
        "cosines": np.full((n, n_tokens, n_probes), np.nan, dtype=np.float32),
    }


def _continue(
    model: SubjectModel,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    layer: int,
    vectors: torch.Tensor,
    sampling: TextSampling,
) -> Generated:
    """Continuations of one batch, with a vector added for each row; (row, d_model)."""
    encoding = model.encode(prompts)
    steering = None
    if bool(vectors.any()):
        steering = Steering({layer: vectors}, reply_mask(prompts, sampling.steered, encoding))
    return model.generate(
        encoding,
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seeds=seeds,
        steering=steering,
    )


def project(
    model: SubjectModel,
    prompts: Sequence[Prompt],
    replies: Generated,
    layer: int,
    probes: np.ndarray,
) -> list[np.ndarray]:
    """Returns the cosine of the unsteered residual at each token of each reply with each probe.

    Returns:
        one array (token, probe) per reply.
    """
    texts = continued(model, prompts, replies.ids)
    directions = torch.as_tensor(probes, dtype=torch.float32)
    residuals = model.residuals(texts.encoding, [layer])[0].cpu()
    cosines = (residuals / residuals.norm(dim=-1, keepdim=True)) @ directions.T
    return [row[reply].numpy() for row, reply in zip(cosines, texts.reply, strict=True)]


def drifted(texts: Texts, unsteered: Texts) -> np.ndarray:
    """Returns the texts' cosines minus those of the same trial's unsteered text, token by token.

    Shape as `cosines`; NaN where either text has ended.
    """
    return np.asarray(texts.cosines.astype(np.float64) - unsteered.cosines)


def mean_tokens(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Returns the mean over the chosen tokens, NaN for a trial without one.

    Shapes: (trial, token, probe), (trial, token) -> (trial, probe).
    """
    chosen = tokens[..., None] & np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(chosen, values, 0.0).sum(1) / chosen.sum(1))


def last_quarter(values: np.ndarray) -> np.ndarray:
    """Tells which tokens are in the last quarter (rounded up) of those that a trial has.

    Shapes: (trial, token, probe) -> (trial, token), bool.
    """
    finite = np.isfinite(values).all(-1)
    left = finite[:, ::-1].cumsum(1)[:, ::-1]  # tokens from this one to the end
    return np.asarray(finite & (left <= -(-finite.sum(1, keepdims=True) // 4)))


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the mean of each token and the `window` - 1 before it, as far as there are any.

    Shapes: (trial, token) -> (trial, token), NaN where the token itself is NaN.
    """
    finite = np.isfinite(values)
    totals = np.cumsum(np.where(finite, values, 0.0), 1)
    counts = np.cumsum(finite.astype(float), 1)
    before = [np.pad(a, ((0, 0), (window, 0)))[:, : a.shape[1]] for a in (totals, counts)]
    return np.where(finite, (totals - before[0]) / np.maximum(counts - before[1], 1), np.nan)


def confidence_band(
    values: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean over trials at each token, and its 95 % bootstrap band (trials resampled).

    Args:
        values: (trial, token), NaN where a trial has ended.

    Returns:
        mean, lower and upper end; (token,) each, NaN where fewer than two trials have a token.
    """
    rng, n = np.random.default_rng(seed), len(values)
    finite = np.isfinite(values)
    weights = rng.multinomial(n, np.full(n, 1 / n), draws).astype(float)
    counts = weights @ finite
    with np.errstate(invalid="ignore", divide="ignore"):
        means = weights @ np.where(finite, values, 0.0) / counts
        mean = np.where(finite, values, 0.0).sum(0) / finite.sum(0)
    enough = finite.sum(0) >= 2
    edges = np.full((2, values.shape[1]), np.nan)
    edges[:, enough] = np.nanquantile(means[:, enough], [0.025, 0.975], axis=0)
    return np.where(enough, mean, np.nan), edges[0], edges[1]
