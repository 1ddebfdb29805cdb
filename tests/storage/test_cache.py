"""The cache folder."""

import json
import os
import resource
import shutil
import sys
from pathlib import Path

import pytest

from vsezoo.storage.cache import find_cache, identify, identify_code, remember


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_cache() == tmp_path / "cache"
    monkeypatch.delenv("VSEZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert find_cache() == tmp_path / "xdg" / "vsezoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_cache() == tmp_path / ".cache" / "vsezoo"


def test_found_out_once_for_each_key() -> None:
    calls: list[str] = []

    def ask(key: object, answer: str) -> object:
        return remember("topic", key, lambda: calls.append(answer) or {"answer": answer})

    assert ask(["a", 1], "first") == {"answer": "first"}
    assert ask(["a", 1], "second") == {"answer": "first"}
    assert ask(["a", 2], "third") == {"answer": "third"}
    assert calls == ["first", "third"]


def test_damaged_answer_is_found_out_anew() -> None:
    remember("topic", "key", lambda: 1)
    (file,) = find_cache().rglob("*.json")
    file.write_text('{"cut')
    assert remember("topic", "key", lambda: 2) == 2
    assert remember("topic", "key", lambda: 3) == 2


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert remember("topic", "key", lambda: 1) == 1
    assert remember("topic", "key", lambda: 2) == 2


def test_nothing_is_left_on_a_full_disk() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        assert remember("topic", "key", lambda: "x" * 20) == "x" * 20
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(find_cache().rglob("*")) == [find_cache() / "topic"]
    assert remember("topic", "key", lambda: "again") == "again"


def test_identity_of_a_file_follows_its_content_and_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    os.utime(file, ns=(5, 5))
    first = identify(file)
    assert first == (str(file), 3, 5)
    monkeypatch.chdir(tmp_path)
    assert identify("a") == first
    os.utime(file, ns=(5, 6))
    assert identify(file) != first


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that can be imported; nothing else is on the path."""
    folder = tmp_path / "site" / "package"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "part.py").write_text("width = 4")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site"), str(tmp_path / "absent")])
    return folder


def test_identity_of_code_changes_with_it_alone(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identify_package() -> str:
        return json.dumps(identify_code(["package", "no_such_package"]))

    seen = [identify_package()]
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "part.pyc").write_text("bytecode")
    (package.parent / "file.py").write_text("of nobody")
    assert identify_package() == seen[0]

    def note() -> None:
        assert identify_package() not in seen
        seen.append(identify_package())

    part, before = package / "inner" / "part.py", (package / "inner" / "part.py").stat()
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # edited: 5 instead of 4
    note()
    (package / "inner" / "more.py").write_text("")
    note()
    (package.parent / "torch-2.9.0.dist-info").mkdir()
    note()
    (package.parent / "torch-2.9.0.dist-info").rename(package.parent / "torch-2.9.1.dist-info")
    note()
    monkeypatch.setattr("sys.path", sys.path[:1])
    note()


def test_code_in_an_archive_has_no_identity(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(tmp_path / "code"), "zip", package.parent)
    monkeypatch.setattr("sys.path", [archive])
    with pytest.raises(NotADirectoryError):
        identify_code(["package"])
