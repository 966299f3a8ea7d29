"""Where Chromium was installed for the tests, none of the page's tests is skipped."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest


@pytest.mark.skipif(
    os.environ.get("EMOEXP_CHROMIUM") != "required",
    reason="EMOEXP_CHROMIUM=required (which .ci/run sets where there is a chromium) is not set",
)
@pytest.mark.parametrize("package", ["streamlit", "playwright"])
def test_the_page_is_tested(package: str) -> None:
    assert importlib.util.find_spec(package) is not None
    assert shutil.which("chromium") is not None
