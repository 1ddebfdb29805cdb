"""A state that takes long to save is saved less often, but at the end of the run in any case."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import tiny

import vsezoo
from vsezoo.training import loop, saved
from vsezoo.training.saved import Saved


def test_saving_takes_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "CHEAP", 0.1)
    now = time.monotonic()
    assert Saved().is_due()
    assert Saved(now, 0.05).is_due()  # cheap
    assert not Saved(now, 0.2).is_due()
    assert not Saved(now - 3, 0.2).is_due()
    assert Saved(now - 5, 0.2).is_due()


def test_a_costly_state_is_saved_at_the_start_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "CHEAP", 0.0)
    monkeypatch.setattr(saved, "SHARE", 1e-9)
    steps, usual = [], loop.save_state
    monkeypatch.setattr(loop, "save_state", lambda *given: (steps.append(given[1].step), usual(*given)))
    data = tiny.write_data(tmp_path / "data")
    vsezoo.train("vsepp", data, output=tmp_path / "run", settings=tiny.SETTINGS, device="cpu", save_step=4)
    assert sorted(set(steps)) == [0, 2 * tiny.STEPS]
