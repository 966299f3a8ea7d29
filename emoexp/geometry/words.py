"""What words alone give: a bag of words of the same stories in place of residuals.

The control that no shuffling gives. Labels shuffled among stories tell whether vectors carry their
emotion; they do not tell whether that takes a model. Here a story is the TF-IDF of its words, an
emotion is the mean of its stories, and everything else is as for residuals: groups, centring, unit
norm, held-out accuracy, cosines. Where a model's layers tell no more than this, or are arranged
alike, the vectors may be no more than which words each emotion's stories have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from emoexp.geometry.held_out import held_out
from emoexp.geometry.similarity import FEWEST_COMMON, similarity_with
from emoexp.stories.corpus import Corpus
from emoexp.vectors.extraction import StoryGroups
from emoexp.vectors.pooling import GROUPS
from emoexp.vectors.vectors import directions_of

MOST_WORDS = 8192
"""Words that are counted: the most frequent ones of the stories."""
NO_LAYER = -1


def word_groups(corpus: Corpus, emotions: Sequence[str], limit: int | None) -> StoryGroups:
    """Returns the groups of stories as means of TF-IDF vectors, in the groups that residuals are
    in; `layer` is -1.

    Args:
        limit: the first so many stories of each emotion are used; None is all.
    """
    texts, row, group = [], [], []
    for e, emotion in enumerate(emotions):
        stories = corpus.by_emotion[emotion][:limit]
        texts += [story.text for story in stories]
        row += [e] * len(stories)
        group += [i % min(GROUPS, len(stories)) for i in range(len(stories))]
    counted = TfidfVectorizer(max_features=MOST_WORDS, dtype=np.float64).fit_transform(texts)
    cell = np.array(row) * GROUPS + np.array(group)
    shape = (len(emotions), GROUPS)
    counts = np.bincount(cell, minlength=len(emotions) * GROUPS)
    weights = sparse.csr_array(
        (1 / counts[cell], (cell, np.arange(len(texts)))), shape=(counts.size, len(texts))
    )
    means = np.asarray((weights @ counted).todense(), dtype=np.float32)
    return StoryGroups(tuple(emotions), means.reshape(*shape, -1), counts.reshape(shape), NO_LAYER)


def word_tables(
    groups: StoryGroups,
    layers: Sequence[int],
    matrices: np.ndarray,
    repeats: tuple[int, int, int],
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Computes the tables `words` and `word_similarity`.

    Args:
        groups: of `word_groups`.
        matrices: cosines of the residuals' vectors; (layer, emotion, emotion).
        repeats: splits of the stories, draws of shuffled labels, and resamples.

    Returns:
        words: one row with the columns of `held_out_by_layer` but the layer. word_similarity: one
        row per layer, as `similarity_with` gives it; left out with fewer than FEWEST_COMMON
        emotions.
    """
    none = np.zeros((0, groups.means.shape[2]))
    told = held_out(groups, none, *repeats, seed)["held_out_by_layer"]
    tables = {"words": told.drop(columns="layer")}
    if len(groups.emotions) >= FEWEST_COMMON:
        weights = groups.counts / groups.counts.sum(1, keepdims=True)
        means = np.matmul(weights[:, None], groups.means.astype(np.float64))[:, 0]
        directions = directions_of(means, none, groups.emotions)
        own = (directions @ directions.T)[None]
        tables["word_similarity"] = similarity_with(matrices, layers, own, repeats[2], seed)
    return tables


def word_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says how much words alone tell, and how alike their arrangement and the layers' are."""
    words, told = tables["words"].iloc[0], tables["held_out_by_layer"]
    more = int((told["top1"] > words["top1_high"]).sum())
    found = [
        f"a bag of words of the same stories tells held-out stories with top 1 {words['top1']:.2f}"
        f" ({words['top1_low']:.2f} to {words['top1_high']:.2f}) and AUC {words['auc']:.2f}: more"
        f" than that at {more} of {len(told)} layers"
    ]
    if "word_similarity" in tables:
        rho = tables["word_similarity"]
        found.append(
            "similarity of the layers' cosines with those of the words alone: rho"
            f" {rho['rho'].min():.2f} to {rho['rho'].max():.2f}, beyond permuted names at"
            f" {int((rho['rho'] > rho['null_high']).sum())} of {len(rho)} layers"
        )
    return found
