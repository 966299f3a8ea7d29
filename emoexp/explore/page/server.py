"""Starts Streamlit on 127.0.0.1, with everything off that would send something elsewhere."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError, require
from emoexp.explore.page.engine import Engine, Opener, install

ADDRESS = "127.0.0.1"
UPLOAD_MB = 1


def options(port: int) -> dict[str, Any]:
    """Returns Streamlit's settings: this machine only, no statistics, no file watcher, no menu of a
    developer, small uploads."""
    return {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": True,  # no question for an e-mail address; `serve` opens the browser
        "server.showEmailPrompt": False,
        "server.allowedHosts": [ADDRESS, "localhost"],
        "server.fileWatcherType": "none",
        "server.maxUploadSize": UPLOAD_MB,
        "server.enableAgentApi": False,
        "server.enableXsrfProtection": True,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": ADDRESS,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "type",
        "client.showErrorLinks": False,
        "global.developmentMode": False,
    }


def serve(opened: Opener, overrides: Sequence[str], port: int, *, browser: bool) -> None:
    """Opens the page and serves it until the process is interrupted.

    Raises:
        EmoexpError: Streamlit is not installed, the port cannot be used, or an override is wrong.
    """
    check_port(port)
    if importlib.util.find_spec("streamlit") is None:
        raise EmoexpError("the page needs Streamlit: python -m pip install 'emoexp[explorer]'")
    engine = Engine(opened, overrides)
    install(engine)
    engine.start()
    address = f"http://{ADDRESS}:{port}"
    sys.stderr.write(f"explorer: {address} (this machine only; Ctrl-C ends it)\n")
    if browser:
        threading.Thread(target=_open, args=(address, port), daemon=True).start()
    from streamlit.web import bootstrap

    flags = {name.replace(".", "_"): value for name, value in options(port).items()}
    bootstrap.load_config_options(flags)
    bootstrap.run(str(Path(__file__).with_name("main.py")), False, [], flags)


def check_port(port: int) -> None:
    """Raises EmoexpError unless `port` can be listened on."""
    require(1024 <= port < 65536, f"--port={port}: give one from 1024 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise EmoexpError(f"--port={port} is in use: end what uses it, or give another") from (
                error
            )


def _open(address: str, port: int) -> None:
    """Opens the browser as soon as the server answers."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESS, port)) == 0:
                webbrowser.open(address)
                return
        time.sleep(0.1)
