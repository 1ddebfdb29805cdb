"""Files that are read by their addresses: what identifies them, what is asked for, what messages hold."""

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.spec import AbstractFileSystem
from huggingface_hub import HfFileSystem
from picture_folders import write_picture
from web import Web, serve

from vsezoo.storage import addresses
from vsezoo.storage.addresses import AddressError, identify_address, open_address, read_part, show_address

ON_HUB = "hf://datasets/some/big/a.tar"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(addresses, "PAUSES", (0.0,))
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as found:
        yield found


@pytest.fixture
def hub(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of a data set on the Hub."""
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": web.address, "token": False})
    file = web.folder / "datasets" / "some" / "big" / "resolve" / "main" / "a.tar"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(256)) * 40_000)
    yield file
    HfFileSystem.clear_instance_cache()


@pytest.mark.slow
def test_a_stream_is_read_anywhere(web: Web) -> None:
    write_picture(web.folder / "picture", 9)
    content = (web.folder / "picture").read_bytes()
    with open_address(f"{web.address}/picture") as stream:
        assert stream.read(5) == content[:5]
        assert stream.seek(-4, os.SEEK_END) == len(content) - 4
        assert stream.read() == content[-4:]
        assert stream.read() == b""
    assert read_part(f"{web.address}/picture", 3, 4) == content[3:7]


@pytest.mark.slow
def test_a_file_of_the_hub_is_another_when_its_content_is(hub: Path) -> None:
    first = identify_address(ON_HUB)
    assert first[:2] == (ON_HUB, 256 * 40_000)
    HfFileSystem.clear_instance_cache()
    assert identify_address(ON_HUB) == first
    hub.write_bytes(hub.read_bytes()[::-1])
    HfFileSystem.clear_instance_cache()
    assert identify_address(ON_HUB)[:2] == first[:2]
    assert identify_address(ON_HUB)[2] != first[2]


def test_of_a_file_of_the_hub_a_part_is_asked_for(hub: Path, web: Web) -> None:
    assert read_part(ON_HUB, 300, 5) == bytes(range(44, 49))
    web.asked.clear()
    assert read_part(ON_HUB, 6_000_000, 3) == hub.read_bytes()[6_000_000:6_000_003]
    assert web.asked == [("GET", "/datasets/some/big/resolve/main/a.tar", "bytes=6000000-6000002")]


@pytest.mark.parametrize(
    ("status", "problem"),
    [(401, "access is denied"), (403, "access is denied"), (404, "it does not exist")],
)
def test_what_the_hub_refuses_is_asked_for_once(
    status: int, problem: str, hub: Path, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    for ask in (lambda: read_part(ON_HUB, 0, 5), lambda: identify_address(ON_HUB)):
        web.failures = [status]
        HfFileSystem.clear_instance_cache()
        with pytest.raises(AddressError) as caught:
            ask()
        assert (str(caught.value), caught.value.filename) == (problem, ON_HUB)
    assert capsys.readouterr().err == ""


def test_errors_name_the_file(web: Web) -> None:
    with pytest.raises(AddressError) as caught:
        identify_address(f"{web.address}/gone?sig=secret")
    assert (caught.value.strerror, caught.value.filename) == ("it does not exist", f"{web.address}/gone")


class OddFileSystem(AbstractFileSystem):
    """Its errors hold what a stranger wrote."""

    protocol = "odd"

    def info(self, path: str, **options: object) -> dict[str, object]:
        raise self.storage_options["error"]


@pytest.mark.parametrize("error", [OSError, ImportError, ValueError])
def test_what_strangers_write_is_one_harmless_line(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(addresses, "PAUSES", (0.0,))
    fsspec.register_implementation("odd", OddFileSystem, clobber=True)
    text = "\n no\x1b[2J\u202e of odd://me:a secret@host/x or ftp://me:secret@b/c?sig=secret.\nHints for programmers"
    monkeypatch.setitem(fsspec.config.conf, "odd", {"error": error(text), "skip_instance_cache": True})
    with pytest.raises(AddressError) as caught:
        identify_address("odd://me:a secret@host/x")
    assert str(caught.value) == "no\x1b[2J\u202e of odd://host/x or ftp://b/c"
    told = r"odd://host/x: no\x1b[2J\u202e of odd://host/x or ftp://b/c. Retrying in 0 s." + "\n"
    assert capsys.readouterr().err == (told if error is OSError else "")


@pytest.mark.parametrize(
    "there",
    ["ftp://b/x?sig=secret", "http://?sig=secret", "http://me:secret@127.0.0.1:99999/", "//me:secret@[::1/?sig=secret"],
)
def test_redirects_show_no_secrets(there: str, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    web.redirects = there
    for ask in (identify_address, lambda address: read_part(address, 0, 5)):
        with pytest.raises(AddressError) as caught:
            ask(f"{web.address}/x.tar?sig=secret")
        assert "secret" not in str(caught.value) + capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://key:secret@bucket/a/b.tar?X-Signature=1#x", "s3://bucket/a/b.tar"),
        ("s3://key:se/cr+et@bucket/a.tar", "s3://bucket/a.tar"),
        ("http://me:sec?ret@host/x", "http://host/x"),
        ("https://host:8080/a@b.tar", "https://host:8080/a@b.tar"),
        ("hf://datasets/some/big@main/a.tar", "hf://datasets/some/big@main/a.tar"),
        ("simplecache::https://me:secret@host/x?sig=secret", "simplecache::https://host/x"),
        ("zip://a.tar::https://me:secret@host/x.zip?sig=secret", "zip://a.tar::https://host/x.zip"),
        ("https://proxy/http://me:secret@host/x?secret", "https://proxy/http://host/x"),
        ("http://me:secret@[::1/x", "http://[::1/x"),
        ("own/what?#1@b.tar", "own/what?#1@b.tar"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert show_address(address) == shown
