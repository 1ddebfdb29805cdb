"""Shards that lie on a server: read in place, by range requests, with no file of them on this machine."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run_command
from doctor_reports import check
from picture_folders import list_shades, make_sample, open_error, open_split, show, write_shard
from processes import assert_one_message, finish, start
from torch.utils.data import DataLoader
from web import Web, serve

from vsezoo.cli import main
from vsezoo.data.pictures.layouts import shards
from vsezoo.errors import INTERRUPTED, ServerError
from vsezoo.storage import addresses


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.0))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serve(tmp_path / "served") as found:
        write_shard(found.folder / "big-train-00.tar", make_sample("a", 1, "a dog") | make_sample("b", 2, "a cat"))
        write_shard(found.folder / "big-train-01.tar", make_sample("c", 3, "a cow\na big cow"))
        write_shard(found.folder / "val" / "0.tar", make_sample("d", 4, "a hen"))
        yield found


def write_list(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "shards.txt").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.mark.slow
def test_shards_of_a_server_are_those_of_a_disk(web: Web, tmp_path: Path) -> None:
    folder = write_list(
        tmp_path / "own",
        "# ours",
        "",
        f"{web.address}/big-train-{{00..01}}.tar",
        f" {web.address}/val/0.tar?key=secret",
    )
    train = open_split(folder)
    assert show(train) == show(open_split(web.folder)) == {"a": ["a dog"], "b": ["a cat"], "c": ["a cow", "a big cow"]}
    assert list_shades(train) == [1, 2, 3]
    assert list_shades(open_split(folder, "dev")) == [4]
    assert [path.name for path in folder.iterdir()] == ["shards.txt"]


@pytest.mark.slow
def test_a_shard_is_looked_through_once_and_a_picture_is_one_request(web: Web, tmp_path: Path) -> None:
    folder = write_list(tmp_path / "own", f"{web.address}/big-train-00.tar")
    open_split(folder)
    web.asked.clear()
    pairs = open_split(folder)
    assert [method for method, *_ in web.asked] == ["HEAD"]
    assert pairs.images([1])[0].getpixel((0, 0)) == (2, 0, 0)
    place = pairs.places[1]
    assert web.asked[1:] == [("GET", "/big-train-00.tar", f"bytes={place.offset}-{place.offset + place.size - 1}")]
    shard = write_shard(web.folder / "big-train-00.tar", make_sample("e", 7, "a pig"))
    os.utime(shard, (5, 5))
    assert list_shades(open_split(folder)) == [7]


@pytest.mark.process
def test_workers_read_over_the_network(web: Web, tmp_path: Path) -> None:
    pairs = open_split(write_list(tmp_path / "own", f"{web.address}/big-train-{{00..01}}.tar"))
    assert list_shades(pairs) == [1, 2, 3]  # this process has talked to the server before the workers are forked
    loader = DataLoader(_Shades(pairs), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert sorted(loader) == [1, 2, 3]


class _Shades:
    def __init__(self, pairs: object) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 3

    def __getitem__(self, item: int) -> int:
        return self.pairs.images([item])[0].getpixel((0, 0))[0]


@pytest.mark.slow
def test_an_answer_that_fails_is_asked_for_again(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_list(tmp_path / "own", f"{web.address}/big-train-00.tar")
    pairs = open_split(folder)
    web.failures += [503, 429]
    assert list_shades(pairs)[0] == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{web.address}/big-train-00.tar: the server answers with status {status}. Retrying in 0 s."
        for status in (503, 429)
    ]
    web.failures += [503] * 3
    assert "cannot be read: the server answers with status 503." in _image_error(pairs)
    web.failures += [403]
    web.asked.clear()
    assert "big-train-00.tar (a): cannot be read: access is denied" in _image_error(pairs)
    assert len(web.asked) == 1


@pytest.mark.slow
def test_a_server_that_fails_makes_no_picture_a_bad_one(web: Web, tmp_path: Path) -> None:
    folder = write_list(tmp_path / "own", f"{web.address}/big-train-00.tar")
    open_split(folder)
    web.ranges = False
    with pytest.raises(ServerError, match=r"big-train-00.tar \((a|b)\): cannot be read: the server sends the whole"):
        open_split(folder, on_bad_image="skip")
    web.ranges = True
    assert show(open_split(folder, on_bad_image="skip")) == {"a": ["a dog"], "b": ["a cat"]}


@pytest.mark.parametrize("versions", [True, False])
def test_shards_that_their_queries_tell_apart(versions: bool, web: Web, tmp_path: Path) -> None:
    web.versions = versions
    for name, key in {"train": "a", "val": "b"}.items():
        shard = write_shard(web.folder / "train.tar", make_sample(key, 1, "a dog"))
        os.utime(shard, (5, 5))
        folder = write_list(tmp_path / name, f"{web.address}/train.tar?X-Amz-Date=1&file={name}&X-Amz-Signature=2")
        assert show(open_split(folder)) == {key: ["a dog"]}


@pytest.mark.slow
def test_another_signature_is_no_other_file(web: Web, tmp_path: Path) -> None:
    for signature in (
        "X-Amz-Date={0}&X-Amz-Signature={0}",
        "Expires={0}&Signature={0}&Key-Pair-Id=x",
        "se={0}&sig={0}",
    ):
        for time_signed in (1, 2):
            web.asked.clear()
            address = f"{web.address}/big-train-00.tar?file=1&{signature.format(time_signed)}"
            pairs = open_split(write_list(tmp_path / "own", address), on_bad_image="skip")
        assert {method for method, *_ in web.asked} == {"HEAD"}  # neither the shard nor its pictures are read again
        assert list_shades(pairs) == [1, 2]


def test_the_doctor_reads_each_picture_once(web: Web, tmp_path: Path) -> None:
    folder = write_list(tmp_path / "own", f"{web.address}/big-train-{{00..01}}.tar")
    places = open_split(folder).places
    web.asked.clear()
    assert check(folder, "train").splits["train"].sizes == {"8 x 6": 3}
    parts = [f"bytes={place.offset}-{place.offset + place.size - 1}" for place in places]
    assert sorted(part for method, _, part in web.asked if method == "GET") == sorted(parts)


@pytest.mark.slow
def test_a_server_without_ranges_does_not_fill_the_memory(web: Web, tmp_path: Path) -> None:
    write_shard(web.folder / "train.tar", {"a.bin": bytes(40_000_000)} | make_sample("a", 1, "a dog"))
    web.ranges = False
    message = open_error(write_list(tmp_path / "own", f"{web.address}/train.tar"))
    assert "train.tar: cannot be read: the server sends the whole file although a range of" in message
    assert web.sent < 20_000_000


@pytest.mark.process
def test_interrupt_while_a_server_does_not_answer(web: Web, tmp_path: Path) -> None:
    write_list(tmp_path / "own", f"{web.address}/big-train-00.tar")
    web.silent = True
    process = start(_check, str(tmp_path / "own/"))
    while not web.asked:
        time.sleep(0.05)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    assert finish(process) == INTERRUPTED
    web.silent = False


def _check(folder: str) -> None:
    main(["data", "check", folder], prog_name="vsezoo")


def _image_error(pairs: object) -> str:
    with pytest.raises(Exception, match="cannot be read") as caught:
        pairs.images([0])
    return str(caught.value)


@pytest.mark.slow
def test_what_is_wrong_with_a_shard_of_a_server(web: Web, tmp_path: Path) -> None:
    folder = write_list(tmp_path / "own", f"{web.address}/train/gone.tar?signature=secret")
    assert f"{web.address}/train/gone.tar: cannot be read: it does not exist." in open_error(folder)
    assert "secret" not in open_error(folder)
    write_list(folder, f"{web.address}/train.tar")
    (web.folder / "train.tar").write_bytes((web.folder / "big-train-00.tar").read_bytes()[:700])
    assert "train.tar: is not a complete, uncompressed tar archive: unexpected end" in open_error(folder)
    write_list(folder, f"{web.address}/big-train-00.tar")
    web.ranges = False
    pairs = open_split(folder)  # it is so small that the first answer holds it all
    place = pairs.places[0]
    asked = f"although a range of {place.size} bytes was requested"
    assert f"big-train-00.tar (a): cannot be read: the server sends the whole file {asked}" in _image_error(pairs)
    web.redirects = f"{web.address}/big-train-00.tar"
    write_list(folder, f"{web.address}/big-train-00.tar?signature=secret")
    assert "big-train-00.tar: cannot be read: TooManyRedirects." in open_error(folder)
    web.redirects = ""
    write_list(folder, "nowhere://train.tar")
    assert "nowhere://train.tar: cannot be read: Protocol not known: nowhere" in open_error(folder)
    write_list(folder, "http://127.0.0.1:9/train.tar")
    assert "http://127.0.0.1:9/train.tar: cannot be read: Cannot connect to host" in open_error(folder)


def test_what_is_wrong_with_a_list(web: Web, tmp_path: Path) -> None:
    folder = write_list(tmp_path / "own", "# nothing", "")
    assert "shards.txt: names no shard" in open_error(folder)
    write_list(folder, "train-{0..2}.tar", "train-1.tar")
    assert f"shards.txt: names {folder / 'train-1.tar'} twice" in open_error(folder)
    (folder / "shards.txt").write_bytes(b"\xff\xfe")
    assert "shards.txt: cannot be read" in open_error(folder)
    write_list(folder, f"{web.address}/big-train-00.tar", f"{web.address}/00.tar")
    shutil.copy(web.folder / "big-train-00.tar", web.folder / "00.tar")
    assert f"{web.address}/00.tar: has no split in its name" in open_error(folder)
    for line, problem in {
        "train-{3..1}.tar": "has '{3..1}', in which the first number is larger",
        "train-{0..99999999999}.tar": "names more than 1,000,000 shards",
        "http://[::1/train.tar": "names 'http://[::1/train.tar', which is neither a URL nor a path: Invalid",
        f"train-{{0..{'9' * 5000}}}.tar": "has a number of more than 18 digits",
        "train-" + "{0..1}" * 2000: "names more than 1,000,000 shards",
        "http://me:secret@[::1/train.tar": "names 'http://[::1/train.tar', which is neither",
        "train-\0.tar": r"names 'train-\x00.tar', which is neither a URL nor a path: it has control characters",
    }.items():
        write_list(folder, line)
        assert f"shards.txt: {problem}" in open_error(folder)
    write_list(folder, "train-" + "{0..0}" * 2000 + ".tar")
    assert "0.tar: cannot be read: File name too long" in open_error(folder)
    write_list(folder, "{1..2}-{09..10}.tar")
    names = [Path(name).name for name in shards.read_list(folder / "shards.txt")]
    assert names == ["1-09.tar", "1-10.tar", "2-09.tar", "2-10.tar"]


def test_list_of_paths(tmp_path: Path) -> None:
    write_shard(tmp_path / "mount" / "train-9.tar", make_sample("a", 1, "a dog"))
    write_shard(tmp_path / "mount" / "train-10.tar", make_sample("b", 2, "a dog"))
    folder = write_list(tmp_path / "own", "../mount/train-{9..10}.tar")
    assert list_shades(open_split(folder)) == [1, 2]
    assert shards.read_list(folder / "shards.txt")[1] == str(folder / "../mount/train-10.tar")


def test_a_shard_that_is_listed_and_lies_in_the_folder_counts_once(tmp_path: Path) -> None:
    names = "abcdef"
    write_shard(tmp_path / "own" / "0.tar", {name: part for n in names for name, part in make_sample(n, 1, n).items()})
    alone = {split: open_split(tmp_path / "own", split).image_ids for split in ("train", "test")}
    write_list(tmp_path / "own", "0.tar")
    assert {split: open_split(tmp_path / "own", split).image_ids for split in alone} == alone


@pytest.mark.process
def test_training_on_shards_of_a_server(web: Web, tmp_path: Path) -> None:
    write_shard(web.folder / "test.tar", make_sample("e", 5, "a pig"))
    list_of_shards = [f"{web.address}/big-train-{{00..01}}.tar", f"{web.address}/val/0.tar", f"{web.address}/test.tar"]
    write_list(tmp_path / "own", *list_of_shards)
    flags = (
        "--image-encoder timm:test_vit --embed-size 8 --set image_encoder.weights=none --batch-size 2 --num-epochs 1"
    )
    flags += " --set text_encoder.word_dim=4 --workers 2 --device cpu"
    done = run_command(tmp_path, "train", "vsepp", "--data", "own/", *flags.split(), "--output", "run")
    assert done.code == 0, done.stderr
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()
    (web.folder / "test.tar").unlink()
    assert_one_message(
        run_command(tmp_path, "eval", "run", "--data", "own/"), 1, "test.tar: cannot be read: it does not exist"
    )
