"""The report of the data doctor as a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from picture_folders import write_picture, write_pictures

from vsezoo.data.doctor.check import check_data
from vsezoo.data.doctor.page import write_page
from vsezoo.errors import StorageError


def test_equal_pictures_are_shown_side_by_side_and_nothing_is_loaded(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.png", "train/b.png", "dev/<c>.png"])
    write_picture(tmp_path / "train/b.png", 1)  # as a.png
    rows = "train/a.png,a dog\ntrain/b.png,two & three dogs\ndev/<c>.png,a dog runs\n"
    (tmp_path / "captions.csv").write_text("image,caption\n" + rows, encoding="utf-8")
    report = check_data(f"{tmp_path}/", vocab_threshold=1)
    (equal,) = (finding for finding in report.findings if "equal to that of an earlier image" in finding.what)
    assert equal.images == ((("train", 0), ("train", 1)),)
    write_page(tmp_path / "check.html", report)
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    group = re.search(r'<div class="group">(.*?)</div></div>', page, re.DOTALL)
    assert group is not None
    assert re.findall(r"<span>(.*?)</span>", f"{group[1]}</div>") == ["train: a.png", "train: b.png"]
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<c>" not in page
    assert "train: captions by number of words" in page
    assert "places" not in report.to_json()
    with pytest.raises(StorageError, match="cannot be written"):
        write_page(tmp_path / "check.html" / "check.html", report)
    assert report.to_json()["findings"][0].keys() >= {"images", "at", "count"}
