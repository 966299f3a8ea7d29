"""Where a run goes: online, offline or nowhere, and what is said about it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip(
    "wandb", reason="the optional package wandb is not installed: pip install 'emoexp[wandb]'"
)

from emoexp.cli import wandb as tracking
from emoexp.cli.wandb import LoggerConfig, LoggerKind, open_tracker
from emoexp.errors import EmoexpError
from tests.cli.test_wandb import SECRETS, python

OPEN = """
import sys
from emoexp.cli.wandb import LoggerConfig, LoggerKind, LoggerMode, open_tracker
mode = LoggerMode(sys.argv[1]) if sys.argv[1] else None
run = {"directory": "run", "group": "g", "experiment": "e", "model": "m", "layer": 1, "config": {}}
with open_tracker(LoggerConfig(kind=LoggerKind(sys.argv[2]), mode=mode), run) as tracker:
    print(type(tracker).__name__, "wandb" in sys.modules)
"""


def dead_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("mode", "kind", "env", "out", "says"),
    [
        ("", "none", {}, "Tracker False", ""),
        ("", "wandb", {"RANK": "1"}, "Tracker False", ""),
        ("", "wandb", {"WANDB_MODE": "disabled"}, "Tracker True", ""),
        (
            "",
            "wandb",
            {},
            "WandbTracker True",
            "W&B: kept offline (there is no W&B key); upload it with: wandb sync",
        ),
        (
            "",
            "wandb",
            {"WANDB_API_KEY": SECRETS["WANDB_API_KEY"], "WANDB_BASE_URL": "dead"},
            "WandbTracker True",
            "does not answer); upload it with",
        ),
        (
            "offline",
            "wandb",
            {"WANDB_API_KEY": SECRETS["WANDB_API_KEY"]},
            "WandbTracker True",
            "W&B: kept offline (logger.mode=offline)",
        ),
        ("online", "wandb", {}, "", "EmoexpError: logger.mode=online needs a W&B key"),
    ],
)
def test_where_a_run_goes(
    mode: str, kind: str, env: dict[str, str], out: str, says: str, tmp_path: Path
) -> None:
    env = env | ({"WANDB_BASE_URL": dead_server()} if "WANDB_BASE_URL" in env else {})
    (tmp_path / "run").mkdir()
    done = python(OPEN, mode, kind, home=tmp_path, **env)
    assert done.stdout.strip() == out, done.stderr[-2000:]
    assert says in done.stderr.strip().rpartition("\n")[2]
    assert bool(list(tmp_path.glob("run/wandb/offline-run-*"))) == (out == "WandbTracker True")


REFUSING = """
import http.server, os, threading

class Refuses(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()
    do_GET = do_HEAD = do_POST
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["WANDB_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
"""


@pytest.mark.parametrize(
    ("mode", "out", "says"),
    [
        ("", "WandbTracker True", "W&B: kept offline ("),
        ("online", "", "EmoexpError: W&B does not take the run ("),
    ],
)
def test_a_server_that_refuses_costs_a_run_only_if_it_must_be_online(
    mode: str, out: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    done = python(REFUSING + OPEN, mode, "wandb", home=tmp_path, **SECRETS)
    assert done.stdout.strip() == out, done.stderr[-2000:]
    (said,) = (line for line in done.stderr.splitlines() if says in line)
    assert "401" in said
    assert "Loaded credentials" not in done.stderr
    assert bool(list(tmp_path.glob("run/wandb/offline-run-*"))) == bool(out)


def test_a_key_in_netrc_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = SimpleNamespace(api_key=None, base_url="https://api.wandb.ai")
    monkeypatch.setattr("wandb.setup", lambda: SimpleNamespace(settings=server))
    assert not tracking.has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    (tmp_path / "netrc").chmod(0o600)
    assert tracking.has_key()
    server.base_url = "https://wandb.example.org"
    assert not tracking.has_key()


def test_without_the_package_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        pytest.raises(EmoexpError, match="pip install 'emoexp\\[wandb\\]'"),
        open_tracker(LoggerConfig(kind=LoggerKind.wandb), {}),
    ):
        pass
