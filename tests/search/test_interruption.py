"""An embedding that ends before its end, or next to another one: what was embedded stays."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import processes
import pytest
from colours import COLOURS, WORDS, ColourImageEncoder, count_encoded, paint, register_colours, save_colour_model
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsezoo import registry
from vsezoo.errors import DataError, StorageError
from vsezoo.search import embedding, stored_rows
from vsezoo.search.export import embed
from vsezoo.search.index import open_index
from vsezoo.search.store import TOPIC, WHOLE
from vsezoo.search.stored_rows import PART

COUNT, BLOCK = 12, 4
FOUND = ["00.png", "01.png", "02.png"]
"""Of red, green and blue."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedding.BLOCKS, "picture", BLOCK)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_photos(tmp_path / "photos")


def paint_photos(folder: Path) -> Path:
    for index in range(COUNT):
        paint(folder / f"{index:02d}.png", COLOURS[WORDS[index % 3]])
    return folder


def list_entry(cache: Path) -> list[str]:
    """Return the files of the only entry, the parts without the name that makes them unique."""
    (entry,) = (cache / TOPIC).iterdir()
    return sorted(file.suffix if file.suffix == PART else file.name for file in entry.iterdir())


def prepare(cache: Path) -> None:
    """Make a process of its own like this one."""
    os.environ["VSEZOO_CACHE"] = str(cache)
    embedding.BLOCKS["picture"] = BLOCK
    register_colours()


def stop_at_the_third_block(run: Path, photos: Path, cache: Path, reached: Path) -> None:
    prepare(cache)
    encode = ColourImageEncoder.forward

    def encode_or_wait(encoder: ColourImageEncoder, images: Tensor) -> Tensor:
        if len(encoder.encoded) == 2:
            reached.touch()
            time.sleep(processes.PATIENCE)
        return encode(encoder, images)

    ColourImageEncoder.forward = encode_or_wait  # type: ignore[assignment, method-assign]
    open_index(run, images=photos)


def kill_at_the_third_block(run: Path, photos: Path, cache: Path) -> None:
    reached = cache.with_name("reached")
    process = processes.start(stop_at_the_third_block, run, photos, cache, reached)
    while not reached.exists() and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    assert reached.exists()


class Left(NamedTuple):
    """What a process that was killed at the third block has left: its model, its pictures and its cache."""

    run: Path
    photos: Path
    cache: Path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("killed")
    with registry.session():
        save_colour_model(folder / "run")
    left = Left(folder / "run", paint_photos(folder / "photos"), folder / "cache")
    kill_at_the_third_block(*left)
    for part in (left.photos, left.cache):
        shutil.copytree(part, folder / "copy" / part.name)
    return left


@pytest.fixture
def left(killed: Left, monkeypatch: pytest.MonkeyPatch) -> Left:
    """It is as it was left, whatever other tests have done; the cache is that of this process."""
    for part in (killed.photos, killed.cache):
        shutil.rmtree(part)
        shutil.copytree(part.parent / "copy" / part.name, part)
    register_colours()
    monkeypatch.setenv("VSEZOO_CACHE", str(killed.cache))
    return killed


@pytest.mark.process
def test_what_was_embedded_before_a_kill_stays(left: Left) -> None:
    run, photos, cache = left
    assert list_entry(cache) == [PART, PART]
    assert count_encoded(run, images=photos) == (BLOCK, FOUND)
    assert list_entry(cache) == [WHOLE]
    assert count_encoded(run, images=photos) == (0, FOUND)


@pytest.mark.process
@pytest.mark.parametrize("kept", [0, 4096, 4100, -1])
def test_a_part_that_was_not_written_to_its_end_counts_for_nothing(left: Left, kept: int) -> None:
    run, photos, cache = left
    part = next((cache / TOPIC).glob(f"*/*{PART}"))
    part.write_bytes(part.read_bytes()[:kept])
    assert count_encoded(run, images=photos) == (2 * BLOCK, FOUND)
    assert list_entry(cache) == [WHOLE]


@pytest.mark.process
def test_after_a_kill_a_picture_is_added_changed_and_removed(left: Left) -> None:
    run, photos, _ = left
    paint(photos / "0-blue.png", COLOURS["blue"])  # new, and the first
    (photos / "02.png").unlink()  # blue
    paint(photos / "00.png", COLOURS["green"])  # red before
    os.utime(photos / "00.png", ns=(5, 5))
    assert count_encoded(run, images=photos) == (BLOCK + 2, ["03.png", "00.png", "0-blue.png"])
    assert count_encoded(run, images=photos)[0] == 0


