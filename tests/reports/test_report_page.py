"""`vsezoo eval --html`."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tiny
from commands import run_command
from PIL import Image

from vsezoo.evaluation.evaluate import evaluate
from vsezoo.reports.examination import Examination
from vsezoo.reports.page import write_report
from vsezoo.training.history import read_history


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a log, on features, next to a folder of pictures with their ids."""
    folder = tmp_path_factory.mktemp("report")
    data = tiny.TinyPairs(images=12)
    tiny.write_data(folder / "tiny", images={"train": 12, "test": 12})
    (folder / "tiny" / "test_ids.txt").write_text("".join(f"<b>{row}\n" for row in range(12)))
    tiny.save_model(folder / "run" / "best", data=data)
    steps = [{"event": "step", "step": step, "epoch": 1, "loss": 9 / step} for step in (1, 2, 3)]
    scores = [{"event": "validation", "epoch": 1, "score": 1, "step": step, "rsum": 100 * step} for step in (2, 3)]
    (folder / "run" / "log.jsonl").write_text("\n".join(map(json.dumps, [*steps, *scores])) + '\n{"event": "st')
    (folder / "pictures").mkdir()
    for row in range(6):
        Image.new("RGB", (20, 10), (40 * row, 0, 0)).save(folder / "pictures" / f"<b>{row}.png")
    (folder / "pictures" / "<b>7.png").write_bytes(b"not a picture")
    return folder


class Tags(HTMLParser):
    """Collects tags and what pages may load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


@pytest.mark.slow
def test_the_page(run: Path) -> None:
    page = run / "page.html"
    done = run_command(run, "eval", "run", "--data", "./tiny", "--html", page, "--images", "pictures", "--json")
    assert done.code == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    found = Tags()
    found.feed(text)
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)
    assert 1 < len(set(found.sources)) <= 6  # one file is not a picture, and not all images are shown
    assert not {"script", "link", "iframe", "b"} & set(found.tags)
    assert "&lt;b&gt;" in text
    assert str(run) not in text
    for title in ("Recall at K", "Calibration", "Similarity matrix", "Loss in training", "Near-duplicate captions"):
        assert title in text
    figures = json.loads(done.stdout)
    cells = re.findall(r"<td>([\d.]+)<small>", text)
    expected = [figures[way][label] for way in ("i2t", "t2i") for label in ("R@1", "R@5", "R@10", "MedR", "MeanR")]
    assert [float(cell) for cell in cells] == pytest.approx(expected, abs=0.051)


def test_an_ensemble_of_data_without_pictures(run: Path) -> None:
    done = run_command(
        run, "eval", "run", "run/best", "--ensemble", "--data", "./tiny", "--html", "both.html", "--ties", "expected"
    )
    assert done.code == 0, done.stderr
    text = (run / "both.html").read_text(encoding="utf-8")
    assert "ensemble of 2 models" in text
    assert "<img" not in text
    assert "in training" not in text


def test_what_is_refused(run: Path) -> None:
    done = run_command(run, "eval", "run", "run/best", "--data", "./tiny", "--html", "page.html")
    assert (done.code, "--html names one file" in done.stderr) == (2, True)
    done = run_command(run, "eval", "run", "--data", "./tiny", "--html", "page.html", "--images", "absent")
    assert done.code != 0
    assert "absent" in done.stderr
    done = run_command(run, "eval", "run", "--data", "./tiny", "--html", "run/log.jsonl/page.html")
    assert done.code != 0
    assert "log.jsonl" in done.stderr


def test_pictures_of_the_data_themselves(tmp_path: Path) -> None:
    from vsezoo.data.lookup import open_data

    data = open_data("shapes", "dev", ("vector",))
    examination = Examination().begin(data)
    assert examination.pictures.show(data.image_ids[3]).startswith("data:image/jpeg;base64,")


def test_the_sample_has_the_scores_of_the_model(run: Path, tmp_path: Path) -> None:
    examination = Examination()
    evaluation = evaluate(run / "run", run / "tiny", examine=examination.begin)
    sample = examination.sample
    assert len(sample.matching) == 60
    assert len(sample.others) == 12 * 60 - 60
    by_pair = {(q.id, item): score for q in examination.queries for item, score in zip(q.top, q.scores, strict=True)}
    names = list(examination.captions)
    for row, column in np.ndindex(sample.matrix.shape):
        pair = examination.image_ids[sample.images[row]], names[sample.captions[column]]
        if pair in by_pair:
            assert sample.matrix[row, column] == pytest.approx(by_pair[pair], abs=1e-6)
    write_report(tmp_path / "page.html", evaluation, examination, read_history(tmp_path))
    assert "in training" not in (tmp_path / "page.html").read_text(encoding="utf-8")
