"""A text read once at all layers: the cosine of each token with each emotion vector, beside the
cosines of isotropic directions.

Cosines are raw, or centred: less the same direction's mean over the pack's scenarios, since the
residuals of a model share a large part that makes some probes high everywhere. Isotropic directions
are centred in the same way, so that each read-out has its own null band. A band is for one
direction: of k emotions that mean nothing, about k / 20 lie outside it by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from emoexp.errors import require
from emoexp.stats.own_probe import CENTRED, RAW
from emoexp.vectors.probes import cosine

Part = Literal["text", "turn"]
"""Where a text is summed up: the mean over its tokens, or the last token of the prompt (for a
user's turn, where the reply begins: the ":" of "Assistant:")."""
PARTS: tuple[Part, Part] = ("text", "turn")
READ_OUTS = (RAW, CENTRED)


@dataclass(frozen=True)
class Cosines:
    """Cosines of one prompt with a set of directions at each layer.

    Attributes:
        tokens: (layer, token, direction), float64.
        parts: the mean over the text, and the last token; (layer, direction) each.
    """

    tokens: np.ndarray
    parts: dict[Part, np.ndarray]


@dataclass(frozen=True)
class Tokens:
    """The tokens of one prompt.

    Attributes:
        shown: each token as text; a special token by its name.
        in_text: whether a token is of the typed text, and not of the turn's frame; (token,).
        first: whether it is the first of the sequence, or a special token; (token,).
        massive: whether its norm is massive at a layer; (layer, token).
    """

    shown: tuple[str, ...]
    in_text: np.ndarray
    first: np.ndarray
    massive: np.ndarray

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def counted(self) -> np.ndarray:
        """Whether a token counts in the text's mean; (layer, token), bool."""
        return self.in_text & ~self.first & ~self.massive


@dataclass(frozen=True)
class Reading:
    """One text, read at all layers.

    Attributes:
        text, as_turn: what was read, and whether as a user's turn.
        emotions: names, in the order of the last axis of `cosines`.
        cosines: with the emotion vectors of each layer.
        random_parts: the same summaries with isotropic directions; (layer, draw) each.
        bands: by read-out the central 95 % of isotropic directions over the counted tokens;
            (layer, 2).
        reference, random_reference: what centring subtracts, by part; (layer, direction) each. Of a
            text alone, the last token is one of its own, and "turn" is as "text".
    """

    text: str
    as_turn: bool
    emotions: tuple[str, ...]
    tokens: Tokens
    cosines: Cosines
    random_parts: dict[Part, np.ndarray]
    bands: dict[str, np.ndarray]
    reference: dict[Part, np.ndarray]
    random_reference: dict[Part, np.ndarray]

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.cosines.tokens)

    def at_tokens(self, layer: int, read_out: str = RAW) -> np.ndarray:
        """Returns the cosines of each token at a layer; (token, emotion).

        Centred, the last token has the mean of the scenarios' last tokens subtracted, as in
        `summary`, and every other token that of their texts.
        """
        raw = self.cosines.tokens[layer]
        if read_out == RAW:
            return raw
        centred = raw - self.reference["text"][layer]
        centred[-1] = raw[-1] - self.reference["turn"][layer]
        return centred

    def summary(self, part: Part = "text", read_out: str = RAW) -> np.ndarray:
        """Returns the cosines of a part at each layer; (layer, emotion)."""
        raw = self.cosines.parts[part]
        return raw if read_out == RAW else raw - self.reference[part]

    def random_summary(self, part: Part = "text", read_out: str = RAW) -> np.ndarray:
        """Returns the same cosines of isotropic directions; (layer, draw)."""
        raw = self.random_parts[part]
        return raw if read_out == RAW else raw - self.random_reference[part]

    def summary_band(self, part: Part = "text", read_out: str = RAW) -> np.ndarray:
        """Returns the null band of `summary`, the central 95 %; (layer, 2)."""
        return bands_of(self.random_summary(part, read_out), axis=1)

    def top(self, layer: int, n: int, part: Part = "text", read_out: str = RAW) -> list[str]:
        """Returns the `n` emotions with the highest cosine of a part at a layer."""
        return [self.emotions[i] for i in np.argsort(-self.summary(part, read_out)[layer])[:n]]

    def top_of_token(
        self, layer: int, token: int, n: int, read_out: str = RAW
    ) -> list[tuple[str, float]]:
        """Returns the `n` emotions with the highest cosine at a token, and those cosines."""
        cosines = self.at_tokens(layer, read_out)[token]
        return [(self.emotions[i], float(cosines[i])) for i in np.argsort(-cosines)[:n]]

    def token_table(self, layer: int, read_out: str = RAW) -> pd.DataFrame:
        """Returns a row for each token: its text, its marks, and its cosine with each emotion."""
        marks = {
            "token": self.tokens.shown,
            "in_text": self.tokens.in_text,
            "counted": self.tokens.counted[layer],
            "massive": self.tokens.massive[layer],
        }
        cosines = pd.DataFrame(self.at_tokens(layer, read_out), columns=list(self.emotions))
        return pd.concat([pd.DataFrame(marks), cosines], axis=1)

    def layer_table(self, part: Part = "text", read_out: str = RAW) -> pd.DataFrame:
        """Returns a row for each layer: the null band, and the cosine with each emotion."""
        band = self.summary_band(part, read_out)
        columns = {"layer": range(self.n_layers), "null_low": band[:, 0], "null_high": band[:, 1]}
        cosines = pd.DataFrame(self.summary(part, read_out), columns=list(self.emotions))
        return pd.concat([pd.DataFrame(columns), cosines], axis=1)