def test_after_ctrl_c(run: Path, photos: Path, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_index(run, images=photos, advance=interrupt)
    told: list[tuple[int, int]] = []
    encoded = count_encoded(run, images=photos, advance=lambda done, total: told.append((done, total)))
    assert encoded == (BLOCK, FOUND)
    assert told == [(COUNT, COUNT)]


@pytest.mark.slow
def test_after_a_picture_that_cannot_be_read(run: Path, photos: Path) -> None:
    bad = photos / f"{COUNT - 1}.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"11\.png: is not a picture"):
        open_index(run, images=photos, on_bad_image="error")
    assert count_encoded(run, images=photos) == (BLOCK - 1, FOUND)
    with pytest.raises(DataError, match=r"11\.png: is not a picture"):
        open_index(run, images=photos, on_bad_image="error")
    paint(bad, COLOURS["red"])
    assert count_encoded(run, images=photos, on_bad_image="error") == (1, FOUND)


def test_a_cache_that_can_be_written_no_more(
    run: Path, photos: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was embedded before is not embedded again, even if the files are gone."""

    def destroy(done: int, total: int) -> None:
        if done == BLOCK:
            shutil.rmtree(cache)
            cache.write_bytes(b"")

    assert count_encoded(run, images=photos, advance=destroy) == (COUNT, FOUND)
    assert capsys.readouterr().err.count("Warning: The embeddings could not be cached: ") == 1


def note_encoded(run: Path, photos: Path, cache: Path, note: Path) -> None:
    prepare(cache)
    encoded, found = count_encoded(run, images=photos)
    note.write_text(f"{encoded} {' '.join(found)}", encoding="utf-8")


@pytest.mark.process
def test_a_process_takes_over_what_another_one_has_done(run: Path, photos: Path, cache: Path, tmp_path: Path) -> None:
    def let_another_do_all(done: int, total: int) -> None:
        if done == 2 * BLOCK:
            assert processes.finish(processes.start(note_encoded, run, photos, cache, tmp_path / "note")) == 0
            assert list_entry(cache) == [WHOLE]  # the parts of this process are gone

    assert count_encoded(run, images=photos, advance=let_another_do_all) == (COUNT, FOUND)
    assert (tmp_path / "note").read_text(encoding="utf-8") == f"{BLOCK} {' '.join(FOUND)}"
    assert list_entry(cache) == [WHOLE]
    assert count_encoded(run, images=photos) == (0, FOUND)


@pytest.mark.process
@pytest.mark.parametrize("error", [FileNotFoundError, RuntimeError, SafetensorError])
def test_parts_that_another_process_joins_while_they_are_read(
    left: Left, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A file is opened twice; what is raised where it is gone the second time, depends on the versions."""
    run, photos, cache = left
    joined: list[tuple[int, list[str]]] = []

    def open_late(file: Path, framework: str) -> object:
        if file.suffix == PART and file.exists():
            with monkeypatch.context() as other:
                other.setattr(stored_rows, "safe_open", safe_open)
                joined.append(count_encoded(run, images=photos))
            ColourImageEncoder.encoded.clear()
            assert not file.exists()
            raise error
        return safe_open(file, framework)

    monkeypatch.setattr(stored_rows, "safe_open", open_late)
    assert count_encoded(run, images=photos) == (0, FOUND)
    assert joined == [(BLOCK, FOUND)]
    assert list_entry(cache) == [WHOLE]


@pytest.mark.parametrize("error", [RuntimeError, SafetensorError])
def test_a_file_that_another_process_replaces_while_it_is_read(
    run: Path, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    count_encoded(run, images=photos)
    (whole,) = (cache / TOPIC).glob(f"*/{WHOLE}")

    def open_late(file: Path, framework: str) -> object:
        monkeypatch.setattr(stored_rows, "safe_open", safe_open)
        shutil.copy(whole, whole.with_name("new"))
        whole.with_name("new").replace(whole)
        raise error

    monkeypatch.setattr(stored_rows, "safe_open", open_late)
    assert count_encoded(run, images=photos) == (0, FOUND)


def embed_with_few_files(run: Path, photos: Path, cache: Path, note: Path) -> None:
    prepare(cache)
    embedding.BLOCKS["picture"] = 1
    open_index(run, texts=["red"])  # which imports and opens what else is wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + COUNT // 2,) * 2)
    note.write_text(str(len(open_index(run, images=photos))), encoding="utf-8")


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="wants /proc/self/fd")
def test_parts_keep_no_file_open(run: Path, photos: Path, cache: Path, tmp_path: Path) -> None:
    assert processes.finish(processes.start(embed_with_few_files, run, photos, cache, tmp_path / "note")) == 0
    assert (tmp_path / "note").read_text(encoding="utf-8") == str(COUNT)


def embed_on_a_full_disk(run: Path, features: Path, cache: Path) -> None:
    prepare(cache)
    open_index(run, texts=["red"])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))  # blocks fit, the joined file does not
    with pytest.raises(StorageError, match="cannot be written: File too large"):
        open_index(run, images=features)


@pytest.mark.process
def test_a_full_disk_holds_what_was_embedded_and_nothing_else(run: Path, cache: Path, tmp_path: Path) -> None:
    features = tmp_path / "features.npy"
    np.save(features, np.eye(3, dtype=np.float32).repeat(1024, axis=0))
    held = []
    for _ in range(2):
        assert processes.finish(processes.start(embed_on_a_full_disk, run, features, cache)) == 0
        held.append(sorted(path for path in cache.rglob(f"*{PART}")))
        assert len(held[-1]) == 3
    assert held[0] == held[1]
    assert count_encoded(run, images=features)[0] == 0


@pytest.mark.process
def test_processes_at_once(run: Path, photos: Path, cache: Path, tmp_path: Path) -> None:
    notes = [tmp_path / f"note{number}" for number in range(2)]
    started = [processes.start(note_encoded, run, photos, cache, note) for note in notes]
    assert [processes.finish(process) for process in started] == [0, 0]
    assert {note.read_text(encoding="utf-8").partition(" ")[2] for note in notes} == {" ".join(FOUND)}
    assert count_encoded(run, images=photos) == (0, FOUND)


@pytest.mark.parametrize("embed_first", [True, False])
def test_what_is_searched_and_what_is_written_are_embedded_once(
    run: Path, photos: Path, tmp_path: Path, embed_first: bool
) -> None:
    def write() -> object:
        return embed(run, images=photos, output=tmp_path / "out.npy")

    calls: list[Callable[[], object]] = [write, lambda: open_index(run, images=photos)]
    ColourImageEncoder.encoded.clear()
    for call in calls if embed_first else reversed(calls):
        call()
    assert ColourImageEncoder.encoded == [BLOCK] * 3
