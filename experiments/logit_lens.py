"""V1, V2: what the vectors say through the unembedding (paper, Table 1).

Each vector goes through the final norm's gain and the unembedding. V1 asks whether an emotion's own
word is among the 20 tokens that its vector promotes most; V2 whether opposite emotions promote
opposite tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.models.prompts import word_ids
from emoexp.stats.criteria import LENS_TOP, Measurement
from emoexp.stats.intervals import central, wilson
from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.study.study import Experiment, Study
from emoexp.vectors.vectors import isotropic_directions


@dataclass(kw_only=True)
class LogitLens(Experiment):
    """`top` is how many promoted tokens count; another one than V1's is another measurement."""

    top: int = LENS_TOP
    shown: ClassVar[tuple[str, ...]] = (OTHER_SETTINGS,)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise EmoexpError(f"experiment.top={self.top}: at least 1 token; V1's is {LENS_TOP}")

    def run(self, study: Study) -> Result:
        model, vectors, scale = study.model, study.vectors, study.config.scale
        rng = np.random.default_rng(study.config.seed)
        lens = model.unembed(vectors.directions)
        if self.top >= lens.shape[1]:
            raise EmoexpError(
                f"experiment.top={self.top}: the vocabulary has {lens.shape[1]} tokens, so every "
                f"word would count; V1's is {LENS_TOP}"
            )
        control_rng = study.control_rng()
        controls = isotropic_directions(scale.null_draws, model.d_model, control_rng)
        noise = model.unembed(controls)
        own = {e: word_ids(model.tokenizer, e) for e in vectors.names}
        ranks = np.array([rank_of(lens[i], own[e]) for i, e in enumerate(vectors.names)])
        hits = ranks < self.top
        noise_hits = among_top(noise, list(own.values()), self.top)
        null_v1 = noise_hits[
            rng.integers(0, len(noise), (scale.permutations, len(hits))), np.arange(len(hits))
        ].sum(1)

        n_hits = int(hits.sum())
        v1 = Measurement("V1", n_hits, len(hits), wilson(n_hits, len(hits)), central(null_v1))
        single = np.array([len(own[e]) == 1 for e in vectors.names])
        result = Result(
            metrics={
                "V1_single_token_words": float(single.sum()),
                "V1_median_rank_of_own_word": (
                    float(np.median(ranks[single])) if single.any() else float(lens.shape[1])
                ),
            },
            tables={"logit_lens": lens_table(lens, vectors.names, ranks, model.tokenizer)},
        )

        other = f"own word in top {self.top} of the lens" if self.top != LENS_TOP else ""
        result.judge(v1, other)
        pairs = [
            (a, b)
            for a, b in study.stimuli.opposite_pairs
            if a in vectors.names and b in vectors.names
        ]
        if len(pairs) < 2:
            result.notes.append(
                "not measured: V2, which needs at least 2 of the pack's opposite pairs;"
                f" emotions.names leaves {len(pairs)}"
            )
            return result
        raw, centred = (opposition(x, pairs, vectors.names) < 0 for x in (lens, centre(lens)))
        flat = centre(noise)
        chance = [
            (flat[a] @ flat[b]) < 0
            for a, b in control_rng.integers(0, len(flat), (scale.permutations, 2))
            if a != b
        ]
        null_v2 = rng.choice(chance, (scale.permutations, len(pairs))).sum(1)
        n_opposed = int(centred.sum())
        interval = wilson(n_opposed, len(pairs))
        result.judge(Measurement("V2", n_opposed, len(pairs), interval, central(null_v2)))
        result.metrics |= {"V2_raw": float(raw.sum()), "V2_centred": float(centred.sum())}
        return result


def rank_of(logits: np.ndarray, ids: list[int]) -> int:
    """How many other tokens lie above the word's own or level with it (NaN ranks last); a word of
    several tokens has no token of its own and ranks below all."""
    return int((~(logits < logits[ids[0]])).sum()) - 1 if len(ids) == 1 else len(logits)


def among_top(lens: np.ndarray, words: list[list[int]], top: int) -> np.ndarray:
    """Whether `rank_of` is below `top`, for each word in each row; (row, vocabulary) -> (row,
    word)."""
    never = np.full(len(lens), lens.shape[1] < top)
    if top >= lens.shape[1]:
        return np.stack([np.full(len(lens), len(ids) == 1) | never for ids in words], 1)
    # rank < top, ties last: the token lies above the value at rank `top`
    beyond = np.partition(lens, -top - 1, axis=1)[:, -top - 1]
    return np.stack([lens[:, ids[0]] > beyond if len(ids) == 1 else never for ids in words], 1)


def centre(lens: np.ndarray) -> np.ndarray:
    """Minus each row's mean over the vocabulary: logits mean the same up to a constant, dot
    products of them do not."""
    return np.asarray(lens - lens.mean(1, keepdims=True))


def opposition(
    lens: np.ndarray, pairs: list[tuple[str, str]], names: tuple[str, ...]
) -> np.ndarray:
    """Dot product in logit space of each pair; (pair,)."""
    return np.array([lens[names.index(a)] @ lens[names.index(b)] for a, b in pairs])


def lens_table(
    lens: np.ndarray, names: tuple[str, ...], ranks: np.ndarray, tokenizer: object
) -> pd.DataFrame:
    """Five tokens up and five down by emotion."""
    rows = []
    for i, name in enumerate(names):
        order = np.argsort(lens[i])
        up, down = (
            [tokenizer.decode([t]).strip() for t in ids] for ids in (order[::-1][:5], order[:5])
        )  # type: ignore[attr-defined]
        rows.append(
            {
                "emotion": name,
                "rank_of_own_word": int(ranks[i]),
                "up": " ".join(up),
                "down": " ".join(down),
            }
        )
    return pd.DataFrame(rows)
