"""The data doctor on captions and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
from doctor_reports import find

from vsezoo.data.doctor.captions import BYTES, ODD
from vsezoo.data.doctor.check import check_data
from vsezoo.data.doctor.report import Report


def write(folder: Path, split: str, captions: Sequence[str], ids: Sequence[str] = ()) -> None:
    """Write a split of random features, one for each five captions, or for each distinct id."""
    folder.mkdir(exist_ok=True)
    images = len(set(ids)) or len(captions) // 5
    features = np.random.default_rng(len(split)).normal(size=(images, 30)).astype(np.float32)
    np.save(folder / f"{split}_ims.npy", features / np.linalg.norm(features, axis=1, keepdims=True))
    (folder / f"{split}_caps.txt").write_text("".join(f"{line}\n" for line in captions), encoding="utf-8")
    if ids:
        (folder / f"{split}_ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")


def number(index: int) -> str:
    """Return a number as words of its own."""
    return " ".join(tiny.WORDS[int(digit)] for digit in f"{index:02}")


def check(folder: Path, threshold: int = 1, **changed: Sequence[str]) -> Report:
    """Check data of ten images in train and four in dev and test, some of whose captions are changed."""
    for split, captions in (("train", 50), ("dev", 20), ("test", 20)):
        write(folder, split, changed.get(split, [f"a {number(index)} thing" for index in range(captions)]))
    return check_data(str(folder), vocab_threshold=threshold)


def make_captions(count: int, **changed: str) -> list[str]:
    """Return captions that all differ; `at3="…"` changes that of index 3."""
    return [changed.get(f"at{index}", f"a {number(index)} thing") for index in range(count)]


def test_sound_captions(tmp_path: Path) -> None:
    report = check(tmp_path / "mine")
    assert report.findings == []
    assert report.vocabulary == 4 + 2 + 10  # special words, "a" and "thing", ten words for digits
    words = report.splits["dev"].words
    assert words is not None
    assert (words.min, words.mean, words.max) == (4, 4, 4)
    assert report.splits["dev"].known_words == 1


def test_empty_captions(tmp_path: Path) -> None:
    report = check(tmp_path / "mine", train=make_captions(50, at3="", at17="  "))
    finding = find(report, "2 captions empty")
    assert (finding.level, finding.split, finding.at) == ("warning", "train", ("line 4", "line 18"))
    assert finding.file == str(tmp_path / "mine" / "train_caps.txt")
    assert report.findings == [finding]  # two empty captions are not also equal ones


def test_captions_written_as_bytes(tmp_path: Path) -> None:
    spoilt = [f"b'{line}'" for line in make_captions(20)]
    report = check(tmp_path / "mine", dev=spoilt)
    finding = find(report, "written as Python bytes")
    assert (finding.level, finding.split, finding.count) == ("warning", "dev", 20)
    assert finding.at == ("line 1", "line 2", "line 3", "line 4", "line 5")
    assert not report.fails


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("b'a dog'", True),
        ('b"a man\'s hat"', True),
        ("b'a dog", False),
        ("a dog called b'", False),
        ("b is a letter", False),
    ],
)
def test_what_is_taken_for_bytes(caption: str, found: bool) -> None:
    assert bool(BYTES.fullmatch(caption)) == found


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("a caf\ufffd", True),
        ("a café".encode().decode("latin-1"), True),
        ("a man’s hat".encode().decode("cp1252"), True),
        ("cats &amp; dogs", True),
        ("a\x00b", True),
        ("a café, a man’s hat, a naïve Ångström & ÃO", False),
        ("наука и жизнь", False),
        ("雪の中の犬", False),
    ],
)
def test_what_is_taken_for_a_wrong_decoding(caption: str, found: bool) -> None:
    assert bool(ODD.search(caption)) == found


def test_odd_characters_are_shown(tmp_path: Path) -> None:
    report = check(tmp_path / "mine", test=make_captions(20, at6="a cafÃ©"))
    finding = find(report, "wrong decoding")
    assert (finding.level, finding.split, finding.at) == ("warning", "test", ("line 7: a cafÃ©",))


def test_equal_captions_of_different_images_and_of_one(tmp_path: Path) -> None:
    same = {"at3": "a dog", "at11": "a dog", "at12": "a dog", "at40": "a cat", "at41": "a cat"}
    report = check(tmp_path / "mine", train=make_captions(50, **same))
    across, within = find(report, "shared by 2 images"), find(report, "more than once to the same image")
    assert across.what.startswith("1 caption shared by 2 images")
    assert across.at == ("line 4, line 12, line 13: a dog",)
    assert within.what.startswith("2 captions given more than once")
    assert within.at == ("line 4, line 12, line 13: a dog", "line 41, line 42: a cat")
    assert {across.level, within.level} == {"note"}


def test_very_long_captions(tmp_path: Path) -> None:
    hundred = " ".join(["a"] * 100)
    report = check(tmp_path / "mine", train=make_captions(50, at0=hundred, at1=f"{hundred} thing"))
    finding = find(report, "more than 100 words")
    assert (finding.level, finding.at) == ("note", ("line 2",))
    assert "--max-words" in finding.remedy


def test_captions_of_unknown_words(tmp_path: Path) -> None:
    report = check(tmp_path / "mine", test=make_captions(20, at2="quokka"))
    finding = find(report, "without a word in the vocabulary")
    assert (finding.level, finding.split, finding.at) == ("warning", "test", ("line 3: quokka",))
    # The vocabulary is made of train and dev.
    assert not check(tmp_path / "mine", dev=make_captions(20, at2="quokka")).findings


def test_coverage_is_the_share_of_running_words(tmp_path: Path) -> None:
    changed = make_captions(20, at0="a quokka", at1="a a a quokka")  # 72 + 6 words, of which 2 are not in train
    report = check(tmp_path / "mine", dev=changed)
    assert report.splits["dev"].known_words == pytest.approx(76 / 78)
    assert report.findings == []
    foreign = [f"ein {number(index)} ding" for index in range(20)]
    report = check(tmp_path / "mine", test=foreign)
    assert report.splits["test"].known_words == 0.5
    finding = find(report, "Only 50% of the running words")
    assert (finding.level, finding.split) == ("warning", "test")


def test_what_is_low_in_several_splits_is_said_once(tmp_path: Path) -> None:
    foreign = [f"ein {number(index)} ding" for index in range(20)]
    report = check(tmp_path / "mine", dev=foreign, test=foreign)
    finding = find(report, "Only 50% (dev), 50% (test) of the running words occur in the training captions")
    assert (finding.split, finding.file) == (None, None)
    assert [found.what for found in report.findings if "running words" in found.what] == [finding.what]


def test_a_threshold_that_is_the_least_is_not_to_be_lowered(tmp_path: Path) -> None:
    changed = ["ein quokka ding" for _ in range(20)]
    for threshold in (1, 2):
        report = check(tmp_path / "mine", threshold=threshold, test=changed)
        for text in ("running words", "without a word in the vocabulary"):
            assert ("vocab_threshold" in find(report, text).remedy) == (threshold == 2)
    report = check(tmp_path / "mine", train=[""] * 50, dev=[""] * 20)
    assert "vocab_threshold" not in find(report, "The captions contain no words.").remedy


def test_no_word_often_enough(tmp_path: Path) -> None:
    report = check(tmp_path / "mine", threshold=1000)
    finding = find(report, "No word occurs 1000 times")
    assert report.findings == [finding]
    assert finding.level == "error"
    assert report.vocabulary == 4


def test_any_number_of_captions(tmp_path: Path) -> None:
    check(tmp_path / "mine")
    write(tmp_path / "mine", "dev", make_captions(6), ids=["one", "two", "two", "three", "three", "three"])
    report = check_data(str(tmp_path / "mine"), vocab_threshold=1)
    finding = find(report, "Images have 1 to 3 captions each")
    assert (finding.level, finding.split) == ("note", "dev")
    per_image = report.splits["dev"].captions_per_image
    assert per_image is not None
    assert (per_image.min, per_image.mean, per_image.max) == (1, 2, 3)
    assert report.findings == [finding]
