"""The notebook runs from its first cell to its last, as on Colab and Kaggle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "emoexp.ipynb"


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs_and_first_installs(notebook: nbformat.NotebookNode) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells)
    assert cells[0].metadata.tags == ["install"] and "%pip install" in cells[0].source
    assert not any("tags" in cell.metadata for cell in cells[1:])


@pytest.mark.slow
def test_it_runs(
    notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells that call `python` get the backend that a notebook exports to its commands."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("EMOEXP_ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # another test's; the kernel sets its own
    notebook.cells = [c for c in notebook.cells if "install" not in c.metadata.get("tags", ())]
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "V3 scenarios: own probe highest" in printed and "desperate:" in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "run" / "result.json").is_file(), printed[-2000:]
