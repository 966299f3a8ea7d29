"""How are the emotion vectors arranged? Principal components, the axes of valence and arousal,
nearest and most opposed pairs, by layer (paper, "The geometry of the emotion vectors").

No criterion of the paper: the tables stand beside those of gemotions (components by layer) and of
the reproduction on Llama-3.2-1B (sanity pairs). Intervals are over stories or, for correlations
with ratings, over emotions; the null of all that is computed from vectors is vectors of shuffled
labels, and that of a correlation with ratings is permuted ratings. Statistics are in
emoexp/geometry/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoexp.errors import require
from emoexp.geometry.axes import rated_axes
from emoexp.geometry.cosines import FILE, Cosines, save_cosines
from emoexp.geometry.findings import metrics, notes
from emoexp.geometry.layer import LayerGeometry, layer_geometry
from emoexp.geometry.tables import joined, layer_tables
from emoexp.store.progress import track
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.extraction import load_groups
from emoexp.vectors.vectors import NEUTRAL_VARIANCE, components_at


@dataclass(kw_only=True)
class Geometry(Validation):
    """Components, axes and pairs of the emotion vectors.

    Attributes:
        layers: blocks whose vectors are compared, the run's own added; null is every block.
        pairs: how many of the nearest and of the most opposed pairs are listed.
        resamples: of the stories, for intervals of cosines.
    """

    layers: list[int] | None = None
    pairs: int = 10
    resamples: int = 200

    def __post_init__(self) -> None:
        once = self.layers is None or 0 < len(self.layers) == len(set(self.layers))
        each = "name each layer once, and at least one; or null for all"
        require(once, f"experiment.layers={self.layers}: {each}")
        require(self.pairs >= 1, f"experiment.pairs={self.pairs} is too few: at least 1")
        few = f"experiment.resamples={self.resamples} is too few: at least 100 for an interval"
        require(self.resamples >= 100, few)

    def measure(self, study: Study) -> Tables:
        one = "vectors=... holds one layer and no stories, and a geometry needs both: leave it out"
        require(study.config.vectors is None, one)
        scale, norms = study.config.scale, study.config.emotions.norms
        axes = rated_axes(norms, study.emotions, study.stimuli.valence)
        layers, _ = self.layers_of(study), study.means  # the stories have their own progress
        tables, matrices = [], []
        for layer in track(layers, "geometry, by layer"):
            here = self.at(study, layer)
            matrices.append(here.cosines)
            tables.append(
                layer_tables(
                    here,
                    axes,
                    of_run=layer == study.layer,
                    pairs=self.pairs,
                    draws=scale.bootstrap_draws,
                    permutations=scale.permutations,
                    seed=study.config.seed,
                )
            )
        save(study, layers, np.stack(matrices))
        return joined(tables)

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        return Result(metrics=metrics(tables), notes=notes(tables))

    def layers_of(self, study: Study) -> list[int]:
        """Returns the layers to compare, ascending, with the run's own among them."""
        n = study.model.n_layers
        asked = range(n) if self.layers is None else self.layers
        wrong = [k for k in asked if not 0 <= k < n]
        blocks = f"the model has {n} blocks, 0 to {n - 1}"
        require(not wrong, f"experiment.layers={self.layers}: {wrong} out of range; {blocks}")
        return sorted({*asked, study.layer})

    def at(self, study: Study, layer: int) -> LayerGeometry:
        """Fits the vectors of a layer, and draws their controls, alike at every layer."""
        return layer_geometry(
            study.vectors if layer == study.layer else study.vectors_at(layer),
            study.model.n_layers,
            load_groups(study.means, study.artifacts, layer),
            components_at(study.means, layer, NEUTRAL_VARIANCE),
            np.random.default_rng(study.config.seed),
            study.shuffle_rng(),
            (self.resamples, study.config.scale.shuffled_draws),
        )


def save(study: Study, layers: list[int], matrices: np.ndarray) -> None:
    """Writes the cosines of all layers beside the tables."""
    kept = ("model", "corpus", "stories")
    identity = {name: study.means.identity[name] for name in kept}
    identity["neutral_variance"] = NEUTRAL_VARIANCE
    n, name = study.model.n_layers, study.config.model.name
    found = Cosines(study.emotions, tuple(layers), matrices, n, name, identity)
    save_cosines(Path(study.config.run_dir) / FILE, found)
