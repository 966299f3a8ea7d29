"""Held-out accuracy: do vectors of one half of the stories tell the emotions of the other half?

Groups of stories (emoexp/vectors/extraction.py) are split at random into two halves, the same
groups and so the same topics for every emotion. Vectors are fitted from one half as from the whole.
Each group of the other half is centred on the first half's mean over emotions, the neutral
components are projected out of it as out of the vectors, and it is given to the emotion whose
vector has the highest cosine with it. Then the halves change places, and numbers are averaged over
both and over several splits.

Up to 32 stories per emotion a group is one story; with more, it is the mean of several, which is
easier to tell than one. Chance is 1 / emotions (top 1), 5 / emotions (top 5) and .5 (AUC). The null
is vectors whose training labels were shuffled within groups, tested on the true labels.

Everything is computed from inner products of the groups, so a layer's width costs one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.errors import EmoexpError
from emoexp.stats.intervals import Interval, central, resample
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.reliability import check_groups

TOP = 5
"""The second accuracy: the own emotion is among so many nearest."""
COLUMNS = (
    *("layer", "auc", "auc_low", "auc_high", "top1", "top1_low", "top1_high", "top5"),
    *("chance_top1", "chance_top5", "shuffled_auc_low", "shuffled_auc_high"),
    *("shuffled_top1_low", "shuffled_top1_high"),
)
"""Columns of the table by layer."""
TRIES = 100
"""Draws of a split before an emotion that lacks many groups is an error."""


@dataclass(frozen=True)
class Scores:
    """What held-out groups were taken for, summed over splits.

    Attributes:
        wins: of e's group g over groups h of other emotions, by the cosine with e's vector (a tie
            is half a win); (emotion, g, h).
        rivals: how many such comparisons; (emotion, g, h).
        first, among: how often group g of e had e's vector nearest, and among the TOP nearest;
            (emotion, group).
        tested: how often it was tested; (emotion, group).
    """

    wins: np.ndarray
    rivals: np.ndarray
    first: np.ndarray
    among: np.ndarray
    tested: np.ndarray

    @classmethod
    def none(cls, products: Products) -> Scores:
        """Returns the scores before any test, which `add` adds to."""
        n, groups = products.counts.shape
        return cls(*np.zeros((2, n, groups, groups)), *np.zeros((3, n, groups)))

    def add(
        self, products: Products, source: np.ndarray, train: np.ndarray, test: np.ndarray
    ) -> None:
        """Adds the scores of the groups `test` by the vectors of the groups `train`."""
        cosines = products.cosines(source, train, test)
        filled = products.counts[:, test] > 0
        own = np.einsum("eeg->eg", cosines)
        nearer = (cosines >= own).sum(0) - 1
        self.first[:, test] += filled & (nearer == 0)
        self.among[:, test] += filled & (nearer < TOP)
        self.tested[:, test] += filled
        others = np.where(filled, cosines, np.inf)  # an empty group is never beaten
        at = np.ix_(test, test)
        for e, mine in enumerate(own):
            rest = np.delete(others[e], e, 0)
            won = (mine[:, None, None] > rest).sum(1) + (mine[:, None, None] == rest).sum(1) / 2
            self.wins[e][at] += filled[e][:, None] * won
            self.rivals[e][at] += filled[e][:, None] * (filled.sum(0) - filled[e])

    def auc(self) -> np.ndarray:
        """Returns the area under the ROC curve of each emotion against the rest; (emotion,)."""
        return np.asarray(self.wins.sum((1, 2)) / self.rivals.sum((1, 2)))

    def top1(self) -> np.ndarray:
        """Returns the share of groups whose own vector is nearest; (emotion,)."""
        return np.asarray(self.first.sum(1) / self.tested.sum(1))

    def top5(self) -> np.ndarray:
        """Returns the share of groups whose own vector is among the TOP nearest; (emotion,)."""
        return np.asarray(self.among.sum(1) / self.tested.sum(1))

    def interval(self, draws: int, seed: int) -> tuple[Interval, Interval]:
        """Returns the intervals of the mean AUC and top 1, over resampled groups (topics).

        The vectors are not fitted anew. A topic that is drawn twice counts twice, and a copy of it
        is compared with the same topic's groups of other emotions once.
        """
        counts = _counts(resample(self.tested.shape[1], draws, seed))
        auc = _twice(self.wins, counts) / _twice(self.rivals, counts)
        top1 = (counts @ self.first.T) / (counts @ self.tested.T)
        return central(np.nanmean(auc, 1)), central(np.nanmean(top1, 1))


def _counts(drawn: np.ndarray) -> np.ndarray:
    """Returns how often each unit was drawn; (draw, n) of indices -> (draw, n)."""
    return np.array([np.bincount(row, minlength=len(row)) for row in drawn], dtype=np.float64)


def _twice(table: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over pairs of drawn groups; (emotion, g, h), (draw, group) -> (draw, emotion)."""
    pairs = np.stack([((counts @ part) * counts).sum(1) for part in table], 1)
    same = np.diagonal(table, axis1=1, axis2=2)
    return np.asarray(pairs - (counts**2 - counts) @ same.T)


