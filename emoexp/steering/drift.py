"""Drift: the change of every probe on steered texts, read again without steering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, UNSTEERED
from emoexp.steering.degeneration import Degeneration, find_degeneration, repetition
from emoexp.steering.trajectories import (
    Texts,
    confidence_band,
    drifted,
    last_quarter,
    mean_tokens,
    smoothed,
)

SEED_STEP = 1_000_003


def text_seed(seed: int, trial: int) -> int:
    """Returns the seed of a trial's sampling, the same for every direction and strength."""
    return SEED_STEP * seed + trial


@dataclass(frozen=True)
class DriftTexts:
    """The texts of every direction at every strength, and the unsteered texts of the same trials.

    Attributes:
        prompts: of each trial.
        probes: names of the probes that the texts are read with.
        names: of the directions, by the label of their set.
        strengths: in multiples of the mean residual norm.
        unsteered: texts without steering.
        texts: by direction.
        limit: surprise (nats) above which a window is degenerate.
    """

    prompts: list[str]
    probes: tuple[str, ...]
    names: dict[str, list[str]]
    strengths: list[float]
    unsteered: Texts
    texts: dict[str, Texts]
    limit: float

    def degeneration(self, texts: Texts, strength: int, trial: int) -> Degeneration | None:
        """Returns where a text degenerates, and why; None if it does not."""
        ids = texts.tokens(strength, trial)
        surprise = texts.surprise[strength, trial, : len(ids)].astype(np.float64)
        return find_degeneration(ids, surprise, self.limit)

    def maps(self, *, unbroken: bool = False) -> pd.DataFrame:
        """Returns the mean drift over trials of each direction on each probe.

        Args:
            unbroken: over all of a text that has not degenerated, in place of its last quarter.

        Returns:
            columns set, direction, strength and one for each probe; NaN where no text has a token.

        Raises:
            EmoexpError: no text of a direction has a token (not with `unbroken`).
        """
        parts = []
        for label, names in self.names.items():
            for s, strength in enumerate(self.strengths):
                table = pd.DataFrame(self._map(label, s, unbroken), columns=list(self.probes))
                parts.append(table.assign(set=label, direction=names, strength=strength))
        columns = ["set", "direction", "strength", *self.probes]
        return pd.concat(parts, ignore_index=True)[columns]

    def _map(self, label: str, strength: int, unbroken: bool) -> np.ndarray:
        """Mean drift of each direction of a set; (direction, probe)."""
        lines = []
        for name in self.names[label]:
            texts = self.texts[name]
            change = drifted(texts, self.unsteered)[strength]
            width, tokens = change.shape[1], last_quarter(change)
            if unbroken:
                ends = [self.degeneration(texts, strength, k) for k in range(len(change))]
                limits = np.array([end.token if end else width for end in ends])
                tokens = np.arange(width)[None] < limits[:, None]
            means = mean_tokens(change, tokens)
            finite = np.isfinite(means).all(1)
            if not finite.any() and not unbroken:
                raise EmoexpError(
                    f"experiment=drift: at strength {self.strengths[strength]:g} of {name!r} no "
                    "text has a token; leave the strength out"
                )
            empty = np.full(means.shape[1], np.nan)
            lines.append(means[finite].mean(0) if finite.any() else empty)
        return np.stack(lines)

    def curves(self, smooth: int, draws: int, seed: int) -> pd.DataFrame:
        """Returns drift by token on the own probe, with its bootstrap band over trials.

        Args:
            smooth: how many tokens each point is the mean of: its own and those before.

        Returns:
            columns emotion, strength, token, n, own, low, high, others (mean of the other probes),
            null_low and null_high (the isotropic directions on the own probe).
        """
        parts = []
        for s, strength in enumerate(self.strengths):
            changes = {
                name: drifted(texts, self.unsteered)[s] for name, texts in self.texts.items()
            }
            for name in self.names[EMOTIONS]:
                curve = self._curve(name, changes, smooth, draws, seed)
                parts.append(pd.DataFrame({"emotion": name, "strength": strength, **curve}))
        return pd.concat(parts, ignore_index=True)

    def _curve(
        self, name: str, changes: dict[str, np.ndarray], smooth: int, draws: int, seed: int
    ) -> dict[str, np.ndarray]:
        """One emotion's columns of `curves`; (token,) each.

        Args:
            changes: drift by direction; (trial, token, probe).
        """
        k, change = self.probes.index(name), changes[name]
        others = smoothed(np.delete(change, k, -1).mean(-1), smooth)
        mean, low, high = confidence_band(smoothed(change[..., k], smooth), draws, seed)
        random = [smoothed(changes[iso][..., k], smooth) for iso in self.names[ISOTROPIC]]
        random_means = np.stack([confidence_band(values, 1, seed)[0] for values in random])
        null = np.quantile(random_means, [0.025, 0.975], axis=0)  # NaN where one of them is
        null = np.where(np.isfinite(mean), null, np.nan)
        return {
            "token": np.arange(len(mean)),
            "n": np.isfinite(change[..., k]).sum(0),
            "own": mean,
            "low": low,
            "high": high,
            "others": confidence_band(others, 1, seed)[0],
            "null_low": null[0],
            "null_high": null[1],
        }

    def transcripts(self, decode: Callable[..., str], samples: int, seed: int) -> pd.DataFrame:
        """Returns every text, one per row.

        `degenerates_at` is a token (-1: it does not degenerate), at which `marked` has a bar.

        Args:
            decode: the tokenizer's `decode`.
            samples: trials of each opening.
        """
        groups: list[tuple[str, str, Texts, Sequence[float]]]
        groups = [(UNSTEERED, UNSTEERED, self.unsteered, [0.0])]
        groups += [
            (label, name, self.texts[name], self.strengths)
            for label, names in self.names.items()
            for name in names
        ]
        rows = []
        for label, name, texts, strengths in groups:
            for s, strength in enumerate(strengths):
                for k, prompt in enumerate(self.prompts):
                    origin = {"set": label, "direction": name, "strength": strength}
                    origin |= {"opening": k // samples, "sample": k % samples}
                    origin |= {"seed": text_seed(seed, k), "prompt": prompt}
                    rows.append(origin | self._transcript(texts, s, k, decode))
        return pd.DataFrame(rows)

    def _transcript(
        self, texts: Texts, strength: int, trial: int, decode: Callable[..., str]
    ) -> dict[str, object]:
        """The columns of one text that do not depend on its origin."""
        ids, end = texts.tokens(strength, trial), self.degeneration(texts, strength, trial)
        at = end.token if end else len(ids)
        before, after = (decode(part, skip_special_tokens=True) for part in (ids[:at], ids[at:]))
        surprise = texts.surprise[strength, trial, : len(ids)].astype(np.float64)
        return {
            "tokens": len(ids),
            "ended": bool(texts.ended[strength, trial]),
            "repetition": repetition(ids),
            "perplexity": np.exp(surprise.mean()) if ids else np.nan,
            "degenerates_at": end.token if end else -1,
            "why": end.why if end else "",
            "marked": before + (f" | {after}" if end else ""),
        }
