"""What cannot be read: it is left out and told in every answer, and found again when it is mended."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import commands
import pytest
from colours import COLOURS, count_encoded, paint, paint_folder, register_colours

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import DataError
from vsezoo.search.index import open_index
from vsezoo.search.store import TOPIC

ALL = ["a-red.png", "b-green.png", "more/c-blue.png"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_folder(tmp_path / "photos")


@pytest.mark.slow
@pytest.mark.parametrize("cause", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE])
def test_what_this_machine_could_not_read_is_tried_again(
    cause: int, run: Path, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right to read changes neither the size of a file nor its time."""
    (photos / "more" / "c-blue.png").write_bytes(b"no picture")
    opens = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "a-red.png":
            raise OSError(cause, os.strerror(cause))
        return opens(path, *arguments, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as trouble:
        trouble.setattr(Path, "open", refuse)
        index = open_index(run, images=photos)
        assert index.skipped["a-red.png"] == f"cannot be read: {os.strerror(cause)}."
        assert list(index.skipped) == ["a-red.png", "more/c-blue.png"]
        (file,) = (cache / TOPIC).glob("*/*")
        before = file.stat().st_ino, file.stat().st_mtime_ns
        trouble.setattr(Checkpoint, "model", None)  # there is nothing to embed, and nothing new to write
        again = open_index(run, images=photos)
        assert again.skipped == index.skipped
        assert [hit.id for hit in again.search("green")] == ["b-green.png"]
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == before
        with pytest.raises(DataError, match=rf"a-red\.png: cannot be read: {os.strerror(cause)}"):
            open_index(run, images=photos, on_bad_image="error")
    encoded, found = count_encoded(run, images=photos)
    assert (encoded, found[:2]) == (1, ALL[:2])
    assert list(open_index(run, images=photos).skipped) == ["more/c-blue.png"]


def test_a_link_to_nothing_and_a_pipe(run: Path, photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "more" / "pipe.jpg")  # to read it would take for ever
    (photos / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (photos / "folder.png").mkdir()
    index = open_index(run, images=photos)
    assert index.skipped == {
        "more/pipe.jpg": "cannot be read: it is not a file but a folder, a pipe, a socket or a device.",
        "link.png": "cannot be read: No such file or directory.",
    }
    assert index.collection.ids == ["a-red.png", "b-green.png", "link.png", "more/c-blue.png", "more/pipe.jpg"]
    assert [found[0].id for found in index.search_many(["red", "green", "blue"])] == ALL
    paint(tmp_path / "elsewhere.png", COLOURS["green"])
    (photos / "b-green.png").unlink()
    assert count_encoded(run, images=photos) == (1, ["a-red.png", "link.png", "more/c-blue.png"])


@pytest.mark.slow
def test_what_a_split_leaves_out_is_in_files_and_answers(run: Path, photos: Path, tmp_path: Path) -> None:
    table = ["image,caption,split", "a-red.png,red,test", "b-green.png,green,test", "more/c-blue.png,blue,test"]
    (photos / "captions.csv").write_text("\n".join(table), encoding="utf-8")
    (photos / "b-green.png").write_bytes(b"no picture")
    what = ["--data", "./photos", "--device", "cpu", "--json"]
    for command in (
        ["embed", "run", *what, "--output", "out.safetensors"],
        ["search", "run", "blue", *what],  # its images
        ["search", "run", "a-red.png", *what],  # its captions
    ):
        done = commands.run_command(tmp_path, *command, before=register_colours)
        assert done.code == 0, done.stderr
        assert "Warning: 1 image was skipped:\n  b-green.png: is not a picture" in done.stderr
        assert list(json.loads(done.stdout)["skipped"]) == ["b-green.png"]
    listing = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (listing["images"], list(listing["skipped"])) == (["a-red.png", "more/c-blue.png"], ["b-green.png"])
