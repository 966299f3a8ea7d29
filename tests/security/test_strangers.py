"""What a stranger's file can do: nothing but be read. docs/security.md says the same in words."""

from __future__ import annotations

import gzip
import http.client
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from emoexp.cli.main import compose_config
from emoexp.cli.run import check_memory
from emoexp.errors import EmoexpError
from emoexp.explore.page.server import options
from emoexp.models.chat import chat_of
from emoexp.store.artifacts import Artifacts, file_name
from emoexp.store.record import SavedRun
from emoexp.stories.units import Unit
from emoexp.texts.sources import Options, read_local
from emoexp.vectors.vectors import EmotionVectors
from emoexp.views.transcripts import write_transcripts
from tests.conftest import REPOSITORY
from tests.fuzz.readers import READERS, TEMPLATE, Reader, tokenizer
from tests.helpers.fake_server import FakeServer, Reply
from tests.helpers.generated import write_pack
from tests.helpers.records import saved

SOURCES = [p for f in ("emoexp", "experiments") for p in (REPOSITORY / f).rglob("*.py")]
FORBIDDEN = (
    r"\bpickle\b(?!s)|joblib|marshal|shelve|dill\b|torch\.load|allow_pickle|np\.load\("
    r"|yaml\.(unsafe_|full_)?load\(|\beval\(|\bexec\(|os\.system|shell=True|0\.0\.0\.0"
)


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").is_dir()


def test_no_code_unpickles_evaluates_or_listens_to_others() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{n}: {line.strip()}"
        for path in SOURCES
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(FORBIDDEN, line) and not re.search(r"network\.eval\(|model\.eval\(", line)
    ]
    assert found == []
    assert options(8501)["server.address"] == "127.0.0.1"


CONNECT = re.compile(
    r"^\s*(?:import|from) (socket|ssl|http|urllib\.request|ftplib|smtplib|xmlrpc|requests|httpx"
    r"|aiohttp|huggingface_hub|wandb\w*|datasets)\b",
    re.MULTILINE,
)
LISTEN = r"\.(bind|listen)\(|start_server|HTTPServer|socketserver|uvicorn|bootstrap\.run"
ASKED_FOR = {
    "emoexp/stimuli/__main__.py": {"httpx"},  # import --url
    "emoexp/models/openai_client.py": {"httpx"},  # stories.server, judge_model.server
    "emoexp/stories/imported/hub.py": {"huggingface_hub"},  # stories.path=<id>
    "emoexp/texts/hub.py": {"datasets"},  # experiment.texts=hf:<id>
    "emoexp/models/loading/hub_errors.py": {"huggingface_hub"},  # model.repo_id=<id>
    "emoexp/models/open.py": {"huggingface_hub"},  # its progress bars
    "emoexp/cli/wandb.py": {"wandb", "httpx", "huggingface_hub"},  # logger=wandb
    "emoexp/cli/wandb_dashboard.py": {"wandb_workspaces"},
    "emoexp/store/runs.py": {"socket"},  # the machine's name
    "emoexp/explore/page/server.py": {"socket"},  # whether a port is free
}


def test_what_connects_or_listens_is_known() -> None:
    """Beside these, transformers fetches models and pip the packages of `model.wheels`."""
    text = {str(p.relative_to(REPOSITORY)): p.read_text() for p in SOURCES}
    connects = {path: set(CONNECT.findall(source)) for path, source in text.items()}
    assert {path: names for path, names in connects.items() if names} == ASKED_FOR
    at_the_top = [p for p, s in text.items() if re.search(r"^(import|from) (httpx|wandb)", s, re.M)]
    assert at_the_top == ["emoexp/models/openai_client.py"]
    listens = {path for path, source in text.items() if re.search(LISTEN, source)}
    assert listens == {"emoexp/explore/page/server.py"}


