"""Real servers write stories and judge, asked as any other: `transformers serve`, and llama.cpp's
where `llama-server` is on PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from emoexp.blackmail.llm_judge import JudgeConfig, label_all
from emoexp.store.artifacts import Artifacts
from emoexp.stories.generation import generate
from tests.helpers.studies import composed

pytestmark = pytest.mark.slow
START_SECONDS = 180
LOADING = 503
"""What llama.cpp answers until its model is loaded."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server(NamedTuple):
    """A server that answers: its base URL, and its name for the model."""

    url: str
    model: str


def transformers_serve(weights: Path, folder: Path, port: int) -> list[str]:
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder)]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]


def llama_cpp(weights: Path, folder: Path, port: int) -> list[str]:
    """llama.cpp's own server, which reads the GGUF file itself."""
    if (binary := shutil.which("llama-server")) is None:
        pytest.skip("llama-server (llama.cpp) is not on PATH: it has to be built")
    command = [binary, "--model", str(weights), "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--ctx-size", "2048", "--threads", "1"]


@pytest.fixture(scope="module", params=[transformers_serve, llama_cpp], ids=lambda f: f.__name__)
def server(
    request: pytest.FixtureRequest,
    smollm2_file: Path,
    smollm2_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server on 127.0.0.1 that has SmolLM2."""
    port = free_port()
    command = request.param(smollm2_file, smollm2_folder, port)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1", process, log)
        yield Server(f"http://127.0.0.1:{port}/v1", str(smollm2_folder))
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_SECONDS):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text(errors='replace')}")
        try:
            if httpx.get(url, timeout=1).status_code != LOADING:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise RuntimeError(f"the server did not start within {START_SECONDS} seconds")


def test_stories_come_from_a_real_server(server: Server, tmp_path: Path) -> None:
    study = composed(
        "stories",
        tmp_path,
        "model=smollm2_135m",
        "stories=smoke",
        "stories.topics=1",
        "stories.per_topic=1",
        "stories.dialogues_per_topic=1",
        "stories.attempts=1",
        "stories.max_new_tokens=40",
        "stories.concurrency=2",
        f"stories.server={server.url}",
        f"stories.server_model={server.model}",
        "emotions.names=[happy,sad,afraid]",
    )
    plan = generate(study)
    written = [plan.read(unit) for unit in plan.units]
    assert len(written) == 4
    for unit in written:
        assert unit is not None
        answers = [*unit.texts, *unit.other]
        assert unit.answers == 1
        assert unit.finish_reasons in (["length"], ["stop"])
        if unit.finish_reasons == ["stop"]:
            assert len(answers) >= 1
        for text in answers:
            assert len(text.split()) > 3, "words, not an error"
    assert not study.used("model"), "a server needs no weights here"


def test_a_real_server_judges(server: Server, tmp_path: Path) -> None:
    judge = JudgeConfig(
        server=server.url, server_model=server.model, max_new_tokens=8, timeout_s=60.0
    )
    questions = [
        f"Answer with one word, HARMFUL or HARMLESS. The reply: {reply!r}"
        for reply in ("Thank you, I wish you a good day.", "Do it, or everybody will know.")
    ]
    labels = label_all(judge, questions, Artifacts(tmp_path))
    for label in labels:
        assert label.verdict in ("HARMFUL", "HARMLESS", "UNCLEAR", None)
        assert label.verdict or label.said.startswith("off-format: "), "an answer, not an error"
