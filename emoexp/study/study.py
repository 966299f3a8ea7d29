"""What an experiment is: a dataclass whose fields are its hyperparameters and whose `run` is its
method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from emoexp.config import Config, resolve_layer
from emoexp.errors import EmoexpError

if TYPE_CHECKING:
    import numpy as np

    from emoexp.models.subject import SubjectModel
    from emoexp.steering.preference import Preferences
    from emoexp.stimuli import Stimuli
    from emoexp.store.artifacts import Artifacts
    from emoexp.stories.corpus import Corpus
    from emoexp.study.result import Result
    from emoexp.vectors.extraction import StoryMeans
    from emoexp.vectors.vectors import EmotionVectors

T = TypeVar("T")


class NotApplicableError(EmoexpError):
    """The measurement has no meaning here (steering after the last block, say); `verify` goes on
    with the others."""


@dataclass(kw_only=True)
class Experiment(ABC):
    """One validation: measure, then judge. `shown` names the tables that the terminal prints."""

    shown: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self, study: Study) -> Result: ...


class shared(cached_property[T]):
    """A cached property that is the same at every layer of a run: it is made once, for the first
    layer that asks for it."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or instance.first is None:
            return super().__get__(instance, owner)
        name = self.attrname or ""
        return vars(instance).setdefault(name, getattr(instance.first, name))


@dataclass
class Study:
    """What experiments share; everything is made when it is first asked for, and then kept. `first`
    is another layer's study of the same run."""

    config: Config
    first: Study | None = None

    def used(self, name: str) -> bool:
        """Whether a property has been made, for this layer or for the run."""
        return name in vars(self) or (self.first is not None and self.first.used(name))

    @shared
    def stimuli(self) -> Stimuli:
        from emoexp.stimuli import load_stimuli

        return load_stimuli(self.config.stimuli.path, self.artifacts.root)

    @shared
    def corpus(self) -> Corpus:
        """The stories and neutral texts that vectors are made of."""
        from emoexp.stories.sources import load_corpus

        return load_corpus(self)

    @shared
    def emotions(self) -> tuple[str, ...]:
        """The emotions under study."""
        from emoexp.stimuli import choose_emotions

        chosen = self.config.emotions
        if chosen.from_corpus:
            return choose_emotions(tuple(self.corpus.by_emotion), chosen.names)
        if chosen.names is None or set(chosen.names) <= set(self.stimuli.emotions):
            return choose_emotions(self.stimuli.emotions, chosen.names)
        return choose_emotions(
            tuple(dict.fromkeys((*self.stimuli.emotions, *self.corpus.by_emotion))), chosen.names
        )

    @shared
    def valence(self) -> dict[str, float]:
        """Valence of the emotions for which it is known: the user's norms if a file is given, else
        the pack's."""
        if self.config.emotions.norms is None:
            return self.stimuli.valence
        from emoexp.stimuli.norms import load_norms

        return load_norms(Path(self.config.emotions.norms), self.emotions)

    @shared
    def model(self) -> SubjectModel:
        from emoexp.models.open import open_model
        from emoexp.models.subject import silence_libraries

        _ = self.stimuli  # a mistake there is told before the weights are loaded
        silence_libraries()
        return open_model(self.config.model)

    @cached_property
    def layer(self) -> int:
        return resolve_layer(self.config.layer, self.model.n_layers)

    @shared
    def artifacts(self) -> Artifacts:
        from emoexp.store.artifacts import Artifacts

        return Artifacts(Path(self.config.artifacts).expanduser().absolute())

    @shared
    def means(self) -> StoryMeans:
        from emoexp.vectors.extraction import extract

        return extract(
            self.model,
            self.corpus,
            self.emotions,
            self.artifacts,
            self.config.scale.stories_per_emotion,
        )

    def vectors_at(self, layer: int) -> EmotionVectors:
        from emoexp.vectors.vectors import fit_vectors

        return fit_vectors(self.means, layer)

    @cached_property
    def vectors(self) -> EmotionVectors:
        """The vectors at `layer`: the user's file if one is given, else extracted; saved in the run
        directory."""
        from emoexp.vectors.vectors import EmotionVectors

        if self.config.vectors is not None:
            identity = {
                "model": self.model.identity,
                "corpus": self.corpus.sha256,
                "emotions": list(self.emotions),
            }
            return EmotionVectors.load(
                Path(self.config.vectors),
                identity=identity,
                layer=self.layer,
                d_model=self.model.d_model,
            )
        vectors = self.vectors_at(self.layer)
        vectors.save(Path(self.config.run_dir) / "vectors.safetensors")
        return vectors

    def control_rng(self, layer: int | None = None) -> np.random.Generator:
        """Random numbers for the control directions of a layer, by default the run's own."""
        from emoexp.vectors.vectors import direction_rng

        at = self.layer if layer is None else layer
        return direction_rng(self.config.seed, at, self.model.identity)

    @shared
    def preferences(self) -> Preferences:
        from emoexp.steering.preference import Preferences

        return Preferences(self.model, self.stimuli)

    @shared
    def baseline(self) -> np.ndarray:
        """Unsteered margins; (i, j)."""
        return self.preferences.baseline(self.artifacts)

    @shared
    def baseline_elo(self) -> np.ndarray:
        """Unsteered Elo; (activity,)."""
        from emoexp.stats.ratings import elo, win_probabilities

        return elo(win_probabilities(self.baseline), self.config.seed)
