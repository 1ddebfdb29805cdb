"""`vsezoo search`."""

from __future__ import annotations

import functools
import json
import os
import resource
from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import tiny
from PIL import Image

import vsezoo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has learned what its features show, and with its data."""
    folder = tmp_path_factory.mktemp("search")
    data = tiny.write_data(folder / "photos")
    (data / "test_ids.txt").write_text("\n".join(f"photo-{index}.jpg" for index in range(20)), encoding="utf-8")
    vsezoo.train("vsepp", data, output=folder / "run", settings=tiny.SETTINGS, device="cpu")
    return folder


def prepare(columns: str) -> None:
    os.environ["VSEZOO_CACHE"] = str(Path.cwd() / "cache")
    if columns:
        os.environ["COLUMNS"] = columns


def search(folder: Path, *arguments: str | Path, columns: str = "") -> processes.Done:
    before = functools.partial(prepare, columns)
    return commands.run_command(folder, "search", "run", *arguments, "--device", "cpu", before=before)


def read_json(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    done = search(folder, *arguments, "--json")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found.pop("account", {}).get("layout", "features") == "features"  # of the split, if it was opened
    assert list(found) == ["checkpoint", "model", "query", "collection", "size", "hits", "skipped"]
    return dict(found)


SENTENCE = "a red green thing"


def rank_images(folder: Path, sentence: str) -> list[int]:
    """Return the images of the test split, the best first."""
    model = vsezoo.load(folder / "run")
    images = model.encode_images(np.load(folder / "photos" / "test_ims.npy"))
    return [int(row) for row in (images @ model.encode_texts([sentence]).T)[:, 0].argsort(descending=True)]


def rank_captions(folder: Path, row: int) -> list[int]:
    """Return the captions of the test split, the best first."""
    model = vsezoo.load(folder / "run")
    image = model.encode_images(np.load(folder / "photos" / "test_ims.npy")[[row]])
    texts = (folder / "photos" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    return [int(row) for row in (image @ model.encode_texts(texts).T)[0].argsort(descending=True)]


@pytest.mark.slow
def test_images_for_a_sentence(folder: Path) -> None:
    best = rank_images(folder, SENTENCE)
    found = read_json(folder, SENTENCE, "--data", "./photos", "-k", "3")
    assert [hit["id"] for hit in found["hits"]] == [f"photo-{row}.jpg" for row in best[:3]]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert "text" not in found["hits"][0]
    assert (found["query"], found["collection"], found["size"]) == (SENTENCE, "photos, test split", 20)
    file = read_json(folder, SENTENCE, "--images", "photos/test_ims.npy", "-k", "100")
    assert [hit["item"] for hit in file["hits"]] == best
    assert [hit["id"] for hit in file["hits"]] == [f"photo-{row}.jpg" for row in best]


@pytest.mark.parametrize("query", ["7", "photo-7.jpg", "photos/test_ims.npy:7"])
@pytest.mark.slow
def test_captions_for_an_image(folder: Path, query: str) -> None:
    best = rank_captions(folder, 7)[:5]
    texts = (folder / "photos" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    found = read_json(folder, query, "--data", "./photos")
    assert [hit["text"] for hit in found["hits"]] == [texts[row] for row in best]
    ids = {f"photo-{row // 5}.jpg#{row % 5}": text for row, text in enumerate(texts)}
    assert [ids[hit["id"]] for hit in found["hits"]] == [texts[row] for row in best]
    (folder / "some.txt").write_text("\n".join(texts), encoding="utf-8")
    found = read_json(folder, query, "--data", "./photos", "--texts", "some.txt")
    assert [texts[int(hit["id"]) - 1] for hit in found["hits"]] == [texts[row] for row in best]


def test_the_table_fits_terminals(folder: Path) -> None:
    found = read_json(folder, "7", "--data", "./photos", "-k", "2")
    for columns in (80, 200):
        done = search(folder, "7", "--data", "./photos", "-k", "2", columns=str(columns))
        assert (done.code, done.stderr) == (0, "")
        heading, *lines = done.stdout.splitlines()
        assert heading.split() == ["rank", "score", "id", "text"]
        assert max(map(len, lines)) <= columns
        for line, hit in zip(lines, found["hits"], strict=True):
            assert line.split() == [str(hit["rank"]), f"{hit['score']:.4f}", hit["id"], *hit["text"].split()]
    assert search(folder, SENTENCE, "--data", "./photos").stdout.split()[:3] == ["rank", "score", "id"]


def test_the_gallery(folder: Path) -> None:
    done = search(folder, "7", "--data", "./photos", "--html", "out/page.html")
    assert (done.code, done.stderr) == (0, "")
    page = (folder / "out" / "page.html").read_text(encoding="utf-8")
    for hit in read_json(folder, "7", "--data", "./photos")["hits"]:
        assert f'<div class="text">{hit["text"]}</div>' in page


def forbid_large_files() -> None:
    prepare("")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_gallery_that_cannot_be_written_leaves_the_one_before(folder: Path) -> None:
    query = (SENTENCE, "--data", "./photos", "--device", "cpu", "--html", "kept/page.html")
    assert search(folder, *query).code == 0
    before = processes.read_files(folder / "kept")
    done = commands.run_command(folder, "search", "run", *query, before=forbid_large_files)
    assert done.code == 1
    assert done.stderr.startswith("Error: kept/page.html: cannot be written: File too large.\n")
    assert processes.read_files(folder / "kept") == before


def test_the_second_search_reads_the_cache(folder: Path) -> None:
    def list_times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*")}

    # The text side alone verifies the weights once, and notes that.
    search(folder, SENTENCE, "--images", "photos/test_ims.npy")
    search(folder, SENTENCE, "--images", "photos/test_ims.npy")
    first = search(folder, SENTENCE, "--images", "photos/dev_ims.npy")
    (folder / "cache").chmod(0o500)
    before = list_times()
    assert search(folder, SENTENCE, "--images", "photos/dev_ims.npy") == first
    assert list_times() == before
    (folder / "cache").chmod(0o700)


def test_a_word_may_be_the_name_of_a_file(folder: Path) -> None:
    (folder / "red").write_bytes(b"no picture")
    found = read_json(folder, "red", "--images", "photos/test_ims.npy", "-k", "1")
    assert [hit["item"] for hit in found["hits"]] == rank_images(folder, "red")[:1]


def test_a_sentence_of_unknown_words_is_told(folder: Path) -> None:
    warning = "Warning: 'photo-99 xyz' is read as a sentence, but the model knows none of its words:"
    for where, more in (
        (("--data", "photos"), "There is no image of that name in photos, test split."),
        (
            ("--images", "photos/test_ims.npy"),
            "the results are meaningless.",
        ),
    ):
        done = search(folder, "photo-99 xyz", *where)
        assert done.code == 0
        assert done.stderr.startswith(warning)
        assert done.stderr.endswith(f"{more}\n")
        assert search(folder, "photo-99 red", *where).stderr == ""


def test_names_of_files_need_not_be_utf8(folder: Path) -> None:
    name = os.fsdecode(b"photos/caf\xe9.npy")
    try:
        (folder / name).write_bytes((folder / "photos" / "test_ims.npy").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert read_json(folder, f"{name}:3", "--data", "./photos")["query"] == f"{name}:3"
    done = search(folder, SENTENCE, "--images", name, "-k", "1")
    assert (done.code, done.stderr) == (0, "")
    assert rf"photos/caf\udce9.npy:{rank_images(folder, SENTENCE)[0]}" in done.stdout


# Mistakes


@pytest.mark.slow
def test_mistakes(folder: Path) -> None:
    place = ("--data", "./photos")
    Image.new("RGB", (8, 8)).save(folder / "cat.png")
    (folder / "empty.txt").write_bytes(b"\n")
    (folder / "run" / "best" / "local.json").unlink(missing_ok=True)  # as on another machine
    for arguments, code, message in (
        (("  ", *place), 2, r"^The query is empty"),
        (("", *place), 2, r"^An argument is empty"),
        ((SENTENCE, "--images", "nothing"), 2, r"^nothing: does not exist"),
        (("cat.png", *place), 1, r"^cat\.png: this model takes features .*, not pictures\.\n.*`vsezoo features`"),
        (("cat.png", "--images", "photos/test_ims.npy"), 1, r"^cat\.png: this model takes features .*, not pictures"),
        (("a", "--images", "photos/test_ims.npy", "--since", "2024"), 2, r"^--since and --unique are for pictures"),
        (("a", "--images", "photos/test_ims.npy", "--minus", " "), 2, r"^The query is empty"),
        (("photos/test_ims.npy:20", *place), 1, r"test_ims\.npy: has no row 20\.\nIts rows are 0 to 19"),
        (
            ("photos/test_ims.npy", *place),
            2,
            r"^'photos/test_ims\.npy' contains 20 images.*\nName one of its rows.*test_ims\.npy:0$",
        ),
        (("photo-99.jpg", *place, "--texts", "empty.txt"), 2, r"neither a file nor an image .*\nDid you mean"),
        (("600", *place), 2, r"^'600' is neither .* of the test split of photos\.\n.* --split\. Or write a sentence"),
        (("photo-99.jpg", *place), 2, r"neither a file nor an image .*\nDid you mean .* --split\. Or write a sentence"),
        (("99.JPG", "--images", "photos/test_ims.npy"), 2, r"^99\.JPG: does not exist"),
        (("photos/test_ims.npy:x", "--texts", "empty.txt"), 1, r"^photos/test_ims\.npy: 'x' is not a row number\."),
        (("99.jpg", "--texts", "empty.txt"), 2, r"^99\.jpg: does not exist\.\nCheck the path\."),
        (("7", *place, "--texts", "empty.txt"), 1, r"^empty\.txt: contains no sentences"),
        ((SENTENCE, "--images", "photos/test_ims.npy", "--texts", "empty.txt"), 2, r"^Search either --images or"),
        ((SENTENCE,), 2, r"was trained on 'photos', which is not .* registered .*\n.*--data FOLDER"),
        ((SENTENCE, *place, "-k", "0"), 2, r"0 is not in the range 1<=x<=1000000"),
        ((SENTENCE, *place, "--html", "empty.txt/page.html"), 1, r"empty\.txt/page\.html: cannot be written"),
    ):
        done = search(folder, *arguments)
        if "--html" in arguments:
            done = processes.Done(done.code, "", done.stderr)  # the answer itself is there
        processes.assert_one_message(done, code, message)
