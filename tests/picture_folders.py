"""Pictures and data sets of them, small enough for any test; no tests in here."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError

PICTURE = ("picture",)


def write_picture(file: Path, shade: int = 0) -> None:
    """Write a picture of which every red value is `shade`, exactly, whatever the name ends in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(make_picture(shade))


def make_picture(shade: int) -> bytes:
    """Return what `write_picture` writes."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def write_shard(path: Path, members: dict[str, bytes | str], mode: str = "w") -> Path:
    """Write a tar archive of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def make_sample(key: str, shade: int, captions: str) -> dict[str, bytes | str]:
    """Return the files of a shard's sample."""
    return {f"{key}.jpg": make_picture(shade), f"{key}.txt": captions}


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    """Write pictures of the shades 1, 2, 3, …"""
    for shade, name in enumerate(names, start=1):
        write_picture(folder / name, shade)


def list_shades(pairs: PicturePairs) -> list[int]:
    """Return the shades of all pictures of a split, decoded."""
    return [picture.getpixel((0, 0))[0] for picture in pairs.images(range(len(pairs.image_ids)))]


def open_split(folder: Path, split: str = "train", **options: object) -> PicturePairs:
    """Open a folder as `--data FOLDER` does."""
    pairs = open_data(f"{folder}/", split, PICTURE, OpenOptions(**options))
    assert isinstance(pairs, PicturePairs)
    return pairs


def open_error(folder: Path, split: str = "train", **options: object) -> str:
    """Return the one message that opening a folder gives; it names a file and says what to do."""
    with pytest.raises(DataError) as caught:
        open_split(folder, split, **options)
    assert caught.value.file
    assert caught.value.remedy
    return str(caught.value)


def show(pairs: PicturePairs) -> dict[str, list[str]]:
    """Return the captions of each picture."""
    of_each = {name: [] for name in pairs.image_ids}
    for caption, image in zip(pairs.captions, pairs.image_of, strict=True):
        of_each[pairs.image_ids[image]].append(caption)
    return of_each
