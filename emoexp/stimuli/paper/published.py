"""Published numbers, as a reference to compare with.

They are the paper's (Claude Sonnet 4.5) and the Llama-3.1-8B reproduction's.

Numbers, single words and cluster names only. "Digitised" numbers were read off the paper's figures
by colour or pixel; the error stands with each. Nothing here is a threshold: those are in
emoexp/stats/criteria.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from emoexp.places import PUBLISHED
from emoexp.stats.intervals import spearman

MODEL = "Claude Sonnet 4.5 (paper)"
"""The name of the paper's numbers in figures and tables."""
POSITIVE = ("Exuberant Joy", "Peaceful Contentment", "Compassionate Gratitude", "Playful Amusement")
MIXED = ("Competitive Pride",)
"""Clusters whose valence is positive, and those that mix (proud beside spiteful); the others are
negative."""


@cache
def _read(name: str) -> Any:
    """Reads a file of published numbers."""
    return json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Activities:
    """The paper's 64 activities, by their index in its table.

    All arrays are (activity,) but the two of the steered half.

    Attributes:
        category: of each activity; 8 of 8.
        elo_post, elo_base: Elo of the post-trained and of the base model; Table 9 and Table 17,
            exact to the point.
        blissful_post, hostile_post, blissful_base, hostile_base: mean probe value on the activity's
            tokens; same tables, three digits.
        steered: indices of the 32 that the paper steered, ascending. Digitised: discs of Figure 4
            matched to Table 9 by category colour and baseline Elo.
        steered_elo_blissful, steered_elo_hostile: their Elo when steered at strength 0.5; (32,),
            digitised. Mean change +212.3 and -299.7, published +212 and -303.
        ambiguous: pairs (in the half, left out) whose Elos are too near to tell which of the two
            was steered.
    """

    category: tuple[str, ...]
    elo_post: np.ndarray
    elo_base: np.ndarray
    blissful_post: np.ndarray
    hostile_post: np.ndarray
    blissful_base: np.ndarray
    hostile_base: np.ndarray
    steered: tuple[int, ...]
    steered_elo_blissful: np.ndarray
    steered_elo_hostile: np.ndarray
    ambiguous: tuple[tuple[int, int], ...]


@cache
def activities() -> Activities:
    """Reads the numbers of the activities."""
    raw = _read("activities")
    arrays = {
        name: np.array(raw[name], dtype=float)
        for name in raw
        if name not in ("category", "steered", "ambiguous")
    }
    return Activities(
        category=tuple(raw["category"]),
        steered=tuple(raw["steered"]),
        ambiguous=tuple((a, b) for a, b in raw["ambiguous"]),
        **arrays,
    )


def clusters() -> dict[str, tuple[str, ...]]:
    """Reads the ten clusters of the 171 emotions by name.

    They are k-means on the vectors (Table 12); exact.
    """
    return {name: tuple(words) for name, words in _read("clusters").items()}


def valence_signs() -> dict[str, float]:
    """Returns +1 or -1 for each emotion, by its cluster's valence: a sign, not a measurement.

    The emotions of `MIXED` clusters are left out.
    """
    return {
        word: 1.0 if name in POSITIVE else -1.0
        for name, words in clusters().items()
        if name not in MIXED
        for word in words
    }


@dataclass(frozen=True)
class Implicit:
    """The numbers of Figure 2, digitised (error about 0.003): cosine at the ":" after "Assistant".

    Attributes:
        emotions: of both axes.
        cosine: (scenario, probe). The figure has the probes as rows; this is transposed, as
            emoexp's own matrix is.
    """

    emotions: tuple[str, ...]
    cosine: np.ndarray

    def only(self, emotions: tuple[str, ...]) -> np.ndarray:
        """Returns the matrix of some of the emotions, in their order; (scenario, probe)."""
        index = [self.emotions.index(e) for e in emotions]
        return self.cosine[np.ix_(index, index)]


@cache
def implicit() -> Implicit:
    """Reads the numbers of Figure 2."""
    raw = _read("implicit")
    return Implicit(tuple(raw["emotions"]), np.array(raw["cosine"]))


@dataclass(frozen=True)
class NumericCurves:
    """The numbers of one panel of Figure 3, digitised (error about 0.001).

    Attributes:
        values: of the number in the prompt, ascending.
        curves: cosine by probe; (value,).
    """

    values: tuple[int, ...]
    curves: dict[str, np.ndarray]

    def centred(self) -> NumericCurves:
        """Returns the curves, each less its mean over the values."""
        return NumericCurves(self.values, {p: c - c.mean() for p, c in self.curves.items()})


@cache
def numeric() -> dict[str, NumericCurves]:
    """Reads the six panels of Figure 3 by key."""
    return {
        key: NumericCurves(tuple(t["values"]), {p: np.array(c) for p, c in t["curves"].items()})
        for key, t in _read("numeric").items()
    }


@cache
def numeric_trends() -> dict[str, dict[str, float]]:
    """Returns Spearman's correlation of value and digitised curve, by key and probe.

    Three are weak, so that their signs mean little: tylenol happy -.03, exam calm +.26, runway sad
    +.37 (of which the paper's text says that it falls).
    """
    return {
        key: {p: spearman(np.array(t.values), c) for p, c in t.curves.items()}
        for key, t in numeric().items()
    }


def numeric_signs() -> dict[str, dict[str, int]]:
    """Returns the sign of each trend, by key and probe: +1 or -1."""
    return {
        key: {p: 1 if rho > 0 else -1 for p, rho in trends.items()}
        for key, trends in numeric_trends().items()
    }


@dataclass(frozen=True)
class Correlations:
    """The numbers of Figure 4 (top right), digitised (error about 0.005).

    They are r of probe and Elo over the 64 activities.

    Attributes:
        sorted_r: of all 171 emotions, ascending; the figure names only those in `labelled`.
        labelled: of the 35 emotions that the figure names.
    """

    sorted_r: np.ndarray
    labelled: dict[str, float]


@cache
def correlations() -> Correlations:
    """Reads the numbers of Figure 4 (top right)."""
    raw = _read("correlations")
    return Correlations(np.array(raw["sorted_r"]), dict(raw["labelled"]))


@dataclass(frozen=True)
class SteeringScatter:
    """The numbers of Figure 4 (bottom right), digitised; (disc,).

    The error is about 0.005 in r and 3 points in delta Elo. There are 36 discs, though the paper
    says 35 emotions: one may be spurious. The figure does not say which emotion a disc is. Their r
    is .853 (published .85).
    """

    r: np.ndarray
    delta_elo: np.ndarray


@cache
def steering() -> SteeringScatter:
    """Reads the numbers of Figure 4 (bottom right)."""
    raw = _read("steering")
    return SteeringScatter(np.array(raw["r"]), np.array(raw["delta_elo"]))


def numbers() -> dict[str, Any]:
    """Reads the headline numbers of the paper's text, by topic (exact).

    For example, `numbers()["preference_steering"]["delta_elo_blissful"]` is 212.
    """
    return dict(_read("numbers"))


def llama8b() -> dict[str, Any]:
    """Reads the numbers of the Llama-3.1-8B-Instruct reproduction, exact as printed.

    It is J. Hong, "Reproducing Emotion Vector Part I"; layer 21. The numbers are V1 to V11 under
    `criteria` with the `sizes` they are out of, category means and range of Elo, range of r, delta
    Elo of the exemplars, and V10 and V11 of its bug (`both_activities`). Its Elo means are not 1500
    and its V8 is the lesser of 3 and 3.
    """
    return dict(_read("llama8b"))
