"""How the command line starts."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import vsezoo.cli
from vsezoo.__main__ import main


def test_garbage_is_collected_while_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(vsezoo.cli, "main", lambda prog_name: seen.append((prog_name, gc.isenabled())))
    main()
    gc.unfreeze()
    assert seen == [("vsezoo", True)]
