"""Commands that are killed, run out of disk or memory, or meet another user: afterwards the same
command gives the same numbers to the bit. `make chaos`; the counts stand in docs/hard-to-break.md.

EMOEXP_CHAOS_KILLS sets how often a command is killed (10), EMOEXP_CHAOS_SEED the moments (0).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.accidents import SMALL, Place, Setting, hurt, kill_at_random, same, until
from tests.helpers.fake_server import FakeServer, Reply, good
from tests.helpers.generated import write_pack

KILLS = int(os.environ.get("EMOEXP_CHAOS_KILLS", 10))
SEED = int(os.environ.get("EMOEXP_CHAOS_SEED", 0))
ALICE, BOB = 65001, 65002
COMMANDS = {
    "verify": ("experiment=verify", *SMALL),
    "blackmail": (
        "experiment=blackmail",
        *SMALL,
        "emotions.names=[calm,desperate,happy]",
        "experiment.trials=4",
        "experiment.max_new_tokens=24",
    ),
    "implicit": ("experiment=implicit", *SMALL),
}
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
_python = Path(sys.base_prefix).resolve()
users = pytest.mark.skipif(
    os.geteuid() != 0 or not all(p.stat().st_mode & 1 for p in (_python, *_python.parents)),
    reason="needs root, and a Python that other users may read (not one below /root)",
)


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """Of a command: a place where nothing disturbed it."""

    @cache
    def run(command: str) -> Place:
        place = Place(tmp_path_factory.mktemp(f"quiet-{command}"), COMMANDS[command])
        assert place.finish() == 0, place.said()[-3000:]
        return place

    return run


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):  # noqa: ANN201
    """Prints a line of counts past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)  # noqa: T201

    return line


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that other users may enter."""
    folder = Path(f"/tmp/emoexp-chaos-{os.getpid()}-{time.monotonic_ns()}")
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("command", ["verify", "blackmail"])
def test_kills_at_random_moments(command: str, quiet, say, tmp_path: Path) -> None:  # noqa: ANN001
    """No row is written twice, and a kill costs one row in the making, and what every start
    computes anew."""
    calm, place = quiet(command), Place(tmp_path, COMMANDS[command])
    again = Place(tmp_path / "again", COMMANDS[command], store=calm.store)
    assert again.finish() == 0, "a start on a whole store"
    total, per_start = calm.n_passes(), again.n_passes()
    within = per_start + max(1, total // KILLS)
    landed = kill_at_random(place, within, KILLS, random.Random(SEED))
    assert place.finish() == 0, place.said()[-3000:]
    assert place.written_twice() == []
    same(place, calm)
    extra = (place.passes() - calm.passes()).total()
    say(
        f"{command}: {landed.total()} kills ({dict(landed)}); {len(place.seen)} rows, each written"
        f" once; {total} passes, {extra} repeated, of which {per_start} at each of {place.starts}"
        " starts"
    )
    assert landed.total() >= KILLS // 2


def test_stories_of_a_server(say, tmp_path: Path) -> None:  # noqa: ANN001
    """What a kill costs is at most the requests in flight; the texts are those of a quiet run."""
    pack, in_flight = write_pack(tmp_path / "pack"), 2
    command = (
        *("experiment=stories", "stories=smoke", "stories.topics=20", "stimuli=custom"),
        *(f"stimuli.path={pack}", "emotions.names=[happy,sad,calm]"),
        *("stories.server_model=scribe", f"stories.concurrency={in_flight}"),
    )
    rng, places, asked = random.Random(SEED), [], []
    for name in ("quiet", "killed"):
        with FakeServer(lambda _, prompt: Reply(good(prompt, 0)), delay=0.05) as server:
            place = Place(tmp_path / name, (*command, f"stories.server={server.url}"))
            for _ in range(KILLS if name == "killed" else 0):
                goal, process = len(server.bodies) + rng.randint(1, 6), place.start()
                until(lambda goal=goal: len(server.bodies) >= goal, process)  # type: ignore[misc]
                time.sleep(rng.uniform(0, 0.1))
                assert hurt(process, signal.SIGKILL)
            assert place.finish() == 0, place.said()[-2000:]
            places.append(place)
            asked.append(len(server.bodies))
    same(places[1], places[0])
    assert asked[0] < asked[1] <= asked[0] + KILLS * in_flight
    say(f"stories: {KILLS} kills; {asked[0]} answers, {asked[1] - asked[0]} asked for twice")


@pytest.mark.parametrize("k", range(1, 4))
def test_out_of_memory_in_a_forward_pass(k: int, quiet, say, tmp_path: Path) -> None:  # noqa: ANN001
    calm, place = quiet("implicit"), Place(tmp_path, COMMANDS["implicit"])
    at = random.Random(SEED + k).randint(1, calm.n_passes())
    status = place.finish(Setting(out_of_memory_at=at))
    said = place.one_line("memory") if status else "it went on by itself"
    place.look()
    assert place.finish() == 0, place.said()[-3000:]
    assert place.written_twice() == []
    same(place, calm)
    say(f"out of memory in pass {at} of {calm.n_passes()}: exit {status}, {said[:100]}")


@pytest.mark.parametrize("megabytes", [50, 120, 250])
def test_a_limit_of_memory(megabytes: int, quiet, say, tmp_path: Path) -> None:  # noqa: ANN001
    place = Place(tmp_path, COMMANDS["implicit"])
    status = place.finish(Setting(limit=megabytes << 20))
    said = place.one_line("memory") if status else "it was enough"
    assert place.finish() == 0, place.said()[-3000:]
    same(place, quiet("implicit"))
    say(f"{megabytes} MB of address space: exit {status}, {said[:100]}")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of so many kB on the folder."""
    folder.mkdir(exist_ok=True)
    option = f"size={kilobytes}k,mode=777"
    subprocess.run(("mount", "-t", "tmpfs", "-o", option, "tmpfs", folder), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", folder), check=True)


@root
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("what", ["store", "run"])
def test_a_disk_that_fills(what: str, share: float, quiet, say, home: Path) -> None:  # noqa: ANN001
    """The disk has room for a share of what a quiet run wrote; then it gets more."""
    calm, place = quiet("implicit"), Place(home, COMMANDS["implicit"])
    folder, files = getattr(place, what), getattr(calm, what).rglob("*")
    size = sum(-(-p.stat().st_size // 4096) * 4 for p in files if p.is_file())
    with small_disk(folder, int(share * size)):
        status = place.finish()
        line = place.one_line("space") if status else "only figures were left out"
        place.look()
        assert place.left_over() == []
        more = "remount,size=100m"
        subprocess.run(("mount", "-o", more, folder), check=True)
        assert place.finish() == 0, place.said()[-3000:]
        assert place.written_twice() == []
        same(place, calm)
    say(f"a disk of {int(share * size)} kB for the {what}: exit {status}, {line[:110]}")


@users
def test_a_store_that_turns_read_only(quiet, say, home: Path) -> None:  # noqa: ANN001
    """Under a user who is not root, while it is at work."""
    calm, place = quiet("implicit"), Place(home, COMMANDS["implicit"])
    process = place.start(Setting(uid=ALICE))
    assert until(lambda: place.n_passes() > calm.n_passes() // 2, process)
    change_modes(place.store, remove=stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    process.join(600)
    assert process.exitcode == 2
    line = place.one_line("permission")
    change_modes(place.store, add=stat.S_IWUSR)
    place.look()
    assert place.finish(Setting(uid=ALICE)) == 0, place.said()[-3000:]
    assert place.written_twice() == []
    same(place, calm)
    change_modes(place.store, remove=stat.S_IWUSR)
    whole = Place(home / "reads", COMMANDS["implicit"], store=place.store)
    whole.home.chmod(0o777)
    assert whole.finish(Setting(uid=BOB)) == 0, "a whole store needs no writing: " + whole.said()
    same(whole, calm)
    say(f"read-only in the middle: {line[:110]}; whole and read-only: read")


def change_modes(folder: Path, *, add: int = 0, remove: int = 0) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~remove | add)


@users
def test_two_users_on_one_store(quiet, say, home: Path) -> None:  # noqa: ANN001
    """The first is killed half-way; the second, of another group, goes on in the same folders."""
    calm, store = quiet("implicit"), home / "store"
    store.mkdir()
    store.chmod(0o777)
    alice, bob = (Place(home / n, COMMANDS["implicit"], store=store) for n in ("alice", "bob"))
    for place in (alice, bob):
        place.home.chmod(0o777)
    process = alice.start(Setting(uid=ALICE))
    assert until(lambda: alice.n_passes() > calm.n_passes() // 2, process)
    assert hurt(process, signal.SIGKILL)
    alice.look()
    status = bob.finish(Setting(uid=BOB))
    line = bob.one_line("permission", str(store)) if status else "went on"
    assert alice.finish(Setting(uid=ALICE)) == 0, alice.said()[-3000:]
    assert alice.written_twice() == []
    assert bob.finish(Setting(uid=BOB)) == 0, bob.said()[-3000:]
    same(alice, calm)
    same(bob, calm)
    say(f"another user in a half-made store: exit {status}, {line[:140]}; in a whole one: same")
