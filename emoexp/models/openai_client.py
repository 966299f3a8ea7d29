"""A client for language models behind HTTP (story authors, judging models), on any server with
OpenAI's /chat/completions."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from emoexp.config import ServerConfig
from emoexp.errors import EmoexpError

with suppress(TypeError):
    # anyio, by which httpx sends, loads these late. It cannot load them any more once nnsight has
    # given every object a `.save`.
    import anyio.streams.tls  # noqa: F401
    from anyio.abc import SocketAttribute  # noqa: F401

TRANSIENT = frozenset({408, 409, 425, 429})
"""HTTP statuses that are tried again, as are all of 5xx. Every other status than 200 is an error of
the request or of the key, and stops at once."""
FEW = 2
"""Repetitions of a request that was answered without an answer, or not in time: what causes that is
mostly there again, or costs long."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
TOLD_S = 5.0
"""Time without a word while a server fails, and between two lines about it."""


@dataclass(frozen=True)
class Request:
    """One prompt for the server.

    Attributes:
        seed: sets the sampling, where the server can be seeded, and the random part of the waits.
        max_new_tokens: of the answer, where the settings name no number.
        finished: tells from the text so far that the answer has all that was asked for; for an
            author that can stop there.
    """

    prompt: str
    seed: int
    max_new_tokens: int | None = None
    finished: Callable[[str], bool] | None = None


@dataclass(frozen=True)
class Answer:
    """The text that a server answered, and why it ended: `finish` is "stop", "length" (half an
    answer: the last story is not whole), "content_filter" or another reason that the server gives.
    In process it can also be "enough" (the answer has all that was asked for, and was stopped) and
    "repeats" (the model repeated itself, and was stopped)."""

    text: str
    finish: str


class UnansweredError(EmoexpError):
    """A request that failed in every try. Other requests may succeed."""


