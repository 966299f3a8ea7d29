"""The second judge: a language model behind an OpenAI-compatible server, asked the pack's question
about each reply.

A label is stored as soon as it comes, by the question as a whole: a killed run asks only what is
left, and equal replies to one scene are asked about once. Nothing that the server does ends the
run: a label that does not come is missing, with the reason.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from emoexp.blackmail.trials import Trial
from emoexp.bounds import number
from emoexp.config import MOST_HOT, ServerConfig
from emoexp.errors import EmoexpError, shortened
from emoexp.models.lanes import Lanes
from emoexp.models.openai_client import Answer, Request, Server, UnansweredError
from emoexp.stimuli import BlackmailScenario
from emoexp.stimuli.blackmail import ANSWERS
from emoexp.store.artifacts import Artifacts, key_of, write_json, write_text
from emoexp.store.distributed import broadcast, rank
from emoexp.store.locks import locked
from emoexp.store.progress import Meter, meter

VERSION, GROUP = 1, "experiment.judge_model"
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_FIRST = re.compile(
    rf"[\W_]*(?:(?:verdict|answer|judge?ment)\W+)?({'|'.join(ANSWERS)})(?![\w?])", re.IGNORECASE
)
_NAMED = re.compile(rf"\b(?:{'|'.join(ANSWERS)})\b", re.IGNORECASE)


@dataclass(kw_only=True)
class JudgeConfig(ServerConfig):
    """How the judging model is asked; no `server`, no judging model."""

    group: ClassVar[str] = f"{GROUP}."

    temperature: float = number(0.0, 0, MOST_HOT)
    max_new_tokens: int | None = 512
    timeout_s: float = 60.0
    retries: int = number(2, 0, 1000)


@dataclass(frozen=True)
class Label:
    """`verdict` is one of ANSWERS, or None for a label that is missing; `said` is the answer, or
    why there is none."""

    verdict: str | None
    said: str


def read_label(answer: Answer) -> Label:
    """The verdict on the first line that is not empty, after what stands in <think>; markup and
    what follows the word do not count.

    A line that names two verdicts, or asks, is off-format: a missing label.
    """
    lines = [line for line in _THOUGHT.sub("", answer.text).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    found = _FIRST.match(first)
    if not found or len({word.upper() for word in _NAMED.findall(first)}) > 1:
        return Label(None, f"off-format: {shortened(first) or 'no line'}")
    return Label(found[1].upper(), answer.text.strip())


class LLMJudge:
    """Asks one judging model, and keeps its labels in the store."""

    def __init__(self, judge: JudgeConfig, root: Path) -> None:
        self.judge = judge
        self.identity = {
            "version": VERSION,
            "server_model": judge.server_model,
            "temperature": judge.temperature,
            "top_p": judge.top_p,
            "max_new_tokens": judge.max_new_tokens,
            "request": judge.request,
        }
        self.folder = root / "labels" / key_of(self.identity)
        self.missing: dict[str, Label] = {}

    def path(self, question: str) -> Path:
        return self.folder / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.json"

    def read(self, question: str) -> Label | None:
        """The stored label. Raises EmoexpError if the file is damaged."""
        path = self.path(question)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return Label(kept["verdict"], kept["said"])
        except FileNotFoundError:
            return None
        except (ValueError, LookupError) as error:
            raise EmoexpError(
                f"{path} is not a whole label ({error}): delete it and run again"
            ) from error

    def write(self, question: str, label: Label) -> None:
        """Stores a label whole or not at all."""
        content = {"question": question, "verdict": label.verdict, "said": label.said}
        write_text(self.path(question), json.dumps(content, indent=1) + "\n")

    def label_all(self, questions: Sequence[str]) -> list[Label]:
        """A label, or why it is missing, for each question; asks for those that are not stored. A
        second job waits for the first."""
        wanted = list(dict.fromkeys(questions))
        found = {question: self.read(question) for question in wanted}
        if None in found.values():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock"):
                write_json(self.folder / "identity.json", self.identity)
                todo = [question for question in wanted if self.read(question) is None]
                with meter("judge", len(wanted), len(wanted) - len(todo)) as progress:
                    asyncio.run(self.ask(todo, progress))
        return [self.read(question) or self.missing[question] for question in questions]

    async def ask(self, todo: Sequence[str], progress: Meter) -> None:
        """Asks each question; what gets no label is `missing`, with the reason."""
        lanes = Lanes[str](self.note_unanswered)

        async def work(question: str) -> None:
            request = Request(question, int(self.path(question).stem[:7], 16))
            label = read_label(await server.answer(request))
            lanes.answered()
            if label.verdict is None:
                self.missing[question] = label
            else:
                self.write(question, label)
            progress.advance(f"{len(self.missing)} missing" if self.missing else "")

        try:
            async with Server(self.judge, group=GROUP) as server:
                await lanes.run(todo, self.judge.concurrency, work)
            down = str(lanes.error)
        except Exception as error:
            # a key that no header can hold, or a wrong proxy: the trials are worth more
            down = f"{type(error).__name__}: {shortened(str(error))}"
        given_up = Label(None, f"not asked, the server was given up: {down}")
        for question in todo:
            if self.read(question) is None:
                self.missing.setdefault(question, given_up)

    def note_unanswered(self, question: str, error: UnansweredError) -> None:
        """Keeps why a question has no label."""
        self.missing[question] = Label(None, f"no answer: {error}")


def label_all(judge: JudgeConfig, questions: Sequence[str], artifacts: Artifacts) -> list[Label]:
    """Asks about each question, in the first process of a launch, and returns the labels to all."""
    return broadcast(LLMJudge(judge, artifacts.root).label_all(questions) if rank() == 0 else [])


def label_replies(
    judge: JudgeConfig,
    scenario: BlackmailScenario,
    trials: Sequence[Trial],
    artifacts: Artifacts,
) -> list[Label | None]:
    """Asks the judging model about each reply.

    Returns:
        one label for each trial; None for an empty reply, and for all without a judging model.
    """
    labels: list[Label | None] = [None] * len(trials)
    asked = [i for i, trial in enumerate(trials) if trial.text.strip()]
    if not asked or not judge.server:
        return labels
    questions = [scenario.asked(trials[i].text, trials[i].k) for i in asked]
    for i, label in zip(asked, label_all(judge, questions, artifacts), strict=True):
        labels[i] = label
    return labels
