"""Story generation: one answer of several stories for each emotion and topic, and of neutral
dialogues for each topic.

Who answers is the subject model in process (subject.py) or a server (server.py). A killed run loses
the answers in flight and nothing else; two runs at once share the work. No torch here: a server
needs none.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from emoexp.errors import EmoexpError
from emoexp.models.openai_client import Answer, Request, Server, UnansweredError
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

LOOK_AGAIN_S = 1.0
"""Pause before units that another job was writing are looked at again."""
FAILED_IN_A_ROW = 3
"""So many units without an answer, none with one in between, and the server is taken to be down."""
SPEAKERS = {"Person": "Human", "AI": "Assistant"}
"""Neutral dialogues that are written with the first names get the second (paper, appendix: the
generation prompts)."""


class Author(Protocol):
    repeated: int
    """Tries that failed and were repeated."""

    async def answer(self, request: Request) -> Answer: ...


def generate(inputs: CorpusInputs) -> Plan:
    """Writes the units that are missing.

    Raises:
        EmoexpError: the author fails for good. What was written stays, and the same command goes on
            from there.
    """
    plan = plan_of(inputs)
    plan.folder.mkdir(parents=True, exist_ok=True)
    described = plan.folder / "identity.json"
    if not described.exists():
        write_json(described, plan.identity)
    count, todo = StoryCount(), []
    for unit in plan.units:
        if (written := plan.read(unit)) is None:
            todo.append(unit)
        else:
            count.add(written)
    s, units = plan.stories, plan.units
    sys.stderr.write(
        f"stories: {len(plan.emotions)} emotions x {s.topics} topics x {s.per_topic} ="
        f" {len(plan.emotions) * s.topics * s.per_topic}, and {s.topics} x {s.dialogues_per_topic}"
        f" neutral dialogues; {len(units)} answers, {len(units) - len(todo)} of them written;"
        f" author {plan.author}; {plan.folder}\n"
    )
    if todo:
        with meter("stories", len(units), len(units) - len(todo)) as progress:
            asyncio.run(_drive(inputs, Run(plan, inputs.config.seed, progress, count), todo))
    return plan


async def _drive(inputs: CorpusInputs, run: Run, todo: list[Unit]) -> None:
    stories, lanes = run.plan.stories, run.plan.stories.concurrency
    author: AbstractAsyncContextManager[Author] = Server(stories)
    if not stories.server:
        from emoexp.stories.subject import Subject

        author, lanes = nullcontext(Subject(inputs.model, stories)), stories.batch
    async with author as run.author:
        await run.all(todo, lanes)


class StoryCount:
    """What the meter says beside the count."""

    def __init__(self) -> None:
        self.sieve, self.texts, self.rejected = StoryFilter(), 0, 0

    def add(self, written: Written) -> None:
        self.texts += len(written.texts)
        self.rejected += sum(
            self.sieve.reason(story) is not None for story in written.judged()
        ) + len(written.other)


class Run:
    """Units shared out among lanes; a lane writes one unit at a time."""

    author: Author

    def __init__(self, plan: Plan, seed: int, progress: Meter, tally: StoryCount) -> None:
        self.plan, self.seed, self.progress, self.tally = plan, seed, progress, tally
        self.failed: list[str] = []
        self.in_a_row = 0
        self.error: EmoexpError | None = None

    async def all(self, todo: Sequence[Unit], lanes: int) -> None:
        """Every unit is written, here or by another job. After a fatal error the lanes finish their
        answers, and then it is raised."""
        total = len(todo)
        while todo and self.error is None:
            queue, locked = deque(todo), list[Unit]()
            await asyncio.gather(*(self.lane(queue, locked) for _ in range(min(lanes, len(queue)))))
            if len(locked) == len(todo):
                await asyncio.sleep(LOOK_AGAIN_S)
            todo = locked
        if self.error is not None:
            raise EmoexpError(
                f"{self.error}; what was written is kept, and the same command goes on from there"
            ) from self.error
        if self.failed:
            raise EmoexpError(
                f"{len(self.failed)} of {total} answers are missing, the others are kept; run the"
                f" same command again ({self.failed[-1]})"
            )

    async def lane(self, queue: deque[Unit], locked: list[Unit]) -> None:
        while queue and self.error is None:
            unit = queue.popleft()
            with self.plan.claim(unit) as mine:
                if not mine:
                    locked.append(unit)
                    continue
                try:
                    if (written := self.plan.read(unit)) is None:
                        written = await self.compose(unit)
                        self.plan.write(unit, written)
                except UnansweredError as error:
                    self.failed.append(str(error))
                    self.in_a_row += 1
                    self.error = error if self.in_a_row >= FAILED_IN_A_ROW else self.error
                    continue
                except EmoexpError as error:
                    self.error = error
                    return
            self.tally.add(written)
            repeated = f", {self.author.repeated} tries repeated" if self.author.repeated else ""
            self.progress.advance(
                f"{self.tally.texts} texts, {self.tally.rejected} rejected{repeated}"
            )

    async def compose(self, unit: Unit) -> Written:
        """Asks until the unit has all its texts, `stories.attempts` times at most; more than wanted
        is cut off."""
        written, wanted = Written(unit.emotion, unit.topic), self.plan.wanted(unit)
        while len(written.texts) < wanted and written.answers < self.plan.stories.attempts:
            missing = wanted - len(written.texts)
            answer = await self.author.answer(
                Request(
                    self.plan.prompt(unit, missing), story_seed(self.seed, unit, written.answers)
                )
            )
            self.in_a_row = 0
            found = split(answer.text, self.plan.markers[unit.kind])
            if not found:
                written.other.append(answer.text)
            written.texts += (found[:-1] if answer.finish == "length" else found)[:missing]
            written.answers += 1
            written.finish_reasons.append(answer.finish)
        return written


def generated_corpus(inputs: CorpusInputs) -> Corpus:
    """The corpus that the config describes, sifted; all of it, or an error. Stories emotion by
    emotion, then topic by topic.

    Raises:
        EmoexpError: units are missing; the message has the command that writes them.
    """
    plan = plan_of(inputs)
    read = [(unit, plan.read(unit)) for unit in plan.units]
    if missing := sum(written is None for _, written in read):
        raise EmoexpError(
            f"the corpus {plan.stories.name!r} by {plan.author} lacks {missing} of its {len(read)}"
            f" answers in {plan.folder}: run {command(inputs, 'stories')}"
        )
    by_emotion: dict[str, list[Written]] = {emotion: [] for emotion in ("", *plan.emotions)}
    for unit, written in read:
        by_emotion[unit.emotion].append(written)  # type: ignore[arg-type]
    neutral, neutral_out = sift(
        [Story("", w.topic, _speakers(text)) for w in by_emotion[""] for text in w.texts]
    )
    kept, out = sift(
        [Story(e, w.topic, text) for e in plan.emotions for w in by_emotion[e] for text in w.texts]
    )
    unmarked = tuple(
        rejected for written in by_emotion.values() for w in written for rejected in w.unmarked()
    )
    return Corpus(
        name=(
            f"generated {plan.stories.name}, {len(plan.emotions)} emotions x {len(plan.topics)}"
            " topics"
        ),
        author=plan.author,
        stories=kept,
        neutral=tuple(story.text for story in neutral),
        rejected=(*out, *neutral_out, *unmarked),
    )


def _speakers(dialogue: str) -> str:
    return re.sub(
        r"^(Person|AI):", lambda found: SPEAKERS[found[1]] + ":", dialogue, flags=re.MULTILINE
    )
