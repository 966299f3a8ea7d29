"""The help page names all there is, and is there without torch or Hydra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emoexp.cli.overrides import GROUPS
from emoexp.cli.usage import CONF, WIDTH, defaults, options, summary, usage
from emoexp.experiments import EXPERIMENTS


def test_every_experiment_and_every_option_is_named() -> None:
    page = usage()
    assert set(options("experiment")) >= set(EXPERIMENTS)
    for name in options("experiment"):
        assert f"  {name} " in page
        assert len(summary(name)) > 20
    assert set(defaults()) == set(GROUPS)
    for group, default in defaults().items():
        assert (CONF / group / f"{default}.yaml").is_file(), group
        assert all(option in page for option in options(group)), group


def test_help_needs_neither_torch_nor_hydra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']; from emoexp.__main__ import main; main(); assert"
        " not {'torch', 'hydra', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "experiment=steering model=llama8b" in done.stdout


def test_help_with_overrides_shows_the_settings_of_their_groups(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emoexp", "experiment=steering", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "experiment.n_emotions=35" in done.stdout


@pytest.mark.parametrize("columns", ["40", "60", "0", "wide"])
def test_the_page_is_as_wide_as_columns_say(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    page = usage()
    assert max(map(len, page.splitlines())) <= int(columns if columns in ("40", "60") else WIDTH)
    monkeypatch.delenv("COLUMNS")
    assert page.split() == usage().split()


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "module://no.such", "nonsense", "agg"]
)
def test_a_notebooks_backend_stops_nothing(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import emoexp; from matplotlib.figure import Figure"],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
