"""Numbers are written without an exponent and without a negative zero."""

from __future__ import annotations

import pytest

from emoexp.stats.digits import short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1516.3, "1516"),
        (-1403, "-1403"),
        (999.6, "1000"),
        (12.345, "12.3"),
        (-0.0, "0"),
        (0.5, "0.5"),
    ],
)
def test_a_number_is_short_and_has_no_exponent(value: float, text: str) -> None:
    assert short(value) == text
