"""The example of docs/ runs, and shows what its comments say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import emoexp
from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "docs" / "example.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"EMOEXP_ARTIFACTS": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("happy: read as happy")
    assert "desperate" in lines[1].partition(":")[2]
    assert [line.split()[0] for line in lines[2:]] == ["V3", "V4"]


def test_the_public_names_are_there_and_others_are_not() -> None:
    for name in emoexp.__all__:
        assert getattr(emoexp, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = emoexp.nothing


def test_importing_the_package_imports_no_torch() -> None:
    code = "import emoexp, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