def bands_of(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Returns the central 95 % of all values, (2,); with `axis=1` that of each row, (row, 2)."""
    return np.quantile(values, [0.025, 0.975], axis=axis).T


def cosines_of(
    residuals: Sequence[np.ndarray], directions: Sequence[np.ndarray], counted: np.ndarray
) -> Cosines:
    """Projects the residuals of one prompt on the directions of each layer.

    Args:
        residuals: (token, d_model) of each layer.
        directions: unit vectors (direction, d_model) of each layer.
        counted: tokens in the mean; (layer, token), bool.
    """
    pairs = zip(residuals, directions, strict=True)
    tokens = np.stack([cosine(h.astype(np.float64), d) for h, d in pairs])
    text = np.stack([at[used].mean(0) for at, used in zip(tokens, counted, strict=True)])
    return Cosines(tokens, {"text": text, "turn": tokens[:, -1]})


def compare(
    a: Reading, b: Reading, layers: tuple[int, int], parts: tuple[Part, Part], read_out: str = RAW
) -> pd.DataFrame:
    """Returns a row for each emotion that both have: its cosine in `a` and in `b`, and their
    difference, b - a.

    The null of a difference is that of isotropic directions between the same two places; between
    two layers or two models these are drawn apart, as their emotion vectors are two directions.

    Args:
        layers: of `a` and of `b`, and so are `parts`.

    Returns:
        columns emotion, a, b, difference, null_low, null_high, beyond; sorted by the size of the
        difference.

    Raises:
        EmoexpError: they have no emotion in common.
    """
    names = [emotion for emotion in a.emotions if emotion in b.emotions]
    require(bool(names), "the two readings have no emotion in common: give emotions.names=[...]")
    sides = list(zip((a, b), layers, parts, strict=True))
    ours = [
        r.summary(part, read_out)[layer][[r.emotions.index(e) for e in names]]
        for r, layer, part in sides
    ]
    random = [r.random_summary(part, read_out)[layer] for r, layer, part in sides]
    low, high = bands_of(random[1] - random[0])
    difference = ours[1] - ours[0]
    table = pd.DataFrame(
        {
            "emotion": names,
            "a": ours[0],
            "b": ours[1],
            "difference": difference,
            "null_low": low,
            "null_high": high,
            "beyond": (difference < low) | (difference > high),
        }
    )
    order = np.argsort(-np.abs(difference), kind="stable")
    return table.iloc[order].reset_index(drop=True)
