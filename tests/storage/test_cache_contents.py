"""`vsezoo cache`: what is shown, found damaged and removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import vsezoo
from vsezoo.cli import main
from vsezoo.search.array_writers import TensorWriter
from vsezoo.storage.cache import find_cache, remember
from vsezoo.storage.cache_contents import TOPICS, clean, find_damage, list_topics
from vsezoo.storage.leftovers import HOST


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache"
    assert find_cache() == folder
    remember("verified", ["a"], lambda: True)
    remember("samples", ["b"], lambda: [1, 2])
    entry = folder / "embeddings" / "x"
    entry.mkdir(parents=True)
    with (entry / "all.safetensors").open("wb") as stream:
        file = TensorWriter(entry, stream)
        file.append("rows", np.ones((2, 3), np.float32))
        file.append("keys", np.ones((2, 16), np.uint8))
        file.append("checksum", np.frombuffer(file.checksum.to_bytes(4, "little"), np.uint8))
        file.finish()
    return folder


def test_a_sound_cache(cache: Path) -> None:
    assert [topic.name for topic in list_topics()] == ["embeddings", "samples", "verified"]
    assert list(find_damage()) == []
    assert clean() == (0, 0)


def test_damage_is_found_and_removed(cache: Path) -> None:
    (answer,) = (cache / "samples").iterdir()
    answer.write_bytes(answer.read_bytes().replace(b"[1, 2]", b"[1, 3]"))
    rows = cache / "embeddings" / "x" / "all.safetensors"
    content = bytearray(rows.read_bytes())
    content[4100] ^= 1
    rows.write_bytes(content)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    left = cache / "samples" / f".x.{HOST}-{child}-01234567.tmp"
    left.touch()
    assert {path.name for path, _ in find_damage()} == {answer.name, "x"}
    result = CliRunner().invoke(main, ["cache", "verify"])
    assert result.exit_code == 1
    assert "was altered" in result.stdout
    result = CliRunner().invoke(main, ["cache", "clean"])
    assert result.stdout.startswith("Removed 3 entries")
    assert list(find_damage()) == []
    assert not left.exists()
    assert remember("samples", ["b"], lambda: [5]) == [5]


def test_everything_goes(cache: Path) -> None:
    (cache / "mine").mkdir()
    result = CliRunner().invoke(main, ["cache", "show", "--json"])
    assert '"embeddings"' in result.stdout
    assert CliRunner().invoke(main, ["cache", "clean", "--all"]).exit_code == 0
    assert list(cache.iterdir()) == [cache / "mine"]  # of others
    assert CliRunner().invoke(main, ["cache", "show"]).exit_code == 0
    assert CliRunner().invoke(main, ["cache", "verify"]).stdout == "Nothing is damaged.\n"


@pytest.mark.slow
def test_every_folder_of_the_cache_is_known() -> None:
    package = Path(vsezoo.__file__).parent
    used = re.compile(r"""(?:find_cache\(\) / |remember\(|\bTOPIC = )["'](\w+)["']""")
    found = {name for file in package.rglob("*.py") for name in used.findall(file.read_text(encoding="utf-8"))}
    assert found == set(TOPICS)
