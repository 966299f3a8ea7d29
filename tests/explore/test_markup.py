"""What a person types stays text on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emoexp.explore.page import markup


def test_untrusted_text_is_escaped_everywhere() -> None:
    bad = '<script>alert("x")</script>'
    html = markup.token_map([bad], np.array([0.5]), (-0.1, 0.1), [bad], [False], bad)
    html += markup.table(pd.DataFrame({bad: [bad]}), caption=bad)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 6


def test_marks_that_turn_the_writing_are_named() -> None:
    assert markup.visible("a\u202eb\u200fc\x00d") == "a<U+202E>b<U+200F>c<U+0000>d"
    assert markup.visible("a\n\tb") == "a\u21b5\u21e5b"
    assert markup.visible("é 日本 🎉") == "é 日本 🎉"


def test_colours_say_on_which_side_of_the_band_a_value_is() -> None:
    band = (-0.1, 0.2)
    assert markup.ZONE in markup.colour(0.2, band, 1.0)
    assert markup.HIGH in markup.colour(0.21, band, 1.0)
    assert markup.LOW in markup.colour(-0.11, band, 1.0)
    opacities = [markup.colour(v, band, 1.0).rsplit(", ", 1)[1] for v in (0.3, 0.6, 1.0, 9.0)]
    assert opacities == sorted(opacities)
    assert opacities[-1] == f"{markup.STRONGEST:.2f})"


def test_a_cell_has_all_digits() -> None:
    html = markup.table(pd.DataFrame({"x": [0.123456789012345]}))
    assert 'title="0.123456789012345"' in html
    assert ">0.1235<" in html
