"""The study: one model, one pack, one corpus, one layer, and what experiments share of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emoexp.config import Config, StoriesSource, check_blocks, resolve_layer
from emoexp.errors import EmoexpError, require, shortened

if TYPE_CHECKING:
    import numpy as np

    from emoexp.models.subject import SubjectModel
    from emoexp.steering.preference import Preferences
    from emoexp.stimuli import Stimuli
    from emoexp.stimuli.norms import Lexicon, Norms
    from emoexp.store.artifacts import Artifacts
    from emoexp.stories.corpus import Corpus
    from emoexp.vectors.extraction import StoryMeans
    from emoexp.vectors.vectors import EmotionVectors

T = TypeVar("T")
SHUFFLES = 1
"""Stream of random numbers of the shuffled labels."""


class once_per_run(cached_property[T]):
    """A cached property that is the same at every layer of a run.

    It is computed once, for the first layer that reads it.
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or instance.first is None:
            return super().__get__(instance, owner)
        name = self.attrname or ""
        return vars(instance).setdefault(name, getattr(instance.first, name))


def check_pack(model: SubjectModel, pack: Stimuli) -> None:
    """Raises EmoexpError where a text of a pack has special tokens of the model, which it would not
    read as text."""
    texts = [activity.text for activity in pack.activities]
    texts += [scenario.text for scenario in pack.scenarios]
    for text in (*texts, *(template.template for template in pack.numeric)):
        if found := model.special_in(text):
            raise EmoexpError(
                f"the pack {pack.name!r} has {', '.join(found)}, special tokens of the model, in"
                f" {shortened(text, 60)!r}: remove them"
            )


