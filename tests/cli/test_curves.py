"""Curves in the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from vsezoo.cli.curves import draw_curve, print_curves


def test_heights() -> None:
    assert draw_curve([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert draw_curve([5, 5]) == "▁▁"
    assert draw_curve([0, 0, 7, 7, 3, 4], width=3) == "▁█▅"  # means of two; 3.5 is in the middle


def test_two_lines(tmp_path: Path) -> None:
    steps = [{"event": "step", "step": step, "loss": 100 / step} for step in (1, 2, 4)]
    dev = [{"event": "validation", "epoch": 1, "score": 1, "step": step, "rsum": 50 * step} for step in (2, 4)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [*steps, *dev])))
    stream = io.StringIO()
    print_curves(tmp_path, Console(file=stream, width=80))
    assert stream.getvalue().splitlines() == ["loss         █▃▁  100 → 25", "rsum on dev  ▁█  100 → 200"]


def test_what_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"event": "step", "step": 1, "loss": 2}\n{"event": "step", "step": 2, "loss": 1}'
    )
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_curves(tmp_path, Console(file=stream, width=80))
    print_curves(tmp_path / "absent", Console(file=stream, width=80))
    stream.flush()
    assert stream.buffer.getvalue() == b""
