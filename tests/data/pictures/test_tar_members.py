"""Members of shards of untrusted origin: refused before they take memory, each named."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from picture_folders import make_picture, make_sample, open_error, open_split, write_shard

from vsezoo.data.pictures import limits, tar_members
from vsezoo.data.pictures.layouts.shards import read_shard
from vsezoo.data.pictures.picture_file import WHOLE
from vsezoo.errors import DataError

HOLE = 400 * 2**20
"""Bytes of a member that are not on the disk."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


def write_hole(file: Path, name: str, size: int = HOLE, start: bytes = b"") -> Path:
    """Write a shard with a member of so many bytes, zeros after its start, which take no disk space."""
    header = tarfile.TarInfo(name)
    header.size, header.type = size, tarfile.GNUTYPE_LONGNAME if name == "././@LongLink" else tarfile.REGTYPE
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(header.tobuf() + start)
        stream.truncate(tarfile.BLOCKSIZE + size + 2 * tarfile.BLOCKSIZE)
    return file


def make_sparse(name: str, size: int) -> bytes:
    """Return an archive of one sparse member in GNU's old form, as `tar --sparse` writes it: one hole."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386 : 386 + 24] = f"{size:011o}\0{0:011o}\0".encode()
    header[483 : 483 + 12] = f"{size:011o}\0".encode()
    return finish(header)


def finish(header: bytearray) -> bytes:
    """Return a header with its checksum, and the end of an archive."""
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(1024)


def make_pax(name: str, records: dict[str, str], content: bytes = b"") -> bytes:
    """Return an archive of one member with extended headers."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo(name)
        header.pax_headers, header.size = records, len(content)
        archive.addfile(header, io.BytesIO(content))
    return stream.getvalue()


SPARSE_1 = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
SPARSE_PAX = {
    "0.0": {"GNU.sparse.size": str(HOLE), "GNU.sparse.numblocks": "1", "GNU.sparse.offset": "0"},
    "0.1": {"GNU.sparse.size": str(HOLE), "GNU.sparse.map": f"{HOLE},0"},
}


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jpg"])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: make_sparse(name, HOLE),
        *(lambda name, of=records: make_pax(name, of) for records in SPARSE_PAX.values()),
        lambda name: make_pax(name, SPARSE_1 | {"GNU.sparse.realsize": str(HOLE)}, b"0\n"),
    ],
    ids=["gnu", *SPARSE_PAX, "1.0"],
)
def test_sparse_member(name: str, make: Callable[[str], bytes], tmp_path: Path) -> None:
    shard = tmp_path / "own" / "train.tar"
    shard.parent.mkdir()
    shard.write_bytes(make(name))
    assert f"{shard} ({name}): is stored as a sparse file" in open_error(tmp_path / "own")


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_size_of_texts(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write_hole(tmp_path / "own" / "train.tar", f"a.{ending}")
    message = open_error(tmp_path / "own")
    assert message.startswith(f"{shard} (a.{ending}): has 419,430,400 bytes; captions have at most 4,194,304.")
    text = "a dog " * 20
    content = {"txt": text, "json": json.dumps({"caption": text})}[ending]
    monkeypatch.setattr(tar_members, "LARGEST_TEXT", len(content))
    write_shard(shard, {"a.jpg": make_picture(1), f"a.{ending}": content})
    assert open_split(tmp_path / "own").captions == [text.strip()]


def test_size_of_a_picture(tmp_path: Path) -> None:
    """One that could be a picture is read as far as its pixels need; a larger one is a bad picture."""
    large = write_hole(tmp_path / "large.tar", "a.jpg", WHOLE + 1, make_picture(7))
    huge = write_hole(tmp_path / "huge.tar", "b.jpg", 2**29 + 1, make_picture(8))
    (place,) = (image.place for image in read_shard(str(large)).images)
    assert place.read().getpixel((0, 0))[0] == 7
    (place,) = (image.place for image in read_shard(str(huge)).images)
    with pytest.raises(DataError) as caught:
        place.read()
    assert caught.value.file == f"{huge} (b)"
    assert caught.value.problem == "has 536,870,913 bytes; pictures have at most 536,870,912."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (tarfile.TarInfo("a" * 2_000_000).tobuf(tarfile.GNU_FORMAT), "headers of a member have more than"),
        (make_pax("a.jpg", {"comment": "x" * 2_000_000}), "headers of a member have more than"),
        (
            make_pax("a.jpg", {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, b"3\n" + b"1" * 2_000),
            "a header is damaged",
        ),
        (make_pax("a.jpg", {"GNU.sparse.size": "x"}), "a header is damaged"),
        (make_pax("a.jpg", {"GNU.sparse.size": "1", "GNU.sparse.map": "1,x"}), "a header is damaged"),
        (make_pax("a.jpg", {"size": "-2048"}), "leads back|missing or bad|there is no header"),
        (make_pax("a.jpg", {"size": str(10**30)}), "unexpected end|damaged"),
        (make_pax("a.jpg", {"comment": "x"})[:1024] * 900 + bytes(1024), "damaged|more than"),
    ],
    ids=["name", "pax", "map", "number", "offsets", "back", "huge", "chain"],
)
def test_headers(content: bytes, problem: str) -> None:
    with pytest.raises(tarfile.TarError, match=problem):
        list(tar_members.list_members(io.BytesIO(content)))


def test_members_that_are_not_used_may_be_sparse(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "own" / "train.tar", make_sample("a", 1, "a dog"))
    shard.write_bytes(make_sparse("a.npy", HOLE)[:512] + shard.read_bytes())
    assert open_split(tmp_path / "own").captions == ["a dog"]


SCAN = """
import resource, sys
from vsezoo.data.pictures.layouts.shards import read_shard
from vsezoo.data.pictures.picture_file import Place
from vsezoo.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for shard in sys.argv[1:]:
    try:
        for image in read_shard(shard).images:
            image.place.read()
        print("read")
    except DataError as error:
        print(error.file, error.problem)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.process
@pytest.mark.slow
def test_memory(tmp_path: Path) -> None:
    """Sparse, long and deep members, and a picture of many declared pixels, take less than 100 MB in addition."""
    sparse, pax, deep = (tmp_path / f"{name}.tar" for name in ("sparse", "pax", "deep"))
    sparse.write_bytes(make_sparse("a.txt", HOLE))
    pax.write_bytes(make_pax("a.json", SPARSE_PAX["0.1"]))
    write_shard(deep, {"a.json": b"[" + b"[]," * ((limits.LARGEST_TEXT - 10) // 3) + b"0]", "a.jpg": make_picture(1)})
    png = bytearray(make_picture(1))
    png[16:24] = (30_000).to_bytes(4, "big") * 2  # its declared width and height
    shards = [
        sparse,
        pax,
        write_hole(tmp_path / "text.tar", "a.txt"),
        write_hole(tmp_path / "header.tar", "././@LongLink"),
        deep,
        write_hole(tmp_path / "bomb.tar", "a.png", HOLE, bytes(png)),
        write_hole(tmp_path / "picture.tar", "a.png", HOLE, make_picture(1)),
    ]
    done = subprocess.run([sys.executable, "-c", SCAN, *map(str, shards)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *found, grown = done.stdout.splitlines()
    for shard, line in zip(shards, found, strict=True):
        assert str(shard) in line or line == "read", line
    assert int(grown) < 100_000, done.stdout
