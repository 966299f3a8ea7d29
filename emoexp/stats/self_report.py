"""Statistics of self-report: how steering changes the probability of each emotion word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.stats.intervals import Interval, bootstrap, central, pearson
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES, UNSTEERED
from emoexp.stats.matched_pairs import Estimate, cells, mean_of, random_pairs

SELF, OTHER, DIFFERENCE = "self", "other", "difference"
STATISTICS = ("value", "rank", "selectivity", "first", "likely")
"""Of an emotion's own word: change of log-probability (nats), rank of that change among the words,
change minus that of the other words, share that rises most, share that is likeliest."""
LEAST_KNOWN, LEAST_OF_SIGN = 5, 2
"""Least numbers of emotions of known valence, and of either sign, for relations with valence."""


@dataclass(frozen=True)
class Report:
    """Log-probabilities (nats) of each word after the openings, unsteered and steered.

    Attributes:
        words: the emotions' words.
        names: of the steered directions, by the label of their set.
        unsteered: by who is asked about (SELF, OTHER); (word,).
        steered: by set, then by who is asked about; (direction, word).
    """

    words: tuple[str, ...]
    names: dict[str, list[str]]
    unsteered: dict[str, np.ndarray]
    steered: dict[str, dict[str, np.ndarray]]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Report:
        """Reads a table with columns set, direction, asked and one for each word."""
        words = [name for name in table.columns if name not in ("set", "direction", "asked")]

        def values(label: str, who: str) -> np.ndarray:
            rows = table[(table["set"] == label) & (table["asked"] == who)]
            return np.ascontiguousarray(rows[words].to_numpy(dtype=np.float64))

        labels = [label for label in dict.fromkeys(table["set"]) if label != UNSTEERED]
        once = table[table["asked"] == SELF]
        return cls(
            tuple(words),
            {label: list(once.loc[once["set"] == label, "direction"]) for label in labels},
            {who: values(UNSTEERED, who)[0] for who in (SELF, OTHER)},
            {label: {who: values(label, who) for who in (SELF, OTHER)} for label in labels},
        )

    def change(self, label: str, who: str) -> np.ndarray:
        """Returns steered minus unsteered; (direction, word)."""
        return self.steered[label][who] - self.unsteered[who]

    def changes(self, who: str) -> pd.DataFrame:
        """Returns the changes of all sets as one table: set, direction, and a column per word."""
        parts = [
            pd.DataFrame(self.change(label, who), columns=list(self.words)).assign(
                set=label, direction=names
            )
            for label, names in self.names.items()
        ]
        return pd.concat(parts, ignore_index=True)[["set", "direction", *self.words]]


def estimates(report: Report, draws: int, seed: int) -> dict[tuple[str, str, str], Estimate]:
    """Estimates each statistic of the own words, and its null from random directions.

    Returns:
        by set, who is asked about, and statistic. For random directions the estimate is of a
        random direction paired with a random word.
    """
    values: dict[tuple[str, str, str], np.ndarray] = {}
    for label in report.names:
        for who in (SELF, OTHER):
            changed = cells(report.change(label, who))
            values |= {(label, who, name): part for name, part in changed._asdict().items()}
            values[label, who, "first"] = changed.rank == 1
            values[label, who, "likely"] = cells(report.steered[label][who]).rank == 1
        both = report.change(label, SELF) - report.change(label, OTHER)
        values[label, DIFFERENCE, "value"] = both
    own = np.arange(len(report.words))

    def estimate(label: str, part: np.ndarray) -> Estimate:
        if label == EMOTIONS:
            return mean_of(part[own, own].astype(float), draws, seed)
        return random_pairs(part.astype(float), len(own), draws, seed)

    return {key: estimate(key[0], part) for key, part in values.items()}


def statistics_table(found: Mapping[tuple[str, str, str], Estimate]) -> pd.DataFrame:
    """Returns `estimates` as a table: a row per statistic, the controls beside the emotions."""
    keys = [(who, name) for who in (SELF, OTHER) for name in STATISTICS]
    rows = []
    for who, name in [*keys, (DIFFERENCE, "value")]:
        emotions, isotropic, mixtures = (
            found[label, who, name] for label in (EMOTIONS, ISOTROPIC, MIXTURES)
        )
        rows.append(
            {
                "asked": who,
                "statistic": name,
                "n": emotions.n,
                **emotions.columns("value", "ci"),
                **isotropic.columns("isotropic"),
                **mixtures.columns("mixtures"),
                "n_null": isotropic.n,
            }
        )
    return pd.DataFrame(rows)


def own_words(report: Report) -> pd.DataFrame:
    """Returns how steering changes each emotion's own word; one row per emotion.

    Columns are value, rank and selectivity by who is asked about, and the unsteered
    log-probability.
    """
    own = np.arange(len(report.words))
    table = pd.DataFrame({"emotion": report.words})
    for who in (SELF, OTHER):
        of_own = cells(report.change(EMOTIONS, who)).at(own)
        table = table.assign(**{f"{name}_{who}": part for name, part in of_own._asdict().items()})
    return table.assign(**{f"log_prob_{who}": report.unsteered[who] for who in (SELF, OTHER)})


def centred_ranks(report: Report) -> dict[str, float]:
    """Returns the mean rank of the own word, by who is asked about, with changes centred.

    The isotropic directions' mean change of each word is subtracted first.
    """
    own = np.arange(len(report.words))
    random_means = {who: report.change(ISOTROPIC, who).mean(0) for who in (SELF, OTHER)}
    return {
        who: float(cells(report.change(EMOTIONS, who) - mean).at(own).rank.mean())
        for who, mean in random_means.items()
    }


def relations(
    report: Report, valence: np.ndarray, permutations: int, draws: int, seed: int
) -> pd.DataFrame:
    """Correlates the self map with the other map, and the words' changes with valence.

    Args:
        valence: of each emotion, NaN where it is not known.

    Returns:
        columns r (what is correlated), n, value, ci_low and ci_high (bootstrap over emotions),
        null_low and null_high, and null (which).
    """
    of_random = _maps_correlation(report, ISOTROPIC)
    null = bootstrap(len(report.names[ISOTROPIC]), of_random, draws, seed)
    of_emotions, n = _maps_correlation(report, EMOTIONS), len(report.words)
    names = {"r": "self map and other map, all cells", "null": "isotropic directions' maps"}
    lines = [_relation(names, n, of_emotions, null, draws, seed)]
    known = np.isfinite(valence)
    fewest_of_sign = min((valence[known] > 0).sum(), (valence[known] < 0).sum())
    if known.sum() >= LEAST_KNOWN and fewest_of_sign >= LEAST_OF_SIGN:
        lines += _valence_relations(report, valence, permutations, draws, seed)
    return pd.DataFrame(lines)


def _maps_correlation(report: Report, label: str) -> Callable[[np.ndarray], float]:
    """A function of row indices: r of the self map with the other map of a set, over those rows."""
    self_map, other_map = (report.change(label, who) for who in (SELF, OTHER))
    return lambda i: pearson(self_map[i].ravel(), other_map[i].ravel())


def _relation(
    names: dict[str, str],
    n: int,
    statistic: Callable[[np.ndarray], float],
    null: Interval,
    draws: int,
    seed: int,
) -> dict[str, object]:
    """One line of `relations`.

    Args:
        names: what is correlated ("r"), and the null ("null").
        statistic: r over the emotions at given indices, of 0 to n - 1.
    """
    return {
        "r": names["r"],
        "n": n,
        "value": statistic(np.arange(n)),
        **bootstrap(n, statistic, draws, seed).columns("ci"),
        **null.columns("null"),
        "null": names["null"],
    }


def _valence_relations(
    report: Report, valence: np.ndarray, permutations: int, draws: int, seed: int
) -> list[dict[str, object]]:
    """The lines of `relations` that are about valence; their null is permuted valence."""
    rng = np.random.default_rng(seed)
    known = np.isfinite(valence)
    valence = valence[known]
    lines = []
    for who in (SELF, OTHER):
        change = report.change(EMOTIONS, who)[np.ix_(known, known)]
        measured = {
            f"valence and change of the own word, {who}": np.diag(change),
            f"valence and lift of positive over negative words, {who}": lift(change, valence),
        }
        for name, y in measured.items():
            orders = [rng.permutation(valence) for _ in range(permutations)]
            null = central(np.array([pearson(x, y) for x in orders]))

            def correlation(i: np.ndarray, y: np.ndarray = y) -> float:
                return pearson(valence[i], y[i])

            names = {"r": name, "null": "permuted valence"}
            lines.append(_relation(names, len(y), correlation, null, draws, seed))
    return lines


def lift(change: np.ndarray, valence: np.ndarray) -> np.ndarray:
    """Returns the mean change of the positive words minus that of the negative ones.

    The own word is left out; (steered, word) -> (steered,).
    """
    off = np.where(np.eye(len(change), dtype=bool), np.nan, change)
    return np.asarray(np.nanmean(off[:, valence > 0], 1) - np.nanmean(off[:, valence < 0], 1))
