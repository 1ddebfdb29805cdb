"""The history of a run."""

from __future__ import annotations

from pathlib import Path

from vsezoo.training.history import read_history


def test_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    lines = [
        '{"event": "begin", "recipe": {}, "steps_per_epoch": 4}',
        '{"event": "step", "step": 1, "loss": 2.5}',
        '{"event": "step", "step": 2}',
        "[1]",
        "null",
        '{"event": "note", "text": "…"}',
        '{"event": "validation", "epoch": 1, "score": 80.5, "step": 4, "rsum": 80.5, "best": true}',
        '{"event": "validation", "epoch": 0, "score": 80.5, "step": 5, "rsum": 80.5}',
        '{"event": "step", "step": 5, "lo',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    history = read_history(tmp_path)
    assert history.begin["steps_per_epoch"] == 4
    assert history.losses == [(1, 2.5)]
    assert history.scores == [(4, 80.5)]


def test_a_run_without_a_log(tmp_path: Path) -> None:
    history = read_history(tmp_path)
    assert (dict(history.begin), history.losses, history.scores) == ({}, [], [])
