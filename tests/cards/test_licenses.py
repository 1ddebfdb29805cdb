"""Licences by the Hub's identifiers."""

from __future__ import annotations

import pytest

from vsezoo.cards.licenses import LICENSES, require_license
from vsezoo.errors import UsageError


@pytest.mark.parametrize("name", ["mit", "cc-by-nc-4.0", "other", "unknown", "openrail++"])
def test_identifiers_are_accepted(name: str) -> None:
    require_license(name)
    assert name in LICENSES


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MIT License", "mit"),
        ("MIT", "mit"),
        ("Apache License 2.0", "apache-2.0"),
        ("Apache 2", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("GPLv3", "gpl"),
        ("cc_by_4.0", "cc-by-4.0"),
    ],
)
def test_names_are_refused_with_the_nearest_identifier(name: str, near: str) -> None:
    with pytest.raises(UsageError, match="is not an identifier") as caught:
        require_license(name)
    assert f"Did you mean '{near}" in caught.value.remedy


def test_a_name_like_no_other() -> None:
    with pytest.raises(UsageError) as caught:
        require_license("All my rights")
    assert "`other`" in caught.value.remedy
