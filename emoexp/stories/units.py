"""The units of a generated corpus, and the folder that holds them.

A corpus is a folder `corpora/<key>`: identity.json, `stories/<emotion>/<topic index>.json` and
`neutral/<topic index>.json`. Such a file is a unit: written whole or not at all, never written
twice, claimed by one job at a time. The key is over what changes a text and over nothing else, so a
corpus grows with more topics or emotions. This module does not import torch: a server needs none.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from emoexp.config import Config, StoriesConfig
from emoexp.errors import EmoexpError, require
from emoexp.stimuli import Stimuli, choose_emotions
from emoexp.stimuli.reader import DELIMITED
from emoexp.store.artifacts import Artifacts, clear, file_name, key_of, write_text
from emoexp.stories.corpus import Rejected, Story
from emoexp.stories.reject import is_refusal

if TYPE_CHECKING:
    from emoexp.models.subject import SubjectModel

VERSION = 2
TOKENS = {"story": 400, "dialogue": 800}
"""Tokens that an answer may take for each text that is asked for. A story of 110 to 180 English
words is 150 to 250 tokens; other languages and small vocabularies need more."""
CARRIED = re.compile(
    r"[+~]*(model|stimuli|stories|emotions|seed|artifacts|local)\b.*=|-m$|--multirun$", re.DOTALL
)
"""The arguments of a typed command line that another command line for the same corpus repeats."""


class CorpusInputs(Protocol):
    """What a corpus is made from: the configuration, the pack, the store, and the subject model,
    which is loaded when it is first read. A `Study` has all of them."""

    @property
    def config(self) -> Config:
        """Returns the configuration of the run."""

    @property
    def stimuli(self) -> Stimuli:
        """Returns the pack."""

    @property
    def artifacts(self) -> Artifacts:
        """Returns the store."""

    @property
    def model(self) -> SubjectModel:
        """Returns the subject model, which is loaded at the first call."""


@dataclass(frozen=True)
class Unit:
    """The content of one file; `emotion` is empty for the neutral dialogues of a topic."""

    emotion: str
    index: int
    topic: str

    @property
    def kind(self) -> str:
        """Returns the name of the template that asks for the unit."""
        return "story" if self.emotion else "dialogue"

    @property
    def file(self) -> str:
        """Returns the path of the unit's file, relative to the folder of the corpus."""
        if self.emotion:
            return f"stories/{file_name(self.emotion)}/{self.index:04d}.json"
        return f"neutral/{self.index:04d}.json"


@dataclass
class Written:
    """The texts of a unit. `texts` are the stories asked for, `other` the answers in which no story
    was marked (refusals, rambling)."""

    emotion: str
    topic: str
    texts: list[str] = field(default_factory=list)
    answers: int = 0
    finish_reasons: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def judged(self) -> list[Story]:
        """Returns the texts as stories, which are still to be sifted."""
        return [Story(self.emotion, self.topic, text) for text in self.texts]

    def unmarked(self) -> list[Rejected]:
        """Returns the answers without a marked story, rejected as `refusal`, or as `empty` (of
        stories)."""
        stories = [Story(self.emotion, self.topic, text) for text in self.other]
        return [Rejected(s, "refusal" if is_refusal(s.text) else "empty") for s in stories]