class Transient(Exception):
    """A failed try that may be repeated, `retries` times at most if given, after at least `wait`
    seconds if the server asks for a wait."""

    def __init__(self, reason: str, wait: float = 0.0, retries: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
        self.retries = retries


class RateLimiter:
    """A limit of requests per minute, spaced evenly at any concurrency; None is no limit."""

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self.free = 0.0

    def reserve(self, now: float) -> float:
        """Reserves the next free time for a request and returns the seconds from `now` until
        then."""
        start = max(now, self.free)
        self.free = start + self.gap
        return start - now


class Server:
    """A connection to a server: `async with Server(settings) as author: await
    author.answer(request)`. The key is read from the environment and never shown.

    `waits` are the first and the longest back-off in seconds; the n-th doubles the first n times
    and is cut by up to half at random. `group` is the name of the config group of the settings:
    messages name `<group>.server` and its other fields.
    """

    def __init__(
        self,
        settings: ServerConfig,
        waits: tuple[float, float] = (FIRST_WAIT_S, LONGEST_WAIT_S),
        *,
        group: str = "stories",
    ) -> None:
        self.settings = settings
        self.waits = waits
        self.group = group
        self.pace = RateLimiter(settings.requests_per_minute)
        self.repeated = 0
        self.told = time.monotonic()
        self.url = f"{settings.server}".rstrip("/") + "/chat/completions"
        self.key = os.environ.get(settings.api_key_variable, "")

    async def __aenter__(self) -> Self:
        if "anyio.streams.tls" not in sys.modules:
            raise EmoexpError(
                "no server can be asked, since nnsight was loaded first: import"
                " emoexp.models.openai_client before a model is loaded"
            )
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=self.settings.concurrency)
        self.client = httpx.AsyncClient(headers=headers, limits=limits, timeout=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    def body(self, request: Request) -> dict[str, Any]:
        """Returns the JSON body to send. `settings.request` adds fields to it, replaces them, and
        removes those that it sets to null."""
        fields = {
            "model": self.settings.server_model,
            "messages": [{"role": "user", "content": request.prompt}],
            "seed": request.seed,
            "temperature": self.settings.temperature,
            "top_p": self.settings.top_p,
            "max_tokens": self.settings.max_new_tokens or request.max_new_tokens,
        } | self.settings.request
        return {name: value for name, value in fields.items() if value is not None}

    async def answer(self, request: Request) -> Answer:
        """Returns the answer to one request, which is tried up to 1 + `settings.retries` times,
        or `FEW` of them.

        Raises:
            UnansweredError: no try gave an answer.
            EmoexpError: the server refuses (key, address, model, request) or is not there; a
                repetition would not help.
        """
        rng, reason = random.Random(request.seed), ""
        for n in range(self.settings.retries + 1):
            await asyncio.sleep(self.pace.reserve(time.monotonic()))
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    return self.read(await self.client.post(self.url, json=self.body(request)))
            except TimeoutError:
                seconds = f"{self.group}.timeout_s={self.settings.timeout_s:g} seconds"
                failed = Transient(f"no answer within {seconds}", retries=FEW)
            except Transient as error:
                failed = error
            except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise EmoexpError(
                    f"no server answers at {self.group}.server={self.settings.server}"
                    f" ({self.shown(error)}): start it, or correct the address"
                ) from error
            except httpx.TransportError as error:
                failed = Transient(
                    f"the connection broke ({self.shown(error) or type(error).__name__})"
                )
            reason = str(failed)
            if n >= min(self.settings.retries, failed.retries or self.settings.retries):
                break
            self.repeated += 1
            backoff = min(self.waits[1], self.waits[0] * 2**n) * (1 - rng.random() / 2)
            self._tell(reason, max(failed.wait, backoff))
            await asyncio.sleep(max(failed.wait, backoff))
        raise UnansweredError(
            f"the server failed {n + 1} times in a row on one request, last: {reason}"
        )

    def _tell(self, reason: str, seconds: float) -> None:
        """Writes why the server is asked again, once in `TOLD_S` seconds at most."""
        if time.monotonic() - self.told > TOLD_S:
            self.told = time.monotonic()
            sys.stderr.write(f"{self.group}.server: {reason}; asked again in {seconds:.0f} s\n")

    def read(self, response: httpx.Response) -> Answer:
        """Reads the answer from a response.

        Raises:
            Transient: an error that a later try may not meet, or a body that is no answer.
            UnansweredError: the answer was cut before it had any text.
            EmoexpError: an error that every try would meet.
        """
        self._check_status(response, response.status_code)
        try:
            body = response.json()
            if isinstance(body, dict) and body.get("error"):
                self._check_status(response, _status_in(body["error"]))
            choice = body["choices"][0]
            text, finish = choice["message"]["content"], choice.get("finish_reason") or "stop"
            (text or "").encode()  # half a surrogate pair can be sent but not written
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = self.shown(response.text)
            raise Transient(f"a body that is no chat completion: {said}", retries=FEW) from error
        if text is None and finish == "content_filter":
            return Answer("", finish)
        if not isinstance(text, str) or not text.strip():
            if finish == "length":
                raise UnansweredError(
                    "the answer reached its length before it had any text, as that of a model that"
                    f" thinks first: raise {self.group}.max_new_tokens, or switch its thinking off"
                    f" with {self.group}.request"
                )
            raise Transient(f"an answer without text (finish_reason {finish})", retries=FEW)
        return Answer(text, str(finish))

    def _check_status(self, response: httpx.Response, status: int) -> None:
        """Raises Transient or EmoexpError, as `read` does, where the status is not 200."""
        if status in TRANSIENT or status >= 500:
            raise Transient(
                f"HTTP {status}: {self.shown(response.text)}",
                retry_after(response.headers.get("retry-after", "")),
            )
        if status in (401, 403):
            raise EmoexpError(
                f"{self.settings.server} refuses the key (HTTP {status}): put one that it accepts"
                f" in the environment variable {self.settings.api_key_variable},"
                f" {'which it does not accept now' if self.key else 'which is empty or not set'}"
            )
        if status == 404:
            raise EmoexpError(
                f"{self.url} is not there, or has no model {self.settings.server_model!r} (HTTP"
                f" 404): {self.group}.server usually ends in /v1; check it and"
                f" {self.group}.server_model"
            )
        if status != 200:
            raise EmoexpError(
                f"{self.settings.server} refuses the request (HTTP {status}):"
                f" {self.shown(response.text)}"
            )

    def shown(self, what: object) -> str:
        """Returns an error or a server's text as one short line without the key."""
        text = " ".join(str(what).split())
        return (text.replace(self.key, "***") if self.key else text)[:200]


def _status_in(error: Any) -> int:
    """Returns the HTTP status in the error of a body that came with status 200; 500 if it names
    none."""
    code = str(error.get("code", "") if isinstance(error, dict) else "")
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500


def retry_after(header: str) -> float:
    """Returns the seconds that a Retry-After header asks for (a number or a date); 0 where there is
    none or it is not valid."""
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
