"""A Hugging Face hub on 127.0.0.1: serves folders as repositories and refuses others the way the
real one does.

Run as a script it is the client too: it starts the hub, tries what its standard input lists, and
prints one JSON answer for each. A process of its own is needed because huggingface_hub reads
HF_ENDPOINT and HF_HUB_OFFLINE once, when it is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

COMMIT = "a" * 40
BAD_TOKEN = "hf_thisTokenIsNotValid"
PATH = re.compile(
    r"/(?:api/)?(?:models/|datasets/)?(?P<repo>[^/]+/[^/?]+?)"
    r"(?:/(?P<verb>resolve|revision|tree)/(?P<revision>[^/?]+)(?:/(?P<file>[^?]+))?)?(?:\?.*)?"
)
REFUSALS = {
    "gated": (
        403,
        {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted"},
    ),
    "missing": (404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}),
    "private": (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}),
    "paid": (402, {}),
}
"""By the name of the repository, whoever owns it."""


class FakeHub:
    """The hub; `folders` maps ids (owner/name) to what they serve, `requests` is what it was asked
    for."""

    def __init__(self, folders: dict[str, Path]) -> None:
        hub, self.folders = self, folders
        self.requests: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        self.requests.append(f"{request.command} {request.path}")
        status, headers, content = self.reply(
            request.path, request.headers.get("Authorization", "")
        )
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content)

    def reply(self, path: str, authorization: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        found = PATH.fullmatch(unquote(path))
        if found is None:
            return 404, {}, b""
        if BAD_TOKEN in authorization:
            return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b""
        repo, revision, file = found["repo"], found["revision"] or "main", found["file"]
        if (refusal := REFUSALS.get(repo.split("/")[1])) is not None:
            return *refusal, b""
        if repo not in self.folders:
            return *REFUSALS["missing"], b""
        if revision not in ("main", COMMIT):
            return (
                404,
                {
                    "X-Error-Code": "RevisionNotFound",
                    "X-Error-Message": f"Invalid rev id: {revision}",
                },
                b"",
            )
        names = sorted(p.name for p in self.folders[repo].iterdir())
        if found["verb"] == "tree":
            return (
                200,
                {"Content-Type": "application/json"},
                json.dumps(
                    [{"type": "file", "path": n, "size": 1, "oid": n} for n in names]
                ).encode(),
            )
        if found["verb"] != "resolve":
            about = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
            return 200, {"Content-Type": "application/json"}, json.dumps(about).encode()
        if file not in names:
            return (
                404,
                {
                    "X-Error-Code": "EntryNotFound",
                    "X-Error-Message": "Entry not found",
                    "X-Repo-Commit": COMMIT,
                },
                b"",
            )
        content = (self.folders[repo] / file).read_bytes()
        return (
            200,
            {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT},
            content,
        )


def ask(
    folders: dict[str, Path], cases: Sequence[dict[str, Any]], home: Path
) -> list[dict[str, Any]]:
    """What load_network (or load_remote) makes of each case {repo_id, revision?, remote?, token?,
    network?}: {error} or {loaded, ...}.

    The network is "on"; "off" is a hub that no longer answers, "offline" is HF_HUB_OFFLINE. Cases
    of these kinds come last.
    """
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("HF_HUB_OFFLINE", "HF_TOKEN", "TRANSFORMERS_OFFLINE")
    } | {"HF_HOME": str(home)}
    task = json.dumps({"folders": {k: str(v) for k, v in folders.items()}, "cases": list(cases)})
    command, root = (sys.executable, __file__), Path(__file__).parents[2]
    done = subprocess.run(
        command, input=task, capture_output=True, text=True, env=environment, timeout=300, cwd=root
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _tried(config: Any) -> dict[str, Any]:
    """The case's answer: what was loaded. A remote model is traced through nnsight's simulation of
    a server, against a plain hook."""
    import torch

    from emoexp.models.loading.load import load_network, load_remote

    if not config.remote:
        loaded = load_network(config)
        return {"loaded": type(loaded.network).__name__, "commit": loaded.commit}
    remote, oracle = load_remote(config), load_network(config)
    devices = sorted({p.device.type for p in remote.traced._module.parameters()})
    ids, traced = (
        remote.tokenizer(["A cart rolled by."], return_tensors="pt")["input_ids"],
        remote.traced,
    )
    with torch.no_grad():
        with traced.trace(
            input_ids=ids, attention_mask=torch.ones_like(ids), remote="local"
        ) as tracer:  # its body may name nothing of emoexp's
            h = traced.model.layers[1].output.save()
            tracer.stop()
        wanted = oracle.network(input_ids=ids, output_hidden_states=True).hidden_states[2]
    return {
        "loaded": type(remote.traced._module).__name__,
        "devices": devices,
        "key": remote.traced.to_model_key(),
        "equal": torch.equal(h, wanted),
    }


def _main() -> None:
    task = json.load(sys.stdin)
    hub = FakeHub({k: Path(v) for k, v in task["folders"].items()}).__enter__()
    os.environ["HF_ENDPOINT"] = hub.url
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "NDIF_API_KEY": "a-key"}
    sys.path.insert(0, os.getcwd())
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    from emoexp.config import ModelConfig
    from emoexp.errors import EmoexpError

    _http.time.sleep = lambda _: None  # it tries five times, 23 seconds in all
    up = True
    for case in task["cases"]:
        network = case.pop("network", "on")
        if up and network != "on":
            hub.__exit__()
            up = False
        constants.HF_HUB_OFFLINE = network == "offline"
        os.environ["HF_TOKEN"] = case.pop("token", "")
        try:
            answer = _tried(ModelConfig(name="tiny", **case))
        except EmoexpError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"crash": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer | {"requests": len(hub.requests)}) + "\n")


if __name__ == "__main__":
    _main()