@dataclass
class Study:
    """What experiments share; each part is made when it is first read, and then kept.

    Attributes:
        config: everything that a run depends on.
        first: the study of another layer of the same run, which has the parts common to all layers.
    """

    config: Config
    first: Study | None = None

    @classmethod
    def of(cls, config: Config, first: Study | None = None, **parts: Any) -> Study:
        """Builds a study from parts that are already there, such as `model=` or `stimuli=`.

        Raises:
            TypeError: a study has no such part.
        """
        study = cls(config, first)
        for name, part in parts.items():
            if not isinstance(getattr(cls, name, None), cached_property):
                raise TypeError(f"a study has no part {name!r}")
            vars(study)[name] = part
        return study

    def used(self, name: str) -> bool:
        """Tells whether a part has been made, for this layer or for the run."""
        return name in vars(self) or (self.first is not None and self.first.used(name))

    @once_per_run
    def stimuli(self) -> Stimuli:
        """The pack, or a part of its activities where the scale says so."""
        from emoexp.stimuli import load_stimuli

        pack = load_stimuli(self.config.stimuli.path, self.artifacts.root)
        n = self.config.scale.activities_per_category
        return pack if n is None else pack.with_fewer_activities(n)

    @once_per_run
    def corpus(self) -> Corpus:
        """The stories and neutral texts from which vectors are computed."""
        from emoexp.stories.losses import loss_notes
        from emoexp.stories.sources import load_corpus

        corpus = load_corpus(self)
        for note in loss_notes(corpus.summary()):
            sys.stderr.write(note + "\n")
        return corpus

    @once_per_run
    def emotions(self) -> tuple[str, ...]:
        """The emotions under study."""
        from emoexp.stimuli import choose_emotions

        chosen = self.config.emotions
        if chosen.from_corpus:
            return choose_emotions(tuple(self.corpus.by_emotion), chosen.names)
        if chosen.names is None or set(chosen.names) <= set(self.stimuli.emotions):
            return choose_emotions(self.stimuli.emotions, chosen.names)
        known = dict.fromkeys((*self.stimuli.emotions, *self.corpus.by_emotion))
        return choose_emotions(tuple(known), chosen.names)

    @once_per_run
    def valence(self) -> dict[str, float]:
        """Valence by emotion, as far as it is known: of the human norms if the user names some,
        else of the pack."""
        return self.stimuli.valence if self.norms is None else self.norms.valence

    @once_per_run
    def lexicon(self) -> Lexicon | None:
        """All ratings of the human norms that the user names; None where there are none."""
        from emoexp.stimuli.norms import read_lexicon

        source = self.config.emotions.norms
        return None if source is None else read_lexicon(source)

    @once_per_run
    def norms(self) -> Norms | None:
        """Human norms of the emotions, whose coverage is printed; None where the user names
        none."""
        if self.lexicon is None:
            return None
        norms = self.lexicon.norms_of(self.emotions)
        sys.stderr.write(norms.coverage() + "\n")
        return norms

    @once_per_run
    def model(self) -> SubjectModel:
        """The subject model."""
        from emoexp.models.open import open_model, silence_libraries

        # a mistake is reported before the weights are loaded
        _ = self.stimuli, self.lexicon, self.read_vectors, self.artifacts
        silence_libraries()
        model = open_model(self.config.model, self.check_layers)
        check_pack(model, self.stimuli)
        return model

    def check_layers(self, n_layers: int) -> None:
        """Raises EmoexpError where a setting names a layer that a model of `n_layers` lacks."""
        given, experiment = self.config.layer, self.config.experiment
        named = experiment.named_layers() if experiment is not None else []
        check_blocks([*(given if isinstance(given, list) else [given]), *named], n_layers)

    def read_inputs(self) -> None:
        """Reads the emotions, the corpus, the norms and the file of vectors, as far as they need no
        model: a corpus that was generated is known by who wrote it.

        Raises:
            EmoexpError: one of them is missing or wrong.
        """
        from emoexp.vectors.extraction import check_has_stories

        given, layer = self.read_vectors, self.config.layer
        path = Path(str(self.config.vectors))
        if given is not None and isinstance(layer, int):
            given.check_layer(path, layer)
        if self.config.stories.source is not StoriesSource.generated:
            check_has_stories(self.corpus, self.emotions)
            if given is not None:
                given.check_emotions(path, self.emotions)
            _ = self.norms

    @cached_property
    def layer(self) -> int:
        """The 0-based block whose output is read or steered."""
        return resolve_layer(self.config.layer, self.model.n_layers)

    @once_per_run
    def artifacts(self) -> Artifacts:
        """The store of computed artifacts. Raises EmoexpError where there can be no such folder."""
        from emoexp.store.artifacts import Artifacts

        given = self.config.artifacts
        require(bool(given.strip()), "artifacts= is empty: give a folder, or leave it out")
        root = Path(given).expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # as in /proc; other errors have their own advice
            raise EmoexpError(f"artifacts={given}: no folder can be made there") from None
        return Artifacts(root)

    @once_per_run
    def means(self) -> StoryMeans:
        """Residual means of the stories at all layers."""
        from emoexp.vectors.extraction import extract

        _ = self.norms  # too few emotions in them are reported before the model reads the stories
        count = self.config.scale.stories_per_emotion
        return extract(self.model, self.corpus, self.emotions, self.artifacts, count)

    def vectors_at(self, layer: int) -> EmotionVectors:
        """Fits the vectors of any layer."""
        from emoexp.vectors.vectors import fit_vectors

        return fit_vectors(self.means, layer)

    @once_per_run
    def read_vectors(self) -> EmotionVectors | None:
        """The vectors in the user's file, not yet compared with this run's; None without one."""
        from emoexp.vectors.vectors import EmotionVectors

        path = self.config.vectors
        return None if path is None else EmotionVectors.read(Path(path).expanduser())

    @cached_property
    def vectors(self) -> EmotionVectors:
        """The vectors at `layer`: the user's file if one is given, else fitted and saved in the run
        directory."""
        if (given := self.read_vectors) is not None:
            identity = {
                "model": self.model.identity,
                "corpus": self.corpus.sha256,
                "emotions": list(self.emotions),
            }
            path = Path(str(self.config.vectors))
            given.check(path, identity, self.layer, self.model.d_model)
            return given
        vectors = self.vectors_at(self.layer)
        vectors.save(Path(self.config.run_dir) / "vectors.safetensors")
        return vectors

    def shuffle_rng(self) -> np.random.Generator:
        """Returns a new generator of the shuffled labels, the same for every layer."""
        from emoexp.vectors.controls import direction_rng

        return direction_rng(self.config.seed, self.layer, self.model.identity, SHUFFLES)

    def shuffled_at(self, layer: int) -> np.ndarray:
        """Returns vectors of shuffled labels at any layer, with the same shuffles at each; (draw,
        emotion, d_model)."""
        from emoexp.vectors.controls import shuffled_directions
        from emoexp.vectors.extraction import load_groups
        from emoexp.vectors.vectors import components_at

        groups = load_groups(self.means, self.artifacts, layer)
        components = components_at(self.means, layer)
        draws = self.config.scale.shuffled_draws
        return shuffled_directions(groups, components, draws, self.shuffle_rng())

    def shuffled_by_layer(self, layers: Sequence[int]) -> list[np.ndarray] | None:
        """Returns vectors of shuffled labels at several layers, the same shuffles at each."""
        if (own := self.shuffled) is None:
            return None
        return [own if k == self.layer else self.shuffled_at(k) for k in layers]

    @cached_property
    def shuffled(self) -> np.ndarray | None:
        """Vectors of shuffled labels at `layer`; None where the vectors are from a file, which has
        no stories."""
        return None if self.config.vectors is not None else self.shuffled_at(self.layer)

    def null_directions(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Draws directions in place of the probes `names`, by the label of the null: isotropic, and
        of shuffled labels where there are stories; (draw, name, d_model)."""
        from emoexp.stats.labels import ISOTROPIC, SHUFFLED
        from emoexp.vectors.controls import isotropic_directions

        draws, n, width = self.config.scale.null_draws, len(names), self.model.d_model
        isotropic = isotropic_directions(draws * n, width, self.control_rng())
        drawn = {ISOTROPIC: isotropic.reshape(draws, n, width)}
        if self.shuffled is not None:
            drawn[SHUFFLED] = self.shuffled[:, [self.vectors.names.index(e) for e in names]]
        return drawn

    def control_rng(self, layer: int | None = None) -> np.random.Generator:
        """Returns the generator for the control directions of a layer, by default the run's own."""
        from emoexp.vectors.controls import direction_rng

        at = self.layer if layer is None else layer
        return direction_rng(self.config.seed, at, self.model.identity)

    @once_per_run
    def preferences(self) -> Preferences:
        """All ordered pairs of the pack's activities, put to the model."""
        from emoexp.steering.preference import Preferences

        return Preferences(self.model, self.stimuli)

    @once_per_run
    def baseline(self) -> np.ndarray:
        """Unsteered margins; (i, j)."""
        return self.preferences.baseline(self.artifacts)

    @once_per_run
    def baseline_elo(self) -> np.ndarray:
        """Unsteered Elo; (activity,)."""
        from emoexp.stats.ratings import elo, win_probabilities

        return elo(win_probabilities(self.baseline), self.config.seed)
