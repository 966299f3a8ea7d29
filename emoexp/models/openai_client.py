"""An author or a judge behind HTTP: answers from any server that speaks OpenAI's
/chat/completions."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self

import httpx

from emoexp.errors import EmoexpError

with suppress(TypeError):
    # anyio, which httpx sends by, loads these late, and cannot once nnsight has given every object
    # a `.save`
    import anyio.streams.tls  # noqa: F401
    from anyio.abc import SocketAttribute  # noqa: F401

TRANSIENT = frozenset({408, 409, 425, 429})
"""With all of 5xx: tried again. Every other status than 200 is a mistake of the request or of the
key, and stops at once."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class ServerSettings(Protocol):
    """How a server is asked: the fields of the same names of `StoriesConfig`, or of a judge's
    config."""

    @property
    def server(self) -> str | None: ...
    @property
    def server_model(self) -> str | None: ...
    @property
    def api_key_variable(self) -> str: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def max_new_tokens(self) -> int: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def requests_per_minute(self) -> float | None: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def retries(self) -> int: ...
    @property
    def request(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Request:
    """One question. `seed` sets the sampling, where the server can be seeded, and the jitter of the
    waits."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """`finish` is "stop", "length" (half an answer: the last story is not whole), "content_filter"
    or what else a server says."""

    text: str
    finish: str


class UnansweredError(EmoexpError):
    """One request failed in every try; others may do better."""


class Transient(Exception):
    """A try that failed and may be repeated, after at least `wait` seconds where the server asks
    for that."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class RateLimiter:
    """Requests per minute, spaced evenly, whatever the concurrency."""

    def __init__(self, per_minute: float | None) -> None:
        self.gap, self.free = 60.0 / per_minute if per_minute else 0.0, 0.0

    def reserve(self, now: float) -> float:
        """Takes the next free slot; seconds until it comes."""
        start = max(now, self.free)
        self.free = start + self.gap
        return start - now


class Server:
    """`async with Server(settings) as author: await author.answer(request)`. The key is read from
    the environment and never shown.

    `waits` are the first and the longest back-off in seconds; the n-th doubles the first n times
    and is cut by up to half at random. `group` is where the settings stand in the config: messages
    name `<group>.server` and its like.
    """

    def __init__(
        self,
        settings: ServerSettings,
        waits: tuple[float, float] = (FIRST_WAIT_S, LONGEST_WAIT_S),
        *,
        group: str = "stories",
    ) -> None:
        self.settings, self.waits, self.group, self.pace, self.repeated = (
            settings,
            waits,
            group,
            RateLimiter(settings.requests_per_minute),
            0,
        )
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
        """What is sent; `settings.request` adds to it, replaces, and with null takes away."""
        asked = {
            "model": self.settings.server_model,
            "messages": [{"role": "user", "content": request.prompt}],
            "seed": request.seed,
            "temperature": self.settings.temperature,
            "top_p": self.settings.top_p,
            "max_tokens": self.settings.max_new_tokens,
        } | self.settings.request
        return {name: value for name, value in asked.items() if value is not None}

    async def answer(self, request: Request) -> Answer:
        """The answer to one request, tried up to 1 + `settings.retries` times.

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
                failed = Transient(
                    f"no answer within {self.group}.timeout_s={self.settings.timeout_s:g} seconds"
                )
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
            if n < self.settings.retries:
                self.repeated += 1
                backoff = min(self.waits[1], self.waits[0] * 2**n) * (1 - rng.random() / 2)
                await asyncio.sleep(max(failed.wait, backoff))
        raise UnansweredError(
            f"the server failed {self.settings.retries + 1} times in a row on one request, last:"
            f" {reason}"
        )

    def read(self, response: httpx.Response) -> Answer:
        """The answer that a response holds.

        Raises:
            Transient: an error that may pass, or a body that is no answer.
            EmoexpError: an error that will not.
        """
        status = response.status_code
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
        try:
            choice = response.json()["choices"][0]
            text, finish = choice["message"]["content"], choice.get("finish_reason") or "stop"
            (text or "").encode()  # half a surrogate pair can be sent but not written
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Transient(
                f"a body that is no chat completion: {self.shown(response.text)}"
            ) from error
        if text is None and finish == "content_filter":
            return Answer("", finish)
        if not isinstance(text, str) or not text.strip():
            raise Transient(f"an answer without text (finish_reason {finish})")
        return Answer(text, str(finish))

    def shown(self, what: object) -> str:
        """One short line of what a server said, without the key."""
        text = " ".join(str(what).split())
        return (text.replace(self.key, "***") if self.key else text)[:200]


def retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks for (a number or a date); 0 where there is none or it
    makes no sense."""
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
