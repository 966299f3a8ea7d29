"""Stories and neutral dialogues, written by the subject model or by a server: `python -m emoexp
experiment=stories stories=screen`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from emoexp.stories.corpus import Corpus
from emoexp.stories.generation import generate
from emoexp.stories.reject import REASONS, count_words
from emoexp.stories.units import Plan, command
from emoexp.study.experiment import Experiment
from emoexp.study.result import Result
from emoexp.study.study import Study

NEUTRAL = "(neutral)"
EXCERPT = 80
"""Characters of a rejected story in the table; the story itself stays in the corpus' folder."""


@dataclass(kw_only=True)
class Stories(Experiment):
    """Generates a corpus.

    `stories` of the configuration says how many and by whom, `emotions` and `stimuli` what about.
    A killed run resumes with the same command.
    """

    reads: ClassVar[tuple[str, ...]] = ()

    def run(self, study: Study) -> Result:
        """Generates what is missing and counts what there is."""
        plan = generate(study)
        corpus = study.corpus
        reasons, fewer = Counter(r.reason for r in corpus.rejected), units_with_fewer(plan)
        metrics = {
            "units": len(plan.units),
            "units_with_fewer": fewer,
            "stories": len(corpus.stories),
            "neutral": len(corpus.neutral),
            **{f"rejected_{reason}": reasons[reason] for reason in REASONS},
        }
        notes = []
        if lacking := [emotion for emotion in plan.emotions if emotion not in corpus.by_emotion]:
            notes.append(
                f"no story counts for {len(lacking)} of {len(plan.emotions)} emotions:"
                f" {', '.join(lacking)}"
            )
        if fewer:
            notes.append(
                f"{fewer} of {len(plan.units)} answers have fewer texts than asked for, after"
                f" {plan.stories.attempts} attempts each"
            )
        notes.append(f"the corpus lies in {plan.folder}")
        if corpus.stories:
            notes.append(f"to use it: {command(study, 'verify')}")
        return Result(
            metrics={name: float(value) for name, value in metrics.items()},
            tables={
                "story_counts": counts(corpus, plan.emotions),
                "story_lengths": lengths(corpus),
                "rejected": rejected(corpus),
            },
            notes=notes,
        )


def units_with_fewer(plan: Plan) -> int:
    """Counts the units that were given up before they had all their texts."""
    written = ((unit, plan.read(unit)) for unit in plan.units)
    return sum(w is not None and len(w.texts) < plan.wanted(unit) for unit, w in written)


def counts(corpus: Corpus, emotions: Sequence[str]) -> pd.DataFrame:
    """Counts the texts that are kept and those rejected, by reason; one row per emotion, and one
    for the neutral texts."""
    kept = {emotion: len(stories) for emotion, stories in corpus.by_emotion.items()}
    kept[NEUTRAL] = len(corpus.neutral)
    cells = Counter((r.story.emotion or NEUTRAL, r.reason) for r in corpus.rejected)
    return pd.DataFrame(
        [
            {"emotion": e, "kept": kept.get(e, 0), **{r: cells[e, r] for r in REASONS}}
            for e in (*emotions, NEUTRAL)
        ]
    )


def lengths(corpus: Corpus) -> pd.DataFrame:
    """Counts the words of each story, kept or rejected."""
    kept = [count_words(s.text) for s in corpus.stories]
    out = [count_words(r.story.text) for r in corpus.rejected]
    flags = [1] * len(kept) + [0] * len(out)
    return pd.DataFrame({"words": [*kept, *out], "kept": flags})


def rejected(corpus: Corpus) -> pd.DataFrame:
    """Lists the rejected texts with their reason and how they begin."""
    rows = [
        (r.reason, r.story.emotion or NEUTRAL, r.story.topic, _start(r.story.text))
        for r in corpus.rejected
    ]
    return pd.DataFrame(rows, columns=["reason", "emotion", "topic", "start"])


def _start(text: str) -> str:
    return " ".join(text.split())[:EXCERPT]
