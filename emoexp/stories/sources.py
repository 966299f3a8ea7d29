"""Which corpus a run uses: the pack's own, one on disk or on the hub, or one that experiment=stories wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoexp.config import StoriesSource
from emoexp.stories.corpus import Corpus, pack_corpus

if TYPE_CHECKING:
    from emoexp.experiment import Context


def load_corpus(context: Context) -> Corpus:
    """The corpus that `stories` of the config names."""
    match context.config.stories.source:
        case StoriesSource.pack:
            return pack_corpus(context.stimuli)
        case StoriesSource.corpus:
            from emoexp.stories.importers import import_corpus

            return import_corpus(context.config.stories)
        case StoriesSource.generated:
            from emoexp.stories.generation import generated_corpus

            return generated_corpus(context)
