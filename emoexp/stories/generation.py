"""Story generation: one answer of several stories for each emotion and topic, and one of neutral
dialogues for each topic.

The author is the subject model in process (subject.py) or a server
(emoexp/models/openai_client.py). A killed run loses the answers in flight and nothing else; two
runs at once share the work. This module does not import torch: a server needs none.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from emoexp.errors import EmoexpError
from emoexp.models.lanes import Lanes
from emoexp.models.openai_client import Request, Server
from emoexp.store.artifacts import write_json
from emoexp.store.progress import Meter, meter
from emoexp.stories.corpus import Corpus, Story
from emoexp.stories.reject import StoryFilter, sift
from emoexp.stories.units import (
    CorpusInputs,
    Plan,
    Unit,
    Written,
    command,
    plan_of,
    split,
    story_seed,
)

if TYPE_CHECKING:
    from emoexp.stories.subject import Subject

LOOK_AGAIN_S = 1.0
"""Seconds before the units that another job was writing are read again."""
SPEAKERS = {"Person": "Human", "AI": "Assistant"}
"""Speakers' names in the neutral dialogues: those of the prompt, and those that replace them in the
corpus (paper, appendix: the generation prompts)."""


def generate(inputs: CorpusInputs) -> Plan:
    """Writes the missing units of the corpus that the config describes, and returns its plan.

    Raises:
        EmoexpError: the author fails for good. What was written stays, and the same command goes on
            from there.
    """
    plan = plan_of(inputs)
    plan.folder.mkdir(parents=True, exist_ok=True)
    identity_file = plan.folder / "identity.json"
    if not identity_file.exists():
        write_json(identity_file, plan.identity | {"author": plan.author})
    run = Generation(plan, inputs.config.seed)
    todo = []
    for unit in plan.units:
        if (written := plan.read(unit)) is None:
            todo.append(unit)
        else:
            run.count(written)
    total = len(plan.units)
    done = total - len(todo)
    sys.stderr.write(_summary(plan, total, done))
    if todo:
        with meter("stories", total, done) as run.progress:
            asyncio.run(_write_all(inputs, run, todo))
    return plan


def _summary(plan: Plan, total: int, done: int) -> str:
    """Returns the line that is printed before generation: sizes, answers, author, folder."""
    emotions, stories = len(plan.emotions), plan.stories
    return (
        f"stories: {emotions} emotions x {stories.topics} topics x {stories.per_topic} ="
        f" {emotions * stories.topics * stories.per_topic}, and {stories.topics} x"
        f" {stories.dialogues_per_topic} neutral dialogues; {total} answers, {done} of them"
        f" written; author {plan.author}; {plan.folder}\n"
    )


async def _write_all(inputs: CorpusInputs, run: Generation, todo: list[Unit]) -> None:
    """Opens the author and writes the units `todo`, in parallel lanes."""
    stories = run.plan.stories
    lanes = stories.concurrency
    author: AbstractAsyncContextManager[Server | Subject] = Server(stories)
    if not stories.server:
        from emoexp.stories.subject import Subject

        author = nullcontext(Subject(inputs.model, stories, run.progress.say))
        lanes = stories.batch
    async with author as run.author:
        await run.all(todo, lanes)


class Generation:
    """The writing of units by several lanes; a lane writes one unit at a time.

    Attributes:
        texts, rejected: numbers of texts, which the meter shows beside its count.
    """

    author: Server | Subject
    progress: Meter

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self.filter = StoryFilter()
        self.texts = self.rejected = 0
        self.failed: list[str] = []
        self.lanes = Lanes[Unit](lambda _, error: self.failed.append(str(error)))

    def count(self, written: Written) -> None:
        """Counts the texts of a unit."""
        self.texts += len(written.texts)
        self.rejected += sum(self.filter.reason(story) is not None for story in written.judged())
        self.rejected += len(written.other)

    async def all(self, todo: Sequence[Unit], n_lanes: int) -> None:
        """Writes every unit of `todo`, or waits until another job has written it.

        Raises:
            EmoexpError: a fatal error, raised after the lanes have finished their answers; or
                answers are missing.
        """
        total = len(todo)
        while todo and self.lanes.error is None:
            locked: list[Unit] = []
            await self.lanes.run(todo, n_lanes, partial(self.write, locked=locked))
            if len(locked) == len(todo):
                await asyncio.sleep(LOOK_AGAIN_S)
            todo = locked
        if (error := self.lanes.error) is not None:
            raise EmoexpError(
                f"{error}; what was written is kept, and the same command goes on from there"
            ) from error
        if self.failed:
            raise EmoexpError(
                f"{len(self.failed)} of {total} answers are missing, the others are kept; run the"
                f" same command again ({self.failed[-1]})"
            )

    async def write(self, unit: Unit, locked: list[Unit]) -> None:
        """Writes one unit, unless it is there; one that another job is writing goes to `locked`."""
        with self.plan.claim(unit) as claimed:
            if not claimed:
                locked.append(unit)
                return
            if (written := self.plan.read(unit)) is None:
                written = await self.compose(unit)
                self.plan.write(unit, written)
        self.count(written)
        repeated = f", {self.author.repeated} tries repeated" if self.author.repeated else ""
        self.progress.advance(f"{self.texts} texts, {self.rejected} rejected{repeated}")

    async def compose(self, unit: Unit) -> Written:
        """Asks the author until the unit has all its texts, `stories.attempts` times at most, and
        returns the unit; texts beyond the wanted number are cut off."""
        written, wanted = Written(unit.emotion, unit.topic), self.plan.wanted(unit)
        while len(written.texts) < wanted and written.answers < self.plan.stories.attempts:
            missing = wanted - len(written.texts)
            prompt = self.plan.prompt(unit, missing)
            seed = story_seed(self.seed, unit, written.answers)
            finished = partial(self.plan.has_all, unit, missing)
            budget = self.plan.budget(unit, missing)
            answer = await self.author.answer(Request(prompt, seed, budget, finished))
            self.lanes.answered()
            texts = split(answer.text, self.plan.markers[unit.kind])
            if not texts:
                written.other.append(answer.text)
            whole = texts[:-1] if answer.finish in ("length", "repeats") else texts
            written.texts += whole[:missing]
            written.answers += 1
            written.finish_reasons.append(answer.finish)
        return written


def generated_corpus(inputs: CorpusInputs) -> Corpus:
    """Reads the corpus that the config describes, and sifts it: all of it, or an error. Stories
    are ordered emotion by emotion, then topic by topic.

    Raises:
        EmoexpError: units are missing; the message has the command that writes them.
    """
    plan = plan_of(inputs)
    by_emotion = _written_by_emotion(inputs, plan)
    neutral, rejected_neutral = sift(
        [Story("", w.topic, _renamed_speakers(text)) for w in by_emotion[""] for text in w.texts]
    )
    stories, rejected_stories = sift(
        [Story(e, w.topic, text) for e in plan.emotions for w in by_emotion[e] for text in w.texts]
    )
    unmarked = [r for units in by_emotion.values() for written in units for r in written.unmarked()]
    size = f"{len(plan.emotions)} emotions x {len(plan.topics)} topics"
    return Corpus(
        name=f"generated {plan.stories.name}, {size}",
        author=plan.author,
        stories=stories,
        neutral=tuple(story.text for story in neutral),
        rejected=(*rejected_stories, *rejected_neutral, *unmarked),
    )


def _written_by_emotion(inputs: CorpusInputs, plan: Plan) -> dict[str, list[Written]]:
    """Reads all units of the plan; returns them by emotion, the neutral ones under ""."""
    by_emotion: dict[str, list[Written]] = {emotion: [] for emotion in ("", *plan.emotions)}
    units, missing = plan.units, 0
    for unit in units:
        if (written := plan.read(unit)) is None:
            missing += 1
        else:
            by_emotion[unit.emotion].append(written)
    if missing:
        raise EmoexpError(
            f"the corpus {plan.stories.name!r} by {plan.author} lacks {missing} of its {len(units)}"
            f" answers in {plan.folder}: run {command(inputs, 'stories')}"
        )
    return by_emotion


def _renamed_speakers(dialogue: str) -> str:
    return re.sub(r"(?m)^(Person|AI):", lambda match: f"{SPEAKERS[match[1]]}:", dialogue)