SERVE = """
import sys
from unittest.mock import MagicMock
from emoexp.explore.page.server import serve
serve(MagicMock(), [], int(sys.argv[1]), browser=False)
"""
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_the_explorer_listens_on_this_machine_alone() -> None:
    """What is shown and typed goes over the WebSocket, which another host's name may not open."""
    pytest.importorskip("streamlit")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = subprocess.Popen((sys.executable, "-c", SERVE, str(port)), cwd=REPOSITORY)
    try:
        listening: list[str] = []
        while not listening and page.poll() is None:
            time.sleep(0.1)
            sockets = psutil.Process(page.pid).net_connections()
            listening = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
        assert set(listening) == {"127.0.0.1"}
        for host, status in ((f"localhost:{port}", 101), ("stranger.example", 403)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/_stcore/stream", headers=WEBSOCKET | {"Host": host})
            assert connection.getresponse().status == status, host
            connection.close()
    finally:
        page.kill()
        page.wait()


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_pickle_is_not_loaded_whatever_it_is_called(reader: Reader, tmp_path: Path) -> None:
    sprung, folder = tmp_path / "sprung", tmp_path / "files"
    folder.mkdir()
    reader.prepare(folder)
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with suppress(Exception):  # which error it is: tests/fuzz
        reader.read(folder)
    assert not sprung.exists()


@pytest.mark.parametrize("suffix", [".npy", ".pt", ".bin", ".joblib", ".pkl"])
def test_vectors_are_safetensors_and_nothing_else(suffix: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / f"vectors{suffix}", tmp_path / "sprung"
    if suffix == ".npy":
        np.save(path, np.array([Trap(sprung)]), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(EmoexpError, match="is not a whole safetensors file"):
        EmotionVectors.read(path).check(path, {}, 0, 4)
    assert not sprung.exists()


ESCAPES = (
    "{{ cycler.__init__.__globals__.os.mkdir('FOLDER') }}",
    "{{ lipsum.__globals__['os'].mkdir('FOLDER') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ ''|attr('__class__') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% for i in range(10 ** 9) %}x{% endfor %}",
    "{{ messages.append(1) }}",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_reads_and_makes_no_file(
    escape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Templates are rendered in transformers' sandbox; any error is the template's own fault."""
    sprung = tmp_path / "sprung"
    template = TEMPLATE + escape.replace("FOLDER", str(sprung))
    monkeypatch.setattr(tokenizer(), "chat_template", template, raising=False)
    shown = ""
    try:
        shown = str(chat_of(tokenizer(), "Hello."))
    except Exception as error:
        shown = str(error)
    assert not sprung.exists()
    assert not re.search(r"root:|<class '(?!str)|<module", shown)


NAMES = ("..", ".", "../../x", "/etc/x", "a/b", "a\0b", "x" * 400, "喜" * 100, "~", "-rf", "con.")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    rows = Artifacts(tmp_path / "store").rows("k", {}, [name], lambda _: {"x": np.zeros(1)}, None)
    assert len(rows) == 1
    (row,) = tmp_path.rglob("*.safetensors")
    assert row.parents[2] == tmp_path / "store"
    unit = tmp_path / "corpus" / Unit(name, 3, "t").file
    assert unit.resolve().parents[2] == (tmp_path / "corpus").resolve()
    assert len(unit.parent.name) <= 255


def test_different_long_names_are_different_files() -> None:
    assert file_name("x" * 400) != file_name("x" * 401)
    assert file_name("at ease") == "at ease"


def test_a_small_file_that_unpacks_to_a_huge_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(70):
            file.write(b" " * 2**20)
    assert path.stat().st_size < 2**20
    with pytest.raises(EmoexpError, match="line 1 .*characters"):
        list(read_local(path, Options()))


def test_a_gguf_header_that_counts_beyond_its_file_is_refused(tmp_path: Path) -> None:
    """gguf's own reader would go on for 2^60 values."""
    reader = next(reader for reader in READERS if reader.name == "gguf header")
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    values = struct.pack("<IIQ", 9, 4, 2**60)
    (tmp_path / reader.file).write_bytes(header + values)
    with pytest.raises(EmoexpError, match="not a whole GGUF file"):
        reader.read(tmp_path)


def test_memory_that_runs_out_is_one_line() -> None:
    config = compose_config([])
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried"),
                  RuntimeError("DefaultCPUAllocator: can't allocate memory")):  # fmt: skip
        with pytest.raises(EmoexpError, match="out of memory; what was computed is kept"):
            check_memory(error, config)
    check_memory(RuntimeError("shapes differ"), config)


MARKUP = "\"><script>alert(1)</script>'<img src=x onerror=alert(1)>"


def test_replies_and_names_are_text_on_the_page_of_transcripts(tmp_path: Path) -> None:
    texts = ("condition", "direction", "name", "text", "rules", "model", "fault", "said")
    trial = dict.fromkeys(texts, MARKUP) | {
        "trial": 0,
        "scene": 0,
        "tokens": 3,
        "passages": "2-9",
        "surprise": 1.0,
    }
    columns = {"strength": 0.1, "n_tokens": 3, "ended": True, "repetition": 0.1, "coherent": True}
    rows = pd.DataFrame([trial | columns])
    scenes = pd.DataFrame([{"scene": 0, "system": MARKUP, "prompt": MARKUP}])
    run = saved(tmp_path, {"blackmail_trials": rows, "blackmail_scenes": scenes}, model=MARKUP)
    run.record.notes.append(MARKUP)
    page = write_transcripts(run).read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_cells_of_tables_are_data_and_not_changed(tmp_path: Path) -> None:
    """A spreadsheet would compute `=1+1`; pandas, R and we read what was said."""
    cells = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"]
    run = saved(tmp_path, {"replies": pd.DataFrame({"text": cells})})
    assert list(SavedRun.load(run.directory).table("replies")["text"]) == cells


def test_no_key_is_printed_written_or_in_a_command_line(tmp_path: Path) -> None:
    """A server refuses the request, and repeats the key in its answer."""
    keys = {n: f"{n[0]}k-canary-{n}" for n in ("OPENAI_API_KEY", "WANDB_API_KEY", "NDIF_API_KEY")}
    keys["HF_TOKEN"] = "hf_canaryHFTOKEN"
    lines: list[str] = []

    def refuse(_: int, __: str) -> Reply:
        children = psutil.Process().children(recursive=True)
        lines.extend(" ".join(child.cmdline()) for child in children)
        return Reply(status=400, raw=f"bad key {keys['OPENAI_API_KEY']}".encode())

    with FakeServer(refuse) as server:
        command = (
            *(sys.executable, "-m", "emoexp", "experiment=stories", "stories=smoke"),
            *("stimuli=custom", f"stimuli.path={write_pack(tmp_path / 'pack')}"),
            *("emotions.names=[happy,sad,calm]", f"stories.server={server.url}"),
            *("stories.server_model=scribe", "artifacts=store", "hydra.run.dir=run"),
        )
        environment = os.environ | keys | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 2, done.stderr[-2000:]
    assert lines
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    said = [done.stdout, done.stderr, *lines, *(p.read_text(errors="replace") for p in files)]
    assert len(files) > 5
    assert [k for k in keys.values() if any(k in text for text in said)] == []
