"""The page of real models says what its kept results say."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_models", DOCS / "real_models.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_is_the_one_of_the_kept_results(tables: ModuleType) -> None:
    for path, least in zip(tables.PAGES, (3, 1), strict=True):
        page = path.read_text(encoding="utf-8")
        assert tables.filled(page) == page
        assert len(tables.BLOCK.findall(page)) >= least


def test_another_number_would_be_noticed(tables: ModuleType) -> None:
    page = tables.PAGE.read_text(encoding="utf-8")
    start = page.index("<!-- by_layer")
    digit = re.compile(r"\| \d+/30").search(page, start)
    assert digit is not None
    changed = page[: digit.start()] + "| 99/30" + page[digit.end() :]
    assert tables.filled(changed) == page


def test_kept_results_name_no_machine_and_no_path(tables: ModuleType) -> None:
    files = sorted(tables.KEPT.glob("*.json"))
    assert files
    pages = "".join((DOCS / name).read_text() for name in ("real-models.md", "geometry.md"))
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"/(tmp|root|home|work|Users)/", text)
        for row in json.loads(text):
            assert row["model"]["files"] and row["corpus"]["sha256"] and row["pack"]["sha256"]
        assert file.stem in pages, "a result that no page shows"
