"""The pages build, the README is short, and the picture of the folders names each of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_the_site_builds_and_no_link_is_dead(tmp_path: Path) -> None:
    """Strict: a warning stops it."""
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(tmp_path)))
    api = (tmp_path / "api.html").read_text(encoding="utf-8")
    assert "load_model" in api and "residual_norm" in api
    assert "all-layer extraction" in (tmp_path / "performance.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"(\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.name for path in DOCS.glob("*.md")}


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 100
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (REPOSITORY / target).exists(), target


def test_the_picture_names_every_folder_of_the_import_contract_in_its_order() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    levels = [re.findall(r"\w+", layer.replace("emoexp.", "")) for layer in layers]
    picture = (DOCS / "architecture.svg").read_text(encoding="utf-8")
    rows = [re.findall(r"\w+", row) for row in re.findall(r'bold"[^>]*>([^<]+)<', picture)]
    row_of = {room: y for y, row in enumerate(rows) for room in row}
    assert set(row_of) == {room for level in levels for room in level}
    order = [row_of[room] for level in levels for room in level]
    assert order == sorted(order)
