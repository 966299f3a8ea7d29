"""The choice of a run's corpus: the pack's own, the starter corpus, an imported one, or one that
experiment=stories wrote."""

from __future__ import annotations

from emoexp.config import StoriesSource
from emoexp.stories.corpus import Corpus, pack_corpus, starter_corpus
from emoexp.stories.units import CorpusInputs


def load_corpus(inputs: CorpusInputs) -> Corpus:
    """Loads the corpus that `stories` of the config names.

    Raises:
        EmoexpError: the corpus is missing, incomplete or malformed.
    """
    match inputs.config.stories.source:
        case StoriesSource.pack:
            return pack_corpus(inputs.stimuli)
        case StoriesSource.starter:
            return starter_corpus()
        case StoriesSource.corpus:
            from emoexp.stories.imported.locate import import_corpus

            return import_corpus(inputs.config.stories)
        case StoriesSource.generated:
            from emoexp.stories.generation import generated_corpus

            return generated_corpus(inputs)
