"""Modules under their earlier names: the very modules of today, with a warning, or without one in the plugin API."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest

from vsezoo.moved import API_V1, MOVED


@pytest.mark.parametrize("name", sorted(MOVED))
def test_an_earlier_name_is_the_module_of_today(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = importlib.import_module(MOVED[name])
    spec = new.__spec__
    monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert importlib.import_module(name) is new
    told = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    assert [MOVED[name] in text for text in told] == ([] if name in API_V1 else [True])
    assert new.__spec__ is spec  # so that it can still be reloaded
