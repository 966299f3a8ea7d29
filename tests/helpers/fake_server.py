"""A server that speaks /chat/completions as far as the tests need it, and misbehaves as it is told.
It counts what it is asked."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Reply:
    """`content` None is sent as null; `raw` replaces the whole body; `cut` ends the connection
    half-way through it."""

    content: str | None = ""
    finish: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0
    cut: bool = False

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return json.dumps(
            {
                "choices": [
                    {
                        "message": {"role": "assistant", "content": self.content},
                        "finish_reason": self.finish,
                    }
                ]
            }
        ).encode()


Script = Callable[[int, str], Reply | None]
"""Of the number of the request (from 0) and its prompt: what to send; None for a good answer."""


def fields(prompt: str) -> dict[str, str]:
    """n, topic and emotion of a prompt made by the templates of `generation_pack`."""
    return dict(part.split("=", 1) for part in prompt.split("\n")[0].split("; "))


def text(*key: object) -> str:
    """Sixty words that are the same for the same key and no others."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return " ".join(f"w{digest[i % 48 : i % 48 + 8]}{i}" for i in range(60)) + "."


def good(prompt: str, key: object, n: int | None = None) -> str:
    """An answer with the stories asked for."""
    mark = "STORY" if "emotion" in fields(prompt) else "DIALOGUE"
    count = int(fields(prompt)["n"]) if n is None else n
    return "Here they are.\n" + "".join(f"<{mark}>\n{text(prompt, key, i)}\n" for i in range(count))


class FakeServer:
    """`with FakeServer(script) as server: server.url`."""

    def __init__(self, script: Script = lambda _n, _prompt: None, delay: float = 0.0) -> None:
        self.script, self.delay, self.lock = script, delay, threading.Lock()
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.running = self.most_running = 0

    @property
    def prompts(self) -> Counter[str]:
        return Counter(body["messages"][0]["content"] for body in self.bodies)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that are killed
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.keys.append(handler.headers.get("Authorization"))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        reply = (
            Reply(status=404)
            if handler.path != "/v1/chat/completions"
            else self.script(number, prompt) or Reply(good(prompt, number))
        )
        time.sleep(reply.delay or self.delay)
        with self.lock:
            self.running -= 1
        content = reply.body()
        handler.send_response(reply.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **reply.headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if reply.cut else content)
        handler.close_connection = handler.close_connection or reply.cut
