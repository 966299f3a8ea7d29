"""Replies to one user's turn, unsteered and steered, from the same random numbers, token by token;
and what a reply shows when it is read again without steering.

The replies are the rows of one batch: to the unsteered row zeros are added. Every row draws from a
random stream of the same seed. In a chat of several turns each row has its own earlier replies.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError, require
from emoexp.explore.reader import Reader
from emoexp.explore.reading import bands_of
from emoexp.explore.texts import check_length, prompt_of
from emoexp.models.chat import Exchanges
from emoexp.models.prompts import Encoding, Prompt, reply_mask
from emoexp.models.sampling import RowStop
from emoexp.models.subject import Generated, Steering, SubjectModel
from emoexp.stats.labels import ISOTROPIC, UNSTEERED
from emoexp.steering.degeneration import Degeneration, find_degeneration, surprise_limit
from emoexp.steering.degeneration import token_surprise as surprises_of
from emoexp.steering.trajectories import project
from emoexp.vectors.controls import direction_rng, isotropic_directions

MOST_DIALS = 3
STEERED = "steered"
RANDOM_STREAM = 16
"""Stream of random numbers of the random direction."""
MOST_NEW_TOKENS = 512


@dataclass(frozen=True)
class Dial:
    """An emotion and its strength in residual norms; a negative one subtracts."""

    emotion: str
    strength: float


@dataclass(frozen=True)
class Exchange:
    """An earlier turn of a chat: what the user said, and each branch's reply by its name."""

    question: str
    replies: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """What decides the replies.

    Attributes:
        question: the user's turn.
        earlier: the chat before it. It is read as it stands; only with the span `all` it is
            steered.
        dials: up to three emotions.
        layers: blocks whose output is steered, each at full strength.
        span: what is steered along with the reply.
        random: whether a third reply is steered by a random direction of the same norm.
        seed: of the random direction; plus the number of earlier turns, of every row's random
            numbers.
    """

    question: str
    dials: tuple[Dial, ...]
    layers: tuple[int, ...]
    span: ReplySpan = ReplySpan.generated
    random: bool = False
    max_new_tokens: int = 60
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    earlier: tuple[Exchange, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the branches, in their order."""
        return (UNSTEERED, STEERED, ISOTROPIC) if self.random else (UNSTEERED, STEERED)

    def history(self, name: str) -> Exchanges:
        """Returns the chat of one branch before this turn."""
        return tuple((exchange.question, exchange.replies[name]) for exchange in self.earlier)

    def check(self, emotions: Sequence[str], n_layers: int) -> None:
        """Raises EmoexpError for a setting that cannot be used."""
        names = [dial.emotion for dial in self.dials]
        require(bool(names), "choose at least one emotion")
        require(len(names) <= MOST_DIALS, f"{len(names)} emotions: at most {MOST_DIALS}")
        require(len(set(names)) == len(names), f"an emotion is chosen twice: {', '.join(names)}")
        if unknown := [name for name in names if name not in emotions]:
            raise EmoexpError(f"unknown emotion {unknown[0]!r}: choose from {', '.join(emotions)}")
        for dial in self.dials:
            finite = bool(np.isfinite(dial.strength))
            require(finite, f"the strength of {dial.emotion} is {dial.strength}: give a number")
        require(bool(self.layers), "choose at least one layer")
        for layer in self.layers:
            inside = 0 <= layer < n_layers
            require(inside, f"layer={layer} is out of range: 0 to {n_layers - 1}")
        new = self.max_new_tokens
        require(1 <= new <= MOST_NEW_TOKENS, f"{new} new tokens: 1 to {MOST_NEW_TOKENS}")
        require(self.temperature >= 0, f"temperature={self.temperature}: at least 0")
        require(0 < self.top_p <= 1, f"top_p={self.top_p}: above 0, at most 1")
        for name in self.names:
            known = all(name in exchange.replies for exchange in self.earlier)
            require(known, f"the chat has no earlier reply of {name!r}: begin a new chat")


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes:
        ids: its tokens, and `text` what they say.
        tokens: each of them as text.
        ended: by itself, and not at the limit.
        surprise: of each token under the unsteered model, nats; (token,).
        cosines: of each token with each emotion, read again without steering; (token, emotion).
        band: the central 95 % of the cosines of its tokens with isotropic directions; (2,), NaN
            for an empty reply.
        random: the mean cosine over its tokens with each isotropic direction; (draw,).
        degeneration: where it degenerates, if it does. The limit of surprise is that of the
            unsteered reply's own windows, so none is judged where that reply is empty.
    """

    name: str
    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    ended: bool
    surprise: np.ndarray
    cosines: np.ndarray
    band: np.ndarray
    random: np.ndarray
    degeneration: Degeneration | None = None

    @property
    def perplexity(self) -> float:
        """Perplexity under the unsteered model; NaN for an empty reply, which has none."""
        return float(np.exp(self.surprise.mean())) if len(self.ids) else float("nan")

    def table(self, emotions: Sequence[str]) -> pd.DataFrame:
        """Returns a row for each token: reply, token, surprise, and cosine with each emotion."""
        marks = {"reply": self.name, "token": self.tokens, "surprise": self.surprise}
        cosines = pd.DataFrame(self.cosines, columns=list(emotions))
        return pd.concat([pd.DataFrame(marks, index=cosines.index), cosines], axis=1)


def additions(reader: Reader, settings: Settings) -> dict[int, dict[str, np.ndarray]]:
    """Returns what is added at each layer, by the name of the reply; (d_model,) each.

    It is the sum of strength times residual norm times direction; for the random direction, an
    isotropic one of the norm of that sum.
    """
    found = dict[int, dict[str, np.ndarray]]()
    for layer in settings.layers:
        vectors = reader.vectors[layer]
        total = sum(
            (d.strength * vectors.residual_norm * vectors[d.emotion] for d in settings.dials),
            start=np.zeros(vectors.directions.shape[1]),
        )
        found[layer] = {UNSTEERED: np.zeros_like(total), STEERED: total}
        if settings.random:
            identity = reader.study.model.identity
            rng = direction_rng(settings.seed, layer, identity, RANDOM_STREAM)
            direction = isotropic_directions(1, len(total), rng)[0]
            found[layer][ISOTROPIC] = np.linalg.norm(total) * direction
    return found


class Replies:
    """The replies to one prompt: written token by token, then read again.

    Attributes:
        names: of the replies, in their order: unsteered, steered and, if asked for, random.
        prompts: of each of them; they differ in the earlier replies of a chat.

    Raises:
        EmoexpError: a setting cannot be used, or a prompt cannot be read.
    """

    def __init__(self, reader: Reader, settings: Settings) -> None:
        self.model: SubjectModel = reader.study.model
        settings.check(reader.study.emotions, self.model.n_layers)
        self.reader, self.settings = reader, settings
        self.names = settings.names
        self.prompts = [self._prompt(name) for name in self.names]
        added = additions(reader, settings)
        self.vectors = {
            layer: torch.as_tensor(np.stack([rows[n] for n in self.names]), dtype=torch.float32)
            for layer, rows in added.items()
        }

    def _prompt(self, name: str) -> Prompt:
        settings = self.settings
        prompt = prompt_of(self.model, settings.question, True, settings.history(name))
        check_length(self.model, prompt, settings.max_new_tokens)
        return prompt

    def stream(self) -> Generator[Generated, None, None]:
        """Writes the replies, and yields all of them after every token. Closing the iterator stops
        the model at its next token."""
        encoding = self.model.encode(self.prompts)
        mask = reply_mask(self.prompts, self.settings.span, encoding)
        put: queue.Queue[list[list[int]] | Generated | BaseException] = queue.Queue()
        stop = _Stream(self.model, encoding, put.put)

        def write() -> None:
            try:
                put.put(self._generate(encoding, Steering(self.vectors, mask), stop))
            except BaseException as error:
                put.put(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            while True:
                item = put.get()
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, Generated):
                    yield item
                    return
                yield self.model.generated(item)
        finally:
            stop.cancelled.set()
            thread.join()

    def read(self, replies: Generated) -> list[Reply]:
        """Reads replies again without steering, at the last steered layer."""
        layer = max(self.settings.layers)
        directions = self.reader.vectors[layer].directions
        n = len(directions)
        probes = np.concatenate([directions, self.reader.random[layer]])
        surprise = surprises_of(self.model, self.prompts, replies)
        read = project(self.model, self.prompts, replies, layer, probes)
        cosines = [row.astype(np.float64) for row in read]
        decode = self.model.tokenizer.decode
        limit = surprise_limit(surprise[:1]) if replies.ids[0] else None
        ends = [
            None if limit is None else find_degeneration(ids, surprises, limit)
            for ids, surprises in zip(replies.ids, surprise, strict=True)
        ]
        return [
            Reply(
                name=name,
                text=replies.texts[r],
                ids=replies.ids[r],
                tokens=tuple(decode([token]) for token in replies.ids[r]),
                ended=replies.ended[r],
                surprise=surprise[r],
                cosines=cosines[r][:, :n],
                band=_band(cosines[r][:, n:]),
                random=_mean(cosines[r][:, n:]),
                degeneration=ends[r],
            )
            for r, name in enumerate(self.names)
        ]

    def all(self) -> list[Reply]:
        """Writes the replies to their end, and reads them."""
        *_, last = self.stream()
        return self.read(last)

    def _generate(self, encoding: Encoding, steering: Steering, stop: RowStop) -> Generated:
        settings = self.settings
        return self.model.generate(
            encoding,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seeds=[settings.seed + len(settings.earlier)] * len(self.names),
            steering=steering,
            stop=stop,
        )


def _band(cosines: np.ndarray) -> np.ndarray:
    """Returns the central 95 % of (token, draw) cosines; NaN of none."""
    return bands_of(cosines) if len(cosines) else np.full(2, np.nan)


def _mean(cosines: np.ndarray) -> np.ndarray:
    """Returns the means over the tokens of (token, draw) cosines; NaN of none."""
    if not len(cosines):
        return np.full(cosines.shape[1], np.nan)
    return np.asarray(cosines.mean(0, dtype=np.float64))


def drift_table(
    replies: Sequence[Reply], emotions: Sequence[str], first: Sequence[str]
) -> pd.DataFrame:
    """Returns the mean cosine of each reply with each emotion, and its difference from the
    unsteered reply's, with the central 95 % of isotropic directions' difference.

    Args:
        replies: the unsteered one first.
        first: emotions that come first; the others follow by the size of the steered difference.

    Raises:
        EmoexpError: a reply is empty, so that it has no mean.
    """
    if empty := [reply.name for reply in replies if not len(reply.ids)]:
        raise EmoexpError(f"the reply {empty[0]!r} is empty, so there is no drift: change the seed")
    means = [reply.cosines.mean(0, dtype=np.float64) for reply in replies]
    table = pd.DataFrame({"emotion": list(emotions), "unsteered": means[0]})
    for reply, mean in zip(replies[1:], means[1:], strict=True):
        low, high = bands_of(reply.random - replies[0].random)
        table[reply.name] = mean
        table[f"{reply.name}: drift"] = drift = mean - means[0]
        table[f"{reply.name}: null"] = f"{low:+.4f} .. {high:+.4f}"
        table[f"{reply.name}: beyond"] = (drift < low) | (drift > high)
    size = np.abs(means[1] - means[0])
    order = sorted(range(len(table)), key=lambda i: (emotions[i] not in first, -size[i]))
    return table.iloc[order].reset_index(drop=True)


def breaking_strength(
    reader: Reader, settings: Settings, strengths: Sequence[float]
) -> tuple[float | None, pd.DataFrame]:
    """Finds the smallest of `strengths` at which the reply degenerates.

    The dials keep their proportions: a strength is that of the first dial.

    Returns:
        that strength, None where no reply degenerates; and a row for each strength: strength,
        tokens, perplexity, degenerates_at (-1: nowhere), why.

    Raises:
        EmoexpError: the first dial is at 0, or as `Replies`.
    """
    settings.check(reader.study.emotions, reader.study.model.n_layers)
    first = settings.dials[0].strength
    require(first != 0, f"{settings.dials[0].emotion} is at 0: give the first emotion a strength")
    rows = []
    for strength in sorted(strengths, key=abs):
        dials = tuple(replace(d, strength=d.strength / first * strength) for d in settings.dials)
        tried = replace(settings, dials=dials, random=False)
        steered = Replies(reader, tried).all()[1]
        end = steered.degeneration
        rows.append(
            {
                "strength": strength,
                "tokens": len(steered.ids),
                "perplexity": steered.perplexity,
                "degenerates_at": end.token if end else -1,
                "why": end.why if end else "",
            }
        )
    table = pd.DataFrame(rows)
    broken = table[table["degenerates_at"] >= 0]
    return (float(broken["strength"].iloc[0]) if len(broken) else None), table


class _Stream(RowStop):
    """A stopping criterion that sends the new ids of all rows after every token, and ends them when
    it is cancelled. A row ends by itself at an end token."""

    def __init__(
        self, model: SubjectModel, encoding: Encoding, send: Callable[[list[list[int]]], None]
    ) -> None:
        rows, width = encoding.ids.shape
        decode, ends = model.tokenizer.decode, model.end_tokens
        super().__init__(width, [None] * rows, [MOST_NEW_TOKENS] * rows, ends, decode, print)
        self.send = send
        self.cancelled = threading.Event()

    def __call__(self, input_ids: Tensor, scores: Tensor, **settings: object) -> Tensor:
        """Returns which rows are done; (row,), bool."""
        self.send(input_ids[:, self.width :].tolist())
        return torch.full((len(input_ids),), self.cancelled.is_set(), device=input_ids.device)
