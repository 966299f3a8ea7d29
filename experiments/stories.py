"""Stories and neutral dialogues, written by the subject model or by a server: `python -m emoexp
experiment=stories stories=screen`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emoexp.stories.corpus import Corpus
from emoexp.stories.generation import generate
from emoexp.stories.reject import MIN_WORDS, REASONS
from emoexp.stories.units import Plan, command
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study

NEUTRAL = "(neutral)"
EXCERPT = 80
"""Characters of a rejected story in the table; the story itself stays in the corpus' folder."""


@dataclass(kw_only=True)
class Stories(Experiment):
    """How many and by whom is said by `stories`; what about, by `emotions` and `stimuli`. Run
    again, it goes on where it stopped."""

    def run(self, study: Study) -> Result:
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
        rejected = [
            (
                r.reason,
                r.story.emotion or NEUTRAL,
                r.story.topic,
                " ".join(r.story.text.split())[:EXCERPT],
            )
            for r in corpus.rejected
        ]
        notes = [f"the corpus lies in {plan.folder}", f"to use it: {command(study, 'verify')}"]
        if fewer:
            notes.insert(
                0,
                f"{fewer} of {len(plan.units)} answers have fewer texts than asked for, after"
                f" {plan.stories.attempts} attempts each",
            )
        if lacking := [emotion for emotion in plan.emotions if emotion not in corpus.by_emotion]:
            notes.insert(
                0,
                f"no story counts for {len(lacking)} of {len(plan.emotions)} emotions:"
                f" {', '.join(lacking)}",
            )
        return Result(
            metrics={name: float(value) for name, value in metrics.items()},
            tables={
                "story_counts": counts(corpus, plan.emotions),
                "rejected": pd.DataFrame(rejected, columns=["reason", "emotion", "topic", "start"]),
            },
            figures={"story_lengths": lengths(corpus, f"{corpus.name}, by {corpus.author}")},
            notes=notes,
        )


def units_with_fewer(plan: Plan) -> int:
    """Units that were given up before they had all their texts."""
    return sum(
        len(written.texts) < plan.wanted(unit)
        for unit in plan.units
        if (written := plan.read(unit)) is not None
    )


def counts(corpus: Corpus, emotions: Sequence[str]) -> pd.DataFrame:
    """Texts that count and texts rejected, by reason; one row an emotion, and one for the neutral
    texts."""
    kept = {emotion: len(stories) for emotion, stories in corpus.by_emotion.items()} | {
        NEUTRAL: len(corpus.neutral)
    }
    cells = Counter((r.story.emotion or NEUTRAL, r.reason) for r in corpus.rejected)
    return pd.DataFrame(
        [
            {"emotion": e, "kept": kept.get(e, 0), **{r: cells[e, r] for r in REASONS}}
            for e in (*emotions, NEUTRAL)
        ]
    )


def lengths(corpus: Corpus, title: str) -> Figure:
    """How long the texts are, those that count and those that do not."""
    words = [
        np.array([len(text.split()) for text in texts])
        for texts in ([s.text for s in corpus.stories], [r.story.text for r in corpus.rejected])
    ]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    bins = np.arange(0, max([MIN_WORDS, *(int(w.max()) for w in words if len(w))]) + 20, 10)
    axes.hist(
        words,
        bins=bins.tolist(),
        stacked=True,
        color=["#33658a", "#c8513f"],
        label=[f"{len(words[0])} stories", f"{len(words[1])} rejected texts"],
    )
    axes.axvline(
        MIN_WORDS,
        color="#222222",
        linewidth=0.8,
        linestyle="--",
        label=f"{MIN_WORDS} words, the fewest that count",
    )
    axes.set(xlabel="words", ylabel="texts", title=f"Length of the stories\n{title}")
    axes.legend(fontsize=8)
    return figure