@dataclass(frozen=True)
class Plan:
    """A generated corpus as the config asks for it."""

    stories: StoriesConfig
    templates: dict[str, str]
    markers: dict[str, re.Pattern[str]]
    emotions: tuple[str, ...]
    topics: tuple[str, ...]
    author: str
    identity: dict[str, Any]
    root: Path

    @property
    def folder(self) -> Path:
        """Returns the folder of the corpus."""
        return self.root / "corpora" / key_of(self.identity)

    @property
    def units(self) -> list[Unit]:
        """Returns the units topic by topic, so that a corpus that is stopped half-way has all
        emotions in equal parts."""
        return [
            Unit(emotion, i, topic)
            for i, topic in enumerate(self.topics)
            for emotion in ("", *self.emotions)
        ]

    def wanted(self, unit: Unit) -> int:
        """Returns how many texts the unit is to have."""
        return self.stories.per_topic if unit.emotion else self.stories.dialogues_per_topic

    def prompt(self, unit: Unit, n: int) -> str:
        """Returns the prompt that asks for `n` texts of the unit: its template, filled in."""
        values = {"n": str(n), "topic": unit.topic, "emotion": unit.emotion}
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.templates[unit.kind])

    def budget(self, unit: Unit, n: int) -> int:
        """Returns how many tokens an answer with `n` texts of the unit may take."""
        return self.stories.max_new_tokens or 64 + n * TOKENS[unit.kind]

    def has_all(self, unit: Unit, n: int, answer: str) -> bool:
        """Tells whether an answer has `n` whole texts of the unit: as many closing markers, or one
        opening marker more."""
        kinds = [match[1] for match in self.markers[unit.kind].finditer(answer)]
        return kinds.count("/") >= n or kinds.count(None) > n

    def read(self, unit: Unit) -> Written | None:
        """Reads the unit from the folder; returns None if it is not there.

        Raises:
            EmoexpError: the file is damaged, or was written about another topic (the pack's topics
                have changed).
        """
        path = self.folder / unit.file
        try:
            written = Written(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise EmoexpError(
                f"{path} is not a whole unit of stories ({error}): delete it and run again"
            ) from error
        if written.topic != unit.topic:
            raise EmoexpError(
                f"{path} is about another topic than topic {unit.index} of the pack: the topics"
                f" have changed; delete {self.folder} or undo that"
            )
        return written

    def write(self, unit: Unit, written: Written) -> None:
        """Writes a unit whole or not at all."""
        write_text(self.folder / unit.file, json.dumps(asdict(written), indent=1) + "\n")

    @contextmanager
    def claim(self, unit: Unit) -> Iterator[bool]:
        """Locks the unit while the context lasts: yields True if this job may write it, False if
        another job is writing it. The kernel frees the claim of a job that dies.

        The lock file is removed once the unit is there: a job that still locks the removed file
        finds the unit written.
        """
        path = self.folder / unit.file
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            clear(path.parent, f".{path.name}.*.tmp")
            yield True
        finally:
            if path.exists():
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def plan_of(inputs: CorpusInputs) -> Plan:
    """Returns the corpus that the config asks for, with every check done before anything is
    written. Loads the subject model unless a server writes the stories.

    Raises:
        EmoexpError: the config is not of generated stories, the pack has no templates or too few
            topics.
    """
    pack, stories, model = inputs.stimuli, inputs.config.stories, inputs.config.model
    require(
        min(stories.topics, stories.per_topic, stories.dialogues_per_topic) >= 1,
        f"stories={stories.name} does not say how many stories to generate: choose smoke, screen,"
        " medium or paper",
    )
    templates = _templates_of(pack)
    markers = {name: marker(template, name) for name, template in templates.items()}
    n = len(pack.topics)
    require(
        stories.topics <= n,
        f"stories.topics={stories.topics}, but the pack {pack.name!r} has {n} topics",
    )
    require(
        stories.server is not None or not (model.remote or model.tensor_parallel),
        "stories are not generated in process with model.remote or model.tensor_parallel: serve the"
        " model and give stories.server",
    )
    return Plan(
        stories=stories,
        templates=templates,
        markers=markers,
        emotions=emotions_of(inputs),
        topics=pack.topics[: stories.topics],
        author=stories.server_model or model.repo_id,
        identity=_identity_of(inputs, templates),
        root=inputs.artifacts.root,
    )


def _templates_of(pack: Stimuli) -> dict[str, str]:
    if missing := [name for name in DELIMITED if name not in pack.templates]:
        raise EmoexpError(
            f"the pack {pack.name!r} has no template for {' and '.join(missing)}: generate with"
            " stimuli=emoexp, or add them to its pack.json"
        )
    return {name: pack.templates[name] for name in DELIMITED}


def _identity_of(inputs: CorpusInputs, templates: dict[str, str]) -> dict[str, Any]:
    """Returns what changes a text of the corpus; the key of its folder is the hash of this."""
    config, stories = inputs.config, inputs.config.stories
    author = {"server_model": stories.server_model, "request": stories.request}
    if not stories.server:
        author = {"model": inputs.model.identity}
    return author | {
        "version": VERSION,
        "format": "chat" if stories.server else config.model.format.value,
        "templates": templates,
        "per_topic": stories.per_topic,
        "dialogues_per_topic": stories.dialogues_per_topic,
        "temperature": stories.temperature,
        "top_p": stories.top_p,
        "max_new_tokens": stories.max_new_tokens,
        "seed": config.seed,
    }


def emotions_of(inputs: CorpusInputs) -> tuple[str, ...]:
    """Returns the pack's emotions, or those that the config names, which need not be in the pack:
    a story can be asked for about any word.

    Raises:
        EmoexpError: the config asks for the emotions of a corpus that is there already.
    """
    chosen, known = inputs.config.emotions, inputs.stimuli.emotions
    require(
        not chosen.from_corpus,
        "emotions=corpus takes the emotions of stories that are there: to generate some, name them"
        " (emotions=screen30, say)",
    )
    return choose_emotions(tuple(dict.fromkeys((*known, *(chosen.names or ())))), chosen.names)


def story_seed(seed: int, unit: Unit, attempt: int) -> int:
    """Returns a seed of 31 bits that depends on `seed`, the unit and the attempt, and on nothing
    else of the run."""
    content = json.dumps([seed, unit.emotion, unit.index, attempt])
    digest = hashlib.sha256(content.encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def marker(template: str, name: str) -> re.Pattern[str]:
    """Returns the pattern of what opens or closes a text (group 1: "/" if it closes): the line
    `<...>` of the template, at the start of a line, in any case, with or without NEW, a number, or
    markdown around it.

    Raises:
        EmoexpError: the template has no such line, or different ones.
    """
    words = {
        line.removeprefix("NEW ") for line in re.findall(r"^<([^<>\n]+)>$", template, re.MULTILINE)
    }
    if len(words) != 1:
        raise EmoexpError(
            f"the template {name!r} needs one line like <STORY> to tell texts apart by; it has"
            f" {', '.join(sorted(words)) or 'none'}"
        )
    return re.compile(
        rf"(?:^[ \t*#_`]*<|<(/))(?:NEW\s+)?{re.escape(words.pop())}(?:\s*#?\d+)?>[*:_`]*",
        re.IGNORECASE | re.MULTILINE,
    )


def split(answer: str, pattern: re.Pattern[str]) -> list[str]:
    """Returns the texts of an answer. What precedes the first marker (a greeting, a chain of
    thought) is left out, and so is what follows a closing marker."""
    parts = pattern.split(re.sub(r"^\s*<think>.*?</think>", "", answer, flags=re.DOTALL))
    texts = [
        re.sub(r"\n\s*[-*_=]{3,}\s*$", "", text).strip()
        for closing, text in zip(parts[1::2], parts[2::2], strict=True)
        if closing is None
    ]
    return [text for text in texts if text]


def command(inputs: CorpusInputs, experiment: str) -> str:
    """Returns the command line that runs `experiment` on the same corpus: the typed arguments that
    choose the corpus, with another experiment."""
    typed = [argument for argument in sys.argv[1:] if CARRIED.match(argument)]
    if not any(argument.startswith("stories=") for argument in typed):
        typed.insert(0, f"stories={inputs.config.stories.name}")
    return shlex.join(["python", "-m", "emoexp", f"experiment={experiment}", *typed])
