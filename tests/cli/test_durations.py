"""Durations."""

from __future__ import annotations

import pytest

from vsezoo.cli.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (41.6, "0:42"),
        (59.7, "1:00"),
        (725, "12:05"),
        (3599.5, "1:00:00"),
        (3730, "1:02:10"),
        (1e5, "27:46:40"),
    ],
)
def test_one_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
