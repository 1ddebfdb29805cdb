"""`vsezoo data check`."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sound features in the name of a registered data set, and broken ones."""
    root = tmp_path_factory.mktemp("data")
    tiny.write_data(root / "f30k_precomp")
    broken = tiny.write_data(root / "broken")
    train = np.load(broken / "train_ims.npy")
    train[7, 0] = np.nan
    np.save(broken / "train_ims.npy", train)
    (broken / "dev_caps.txt").write_bytes(b"caf\xe9\n")
    return root


def check(folder: Path, *arguments: str | Path, **options: Any) -> processes.Done:
    return commands.run_command(folder, "data", "check", *arguments, **options)


def test_json_of_a_registered_data_set(root: Path, tmp_path: Path) -> None:
    done = check(tmp_path, "f30k_precomp", "--data-root", root, "--vocab-threshold", "2", "--json")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == ["data", "vocab_threshold", "vocabulary", "splits", "account", "findings", "fails"]
    assert (found["data"], found["vocab_threshold"], found["fails"]) == ("f30k_precomp", 2, False)
    assert list(found["splits"]) == ["train", "dev", "test"]
    assert found["splits"]["train"]["images"] == 64
    assert found["splits"]["train"]["captions_per_image"] == {"min": 5, "mean": 5, "max": 5}
    for finding in found["findings"]:
        assert list(finding) == ["level", "split", "what", "remedy", "file", "at", "count", "images"]
        assert finding["level"] == "note"


def test_broken_data(root: Path, tmp_path: Path) -> None:
    done = check(tmp_path, root / "broken", "--json")
    assert (done.code, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert found["fails"]
    assert [finding["split"] for finding in found["findings"] if finding["level"] == "error"] == ["train", "dev"]
    assert found["findings"][0]["at"] == ["row 7"]
    assert found["splits"]["dev"]["captions"] is None


def set_columns(columns: str) -> None:
    os.environ["COLUMNS"] = columns


@pytest.mark.parametrize("columns", ["80", "200"])
def test_text(root: Path, tmp_path: Path, columns: str) -> None:
    done = check(tmp_path, root / "broken", before=functools.partial(set_columns, columns))
    assert (done.code, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "broken"
    assert lines[1].split() == ["split", "images", "captions", "form", "norm", "words"]
    assert lines[2].split()[:5] == ["train", "64", "320", "(5", "each)"]
    assert lines[3].split()[:4] == ["dev", "-", "-", "vector"]
    assert max(map(len, lines)) <= int(columns)
    text = " ".join(done.stdout.split())
    assert "error train: 1 image with NaN or an infinite value." in text
    assert "row 7 Extract the features of these images again." in text
    assert "error dev: line 1 is not UTF-8 text." in text
    assert "iconv" in text
    assert lines[-1].startswith("2 errors, ")
    assert lines[-1].endswith("training on these data would fail.")


def test_splits_can_be_chosen(root: Path, tmp_path: Path) -> None:
    done = check(tmp_path, root / "broken", "--split", "test", "--json")
    assert done.code == 0
    assert list(json.loads(done.stdout)["splits"]) == ["test"]
    done = check(tmp_path, root / "broken", "--split", "tset")
    processes.assert_one_message(
        done, 1, r"has no split 'tset'\.\nDid you mean 'test'\? Its splits are train, dev, test"
    )
    text = " ".join(check(tmp_path, root / "broken", "--vocab-threshold", "1").stdout.split())
    assert "the special ones and those that occur at all in train and dev." in text


def test_what_is_not_there(tmp_path: Path) -> None:
    done = check(tmp_path, "./nothing")
    processes.assert_one_message(done, 2, "^nothing: does not exist")
    done = check(tmp_path, "f30k_precmop")
    processes.assert_one_message(done, 2, "Did you mean 'f30k_precomp'")
