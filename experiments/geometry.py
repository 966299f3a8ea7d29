"""How are the emotion vectors arranged? Principal components, the axes of valence and arousal,
nearest and most opposed pairs, clusters, similarity of layers and accuracy on held-out stories, by
layer (paper, "The geometry of the emotion vectors").

No criterion of the paper: the tables stand beside those of gemotions (components by layer) and of
the reproduction on Llama-3.2-1B (sanity pairs). Intervals are over stories or, for correlations
with ratings, over emotions; the null of all that is computed from vectors is vectors of shuffled
labels, and that of a correlation with ratings is permuted ratings; a bag of words of the same
stories stands beside both. Statistics are in emoexp/geometry/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from emoexp.bounds import number
from emoexp.config import INTERVAL, MOST_DRAWS
from emoexp.geometry.arrangement import (
    SHUFFLES,
    arrangement_metrics,
    arrangement_notes,
    arrangement_tables,
)
from emoexp.geometry.axes import rated_axes
from emoexp.geometry.cosines import FILE, Cosines, identity_of, save_cosines
from emoexp.geometry.embedding import umap_notes, with_umap, without_umap
from emoexp.geometry.findings import metrics, notes
from emoexp.geometry.held_out import held_out
from emoexp.geometry.layer import LayerGeometry, layer_geometry
from emoexp.geometry.tables import joined, layer_tables
from emoexp.geometry.words import word_groups, word_notes, word_tables
from emoexp.steering.settings import some_layers
from emoexp.store.progress import track
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.extraction import StoryGroups, load_groups
from emoexp.vectors.vectors import components_at


@dataclass(kw_only=True)
class Geometry(Validation):
    """Components, axes and pairs of the emotion vectors.

    Attributes:
        layers: blocks whose vectors are compared, the run's own added; null is every block.
        pairs: how many of the nearest and of the most opposed pairs are listed.
        resamples: of the stories, for intervals of cosines.
        splits: random halves of the stories, for held-out accuracy.
        umap: whether the emotions are mapped by UMAP too (the extra `geometry`).
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "emotions.norms")

    layers: list[int] | None = some_layers()
    pairs: int = number(10, most=10_000)
    resamples: int = number(200, 100, MOST_DRAWS, why=INTERVAL)
    splits: int = number(10, most=10_000)
    umap: bool = True

    def measure(self, study: Study) -> Tables:
        scale, seed, norms = study.config.scale, study.config.seed, study.norms
        axes = rated_axes(norms, study.emotions, study.stimuli.valence)
        own, blocks = study.layer, range(study.model.n_layers)
        layers = sorted({own, *(blocks if self.layers is None else self.layers)})
        study.model.check_layers(layers)
        draws, permutations = scale.bootstrap_draws, scale.permutations
        repeats = (self.splits, scale.shuffled_draws, draws)
        means = study.means  # the stories have their own progress
        cosines, shuffled, tables, told = [], [], [], []
        for layer in track(layers, "geometry, by layer"):
            groups = load_groups(means, study.artifacts, layer)
            components = components_at(means, layer)
            here = self.at(study, layer, groups, components)
            cosines.append(here.cosines)
            shuffled.append(here.shuffled[:SHUFFLES].astype(np.float32))
            sizes = self.pairs, draws, permutations
            tables.append(layer_tables(here, axes, layer == own, *sizes, seed))
            told.append(held_out(groups, components, *repeats, seed))
        n, model, identity = len(blocks), study.config.model.name, identity_of(means)
        space = Cosines(study.emotions, tuple(layers), np.stack(cosines), n, model, identity)
        save_cosines(Path(study.config.run_dir) / FILE, space)
        known = study.valence, study.stimuli.clusters, norms
        found = joined(tables) | joined(told)
        found |= arrangement_tables(space, own, shuffled, *known, permutations, seed)
        words = word_groups(study.corpus, study.emotions, scale.stories_per_emotion)
        found |= word_tables(words, layers, space.matrices, repeats, seed)
        if self.umap:
            found["coordinates"] = with_umap(found["coordinates"], study.vectors.directions, seed)
        return found

    def at(
        self, study: Study, layer: int, groups: StoryGroups, components: np.ndarray
    ) -> LayerGeometry:
        """Fits the vectors of a layer, and draws their controls, alike at every layer."""
        return layer_geometry(
            study.vectors if layer == study.layer else study.vectors_at(layer),
            study.model.n_layers,
            groups,
            components,
            np.random.default_rng(study.config.seed),
            study.shuffle_rng(),
            (self.resamples, study.config.scale.shuffled_draws),
        )

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        places = tables["coordinates"]
        own = {**tables, "coordinates": without_umap(places)}
        drawn = umap_notes(places) if self.umap else []
        return Result(
            metrics=metrics(own) | arrangement_metrics(tables),
            notes=[*notes(own), *arrangement_notes(tables), *word_notes(tables), *drawn],
        )
