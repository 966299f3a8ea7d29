"""A reader of the bundled organism with six emotions and four stories of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoexp.cli.explore import open_reader
from emoexp.explore.reader import Reader

EMOTIONS = ("happy", "calm", "afraid", "desperate", "proud", "sad")


def overrides(store: Path) -> list[str]:
    names = f"emotions.names=[{','.join(EMOTIONS)}]"
    return ["scale=smoke", names, f"artifacts={store}", "experiment=implicit"]


@pytest.fixture(scope="session")
def explore_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def reader(explore_store: Path) -> Reader:
    return open_reader(overrides(explore_store))
