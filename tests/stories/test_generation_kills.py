"""Generation killed at random moments, two at once, and on the command line: every unit once and
whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.helpers.fake_server import FakeServer
from tests.helpers.generated import N_TOPICS, write_pack

DRIVER = """
import sys
from pathlib import Path
from emoexp.errors import one_line_errors
from emoexp.config import Config, EmotionsConfig, StimuliConfig, StoriesConfig, StoriesSource
from emoexp.study.study import Study
from emoexp.stories.generation import generate
url, root, topics = sys.argv[1:]
stories = StoriesConfig(
    name="screen", source=StoriesSource.generated, topics=int(topics), per_topic=2,
    dialogues_per_topic=2, server=url, server_model="scribe", concurrency=4,
)
emotions = EmotionsConfig(names=["happy", "sad", "calm"])
stimuli = StimuliConfig(path=root + "/pack")
places = {"artifacts": root, "run_dir": root}
config = Config(experiment=None, emotions=emotions, stimuli=stimuli, stories=stories, **places)
with one_line_errors():
    generate(Study(config))
assert "torch" not in sys.modules, "a server needs no torch"
"""
"""What the command line does, without the seconds that its imports take."""


def start(server: FakeServer, root: Path) -> subprocess.Popen[bytes]:
    arguments = (sys.executable, "-c", DRIVER, server.url, str(root), str(N_TOPICS))
    return subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()[-2000:]


def check_whole(server: FakeServer, root: Path) -> None:
    """Every unit once, whole, and nothing else in the folder."""
    (folder,) = (root / "corpora").iterdir()
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    kinds = ("neutral", *(f"stories/{e}" for e in ("happy", "sad", "calm")))
    assert found == {
        "identity.json",
        *(f"{kind}/{i:04d}.json" for kind in kinds for i in range(N_TOPICS)),
    }
    units = [json.loads((folder / name).read_text()) for name in found - {"identity.json"}]
    assert {(u["emotion"], u["topic"]) for u in units} == {
        (e, f"topic number {i}") for e in ("", "happy", "sad", "calm") for i in range(N_TOPICS)
    }
    assert len({t for u in units for t in u["texts"]}) == 2 * 4 * N_TOPICS
    assert len(server.prompts) == 4 * N_TOPICS


def test_eight_kills(tmp_path: Path) -> None:
    """A signal (kill -9, and once SIGTERM, which is one line) after a few requests and a random
    moment more; what it costs is at most the requests in flight."""
    write_pack(tmp_path / "pack")
    rng, least, in_flight, killed = random.Random(3), 4 * N_TOPICS, 4, 0
    with FakeServer(delay=0.04) as server:
        for i in range(8):
            process, seen, wanted = start(server, tmp_path), len(server.bodies), rng.randint(1, 5)
            while len(server.bodies) < seen + wanted and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.03))
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL if i else signal.SIGTERM)
            _, said = process.communicate()
            one_line = b"emoexp: interrupted by SIGTERM; the same command goes on\n"
            assert i or (said.endswith(one_line) and b"Traceback" not in said)
        finish(start(server, tmp_path))
    assert killed == 8
    check_whole(server, tmp_path)
    assert least < len(server.bodies) <= least + 8 * in_flight


def test_twins_share_the_work(tmp_path: Path) -> None:
    """Nobody is answered before both have asked: more is running than one alone may have in
    flight."""
    write_pack(tmp_path / "pack")

    def script(_n: int, _prompt: str) -> None:
        give_up = time.monotonic() + 60
        while server.most_running <= 4 and time.monotonic() < give_up:
            time.sleep(0.01)

    with FakeServer(script, delay=0.02) as server:
        finish(*(start(server, tmp_path) for _ in range(2)))
    check_whole(server, tmp_path)
    assert len(server.bodies) == 4 * N_TOPICS
    assert server.most_running > 4


def test_the_command_line(tmp_path: Path) -> None:
    """The real thing: killed once, run again, and then read by a run that lacks a topic."""
    base = (
        "stories=smoke",
        "stimuli=custom",
        f"stimuli.path={write_pack(tmp_path / 'pack')}",
        "emotions.names=[happy,sad,calm]",
        "stories.server_model=scribe",
        "stories.concurrency=2",
    )
    environment = os.environ | {
        "EMOEXP_ARTIFACTS": str(tmp_path / "artifacts"),
        "PYTHONPATH": str(REPOSITORY),
    }

    def start_cli(*more: str) -> subprocess.Popen[str]:
        arguments = (sys.executable, "-m", "emoexp", *base, *more)
        return subprocess.Popen(
            arguments,
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with FakeServer(delay=0.1) as server:
        there = (f"stories.server={server.url}", "hydra.run.dir=run")
        process = start_cli("experiment=stories", *there)
        while len(server.bodies) < 4 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        process = start_cli("experiment=stories", *there)
        out, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-2000:]
        assert 8 <= len(server.bodies) <= 8 + 2
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (
        record["metrics"] | {"units": 8, "stories": 18, "neutral": 6, "units_with_fewer": 0}
        == record["metrics"]
    )
    assert record["corpus"]["author"] == "scribe"
    assert {"story_counts.csv", "rejected.csv", "story_lengths.png"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    assert "3 emotions x 2 topics x 3 = 18, and 2 x 3 neutral dialogues; 8 answers" in said
    assert f"python -m emoexp experiment=verify {base[0]}" in out.replace("\n", " ")