@dataclass(frozen=True)
class Products:
    """Inner products of the groups of one layer, without the neutral components.

    Attributes:
        table: (emotion, group, emotion x group), float64.
        counts: stories in each group; (emotion, group).
        names: the emotions.
    """

    table: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, groups: StoryGroups, components: np.ndarray) -> Products:
        """Computes the products. Groups that no emotion has are left out.

        Args:
            components: neutral components, which are projected out; (component, d_model).
        """
        used = groups.counts.any(0)
        counts, means = groups.counts[:, used], groups.means[:, used].astype(np.float64)
        flat = means.reshape(-1, means.shape[2])
        flat = flat - flat[counts.ravel() > 0].mean(0)  # a common shift changes no difference
        flat -= flat @ components.T @ components
        return cls((flat @ flat.T).reshape(*counts.shape, -1), counts, groups.emotions)

    def cosines(self, source: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Fits vectors from the groups `train`, and returns their cosines with the groups `test`.

        Args:
            source: whose group g stands for that of an emotion; (emotion, group).
            train, test: indices of groups.

        Returns:
            (vector, emotion, test group); of an empty group it means nothing.

        Raises:
            EmoexpError: a vector is zero, so that it has no direction.
        """
        shape = self.counts.shape
        weights = self.counts[source[:, train], train].astype(np.float64)
        weights /= weights.sum(1, keepdims=True)
        places = source[:, train] * shape[1] + train
        share = np.bincount(places.ravel(), weights.ravel(), shape[0] * shape[1]) / shape[0]
        dots = np.zeros((shape[0], shape[0] * shape[1]))
        for column, group in enumerate(train):
            dots += weights[:, column, None] * self.table[source[:, group], group]
        centre = dots.mean(0)
        dots -= centre
        shift = dots @ share
        squared = (weights * np.take_along_axis(dots, places, 1)).sum(1) - shift
        items = np.einsum("egeg->eg", self.table.reshape(*shape, *shape)).ravel()
        if not np.all(squared > 1e-12 * items.max()):
            name = self.names[int(squared.argmin())]
            raise EmoexpError(f"the vector of {name!r} from half of its stories is zero")
        distances = np.maximum(items - 2 * centre + centre @ share, 1e-12 * items.max())
        cosines = (dots - shift[:, None]) / np.sqrt(squared)[:, None] / np.sqrt(distances)
        return np.asarray(cosines.reshape(shape[0], *shape)[:, :, test])

    def halves(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws two halves of the groups, in each of which every emotion has a story.

        Raises:
            EmoexpError: there are none, because an emotion has too few groups.
        """
        n = self.counts.shape[1]
        for _ in range(TRIES):
            order = rng.permutation(n)
            first, second = order[: n // 2], order[n // 2 :]
            if all((self.counts[:, half] > 0).any(1).all() for half in (first, second)):
                return first, second
        fewest = self.names[int((self.counts > 0).sum(1).argmin())]
        raise EmoexpError(
            f"the stories of {fewest!r} are on too few topics for held-out accuracy: half of the"
            " topics has none of them"
        )

    def shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """Draws, for each group, whose group stands for that of each emotion: the labels shuffled
        within the group; (emotion, group)."""
        source = self.unshuffled()
        for group, counts in enumerate(self.counts.T):
            filled = np.flatnonzero(counts)
            source[filled, group] = rng.permutation(filled)
        return source

    def unshuffled(self) -> np.ndarray:
        """Returns each emotion's own index for each group; (emotion, group)."""
        return np.repeat(np.arange(len(self.counts))[:, None], self.counts.shape[1], 1)


def measure(products: Products, splits: int, seed: int) -> Scores:
    """Tests vectors of either half on the other, over `splits` splits.

    Raises EmoexpError as `Products.halves` does.
    """
    rng, scores = np.random.default_rng(seed), Scores.none(products)
    for _ in range(splits):
        first, second = products.halves(rng)
        scores.add(products, products.unshuffled(), first, second)
        scores.add(products, products.unshuffled(), second, first)
    return scores


def shuffled(products: Products, draws: int, seed: int) -> list[Scores]:
    """Tests vectors of shuffled labels, each draw on one split of its own.

    One split varies more than a mean over several, so the null's range is rather too wide than too
    narrow. Raises EmoexpError as `Products.halves` does.
    """
    rng, found = np.random.default_rng([seed, 1]), []
    for _ in range(draws):
        first, second = products.halves(rng)
        source = products.shuffled(rng)
        found.append(Scores.none(products))
        found[-1].add(products, source, first, second)
        found[-1].add(products, source, second, first)
    return found


def held_out(
    groups: StoryGroups,
    components: np.ndarray,
    splits: int,
    shuffles: int,
    draws: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Computes the held-out accuracy of the vectors of one layer: the tables `held_out`, one row
    per emotion, and `held_out_by_layer`, one row of all emotions (COLUMNS).

    Args:
        components: neutral components, which are projected out; (component, d_model).
        splits: random halves that numbers are averaged over.
        shuffles: draws of shuffled labels.
        draws: resamples of the groups, for the intervals.
        seed: gives the same splits and shuffles at every layer.

    Raises:
        EmoexpError: fewer than three emotions or four groups, or an emotion with too few topics.
    """
    check_groups(groups, "held-out accuracy")
    products = Products.of(groups, components)
    found, null = measure(products, splits, seed), shuffled(products, shuffles, seed)
    columns = {"auc": found.auc(), "top1": found.top1(), "top5": found.top5()}
    by_emotion = pd.DataFrame({"layer": groups.layer, "emotion": groups.emotions} | columns)
    by_emotion["n"] = (products.counts > 0).sum(1)
    row: dict[str, float] = {"layer": groups.layer, "top5": columns["top5"].mean()}
    intervals = found.interval(draws, seed)
    statistics = {"auc": Scores.auc, "top1": Scores.top1}
    for (name, values), interval in zip(statistics.items(), intervals, strict=True):
        nothing = central(np.array([values(scores).mean() for scores in null]))
        row |= {name: columns[name].mean()} | interval.columns(name)
        row |= nothing.columns(f"shuffled_{name}")
    row |= {"chance_top1": 1 / len(by_emotion), "chance_top5": min(1.0, TOP / len(by_emotion))}
    return {"held_out": by_emotion, "held_out_by_layer": pd.DataFrame([row])[list(COLUMNS)]}
