"""What an experiment is: a dataclass whose fields are its hyperparameters and whose `run` is its method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from emoexp.config import Config, resolve_layer
from emoexp.errors import EmoexpError

if TYPE_CHECKING:
    import numpy as np

    from emoexp.artifacts import Artifacts
    from emoexp.extraction import StoryMeans
    from emoexp.model import SubjectModel
    from emoexp.preference import Preferences
    from emoexp.result import Result
    from emoexp.stimuli import Stimuli
    from emoexp.stories.corpus import Corpus
    from emoexp.vectors import EmotionVectors


class NotApplicableError(EmoexpError):
    """The measurement has no meaning here (steering after the last block, say); `verify` goes on with the others."""


@dataclass(kw_only=True)
class Experiment(ABC):
    """One validation: measure, then judge. `shown` names the tables that the terminal prints."""

    shown: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self, context: Context) -> Result: ...


SHARED = ("stimuli", "artifacts", "model", "preferences")
"""What layers of one run share from the start: the rest is read from the store."""


@dataclass
class Context:
    """What experiments share; everything is made when it is first asked for, and then kept."""

    config: Config

    def at(self, config: Config) -> Context:
        """A context for another layer of the same run, sharing what does not depend on the layer."""
        for name in SHARED:
            getattr(self, name)
        other = Context(config)
        vars(other).update({name: vars(self)[name] for name in SHARED})
        return other

    @cached_property
    def stimuli(self) -> Stimuli:
        from emoexp.stimuli import load_stimuli

        return load_stimuli(self.config.stimuli.path, self.artifacts.root)

    @cached_property
    def corpus(self) -> Corpus:
        """The stories and neutral texts that vectors are made of."""
        from emoexp.stories.sources import load_corpus

        return load_corpus(self)

    @cached_property
    def emotions(self) -> tuple[str, ...]:
        """The emotions under study."""
        from emoexp.stimuli import choose_emotions

        chosen = self.config.emotions
        if chosen.from_corpus:
            return choose_emotions(tuple(self.corpus.by_emotion), chosen.names)
        if chosen.names is None or set(chosen.names) <= set(self.stimuli.emotions):
            return choose_emotions(self.stimuli.emotions, chosen.names)
        return choose_emotions(tuple(dict.fromkeys((*self.stimuli.emotions, *self.corpus.by_emotion))), chosen.names)

    @cached_property
    def valence(self) -> dict[str, float]:
        """Valence of the emotions for which it is known: the user's norms if a file is given, else the pack's."""
        if self.config.emotions.norms is None:
            return self.stimuli.valence
        from emoexp.norms import load_norms

        return load_norms(Path(self.config.emotions.norms), self.emotions)

    @cached_property
    def model(self) -> SubjectModel:
        from emoexp.model import SubjectModel, quiet

        _ = self.stimuli  # a mistake there is told before the weights are loaded
        quiet()
        return SubjectModel.load(self.config.model)

    @cached_property
    def layer(self) -> int:
        return resolve_layer(self.config.layer, self.model.n_layers)

    @cached_property
    def artifacts(self) -> Artifacts:
        from emoexp.artifacts import Artifacts

        return Artifacts(Path(self.config.artifacts).expanduser().absolute())

    @cached_property
    def means(self) -> StoryMeans:
        from emoexp.extraction import extract

        return extract(self.model, self.corpus, self.emotions, self.artifacts, self.config.scale.stories_per_emotion)

    def vectors_at(self, layer: int) -> EmotionVectors:
        from emoexp.vectors import fit_vectors

        return fit_vectors(self.means, layer)

    @cached_property
    def vectors(self) -> EmotionVectors:
        """The vectors at `layer`: the user's file if one is given, else extracted; saved in the run directory."""
        from emoexp.vectors import EmotionVectors

        if self.config.vectors is not None:
            identity = {"model": self.model.identity, "corpus": self.corpus.sha256, "emotions": list(self.emotions)}
            return EmotionVectors.load(Path(self.config.vectors), identity=identity, layer=self.layer)
        vectors = self.vectors_at(self.layer)
        vectors.save(Path(self.config.run_dir) / "vectors.safetensors")
        return vectors

    @cached_property
    def preferences(self) -> Preferences:
        from emoexp.preference import Preferences

        return Preferences(self.model, self.stimuli)

    @cached_property
    def baseline(self) -> np.ndarray:
        """Unsteered margins; (i, j)."""
        return self.preferences.baseline(self.artifacts)

    @cached_property
    def baseline_elo(self) -> np.ndarray:
        """Unsteered Elo; (activity,)."""
        from emoexp.ratings import elo, win_probabilities

        return elo(win_probabilities(self.baseline), self.config.seed)
