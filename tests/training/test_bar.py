"""The progress bar for programs and notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

import vsezoo


def test_it_shows_what_is_done_and_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    bar = vsezoo.ProgressBar()
    bar(0, 40)
    bar(40, 40)
    bar("images of train", 3, 7)
    bar.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.strip().split("\n")
    assert "| 40/40 [" in first
    assert second.rpartition("\r")[2].startswith("images of train:  43%|")
    assert "| 3/7 [" in second


def test_other_work_gets_another_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = vsezoo.ProgressBar()
    for what, done, total in (("a", 1, 5), ("b", 1, 5), ("b", 0, 5), ("b", 1, 6)):
        bar(what, done, total)
    bar.close()
    assert [line.rpartition("\r")[2][:2] for line in capsys.readouterr().err.strip().split("\n")] == ["a:", *3 * ["b:"]]


@pytest.mark.slow
def test_a_run_and_a_search_use_one_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_data(tmp_path / "features")
    bar = vsezoo.ProgressBar()
    data, run = tmp_path / "features", tmp_path / "run"
    settings = tiny.SETTINGS | {"training.log_step": 1}
    vsezoo.train("vsepp", data, settings=settings, output=run, callbacks=[bar], device="cpu")
    shown = capsys.readouterr()
    assert shown.out == ""
    steps = 2 * tiny.STEPS
    assert f"| {steps}/{steps} [" in shown.err
    assert "epoch=2, loss=" in shown.err
    assert f"step {steps}: dev score " in shown.err
    vsezoo.open_index(run, images=vsezoo.open_data(str(data), "test"), advance=bar)
    assert "| 20/20 [" in capsys.readouterr().err
