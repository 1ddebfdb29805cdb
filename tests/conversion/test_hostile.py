"""Hostile files: each is refused in one message, runs nothing, leaves nothing, and takes less than a gigabyte."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
from hostile_files import CORPUS

import vsezoo
from vsezoo.cli import main
from vsezoo.conversion.arrays import read_npy, read_npz
from vsezoo.conversion.pickles import read_pickle
from vsezoo.conversion.torch_files import read_torch
from vsezoo.conversion.vocabulary import read_vocabulary, require_vocabulary
from vsezoo.errors import CheckpointError

GIGABYTE = 2**30
READERS: dict[str, Callable[[Path], object]] = {
    "npy": read_npy,
    "npz": read_npz,
    "pickle": read_pickle,
    "torch": read_torch,
    "vocabulary": read_vocabulary,
}
DEAR = {"pickle-million-sets", "pickle-million-memos", "pickle-tuples-in-tuples-as-key"}
"""Files that take seconds to refuse: only their reader is tested with them, not `vsezoo convert`, which calls it."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every file of the corpus, NAME.bin; the file `ran` must never come to be."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (_, write) in CORPUS.items():
        write(folder / f"{name}.bin", folder / "ran")
    return folder


@pytest.fixture(scope="module")
def outcomes(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Read every file of the corpus in a process of its own."""
    return run(corpus, tmp_path_factory.mktemp("reading"), read_all)


@pytest.fixture(scope="module")
def conversions(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Convert the files in a process of its own; vocabularies as those of a sound checkpoint, too."""
    folder = tmp_path_factory.mktemp("hostile-conversion")
    tiny.save_model(folder / "sound")
    checkpoint = vsezoo.export(folder / "sound", "vsepp", folder / "old" / "model_best.pth.tar")[0]
    found = run(corpus, folder / "work", convert_all, checkpoint)
    assert not list((folder / "work" / "output").glob("*")), "something was written"
    return found


def run(corpus: Path, work: Path, *call: Any) -> dict[str, Any]:
    """Run a function on the corpus in a process that stands in a folder of its own, and return what it prints."""
    before = sorted(corpus.iterdir())
    done = processes.run(work, *call, corpus)
    assert (done.code, done.stderr) == (0, ""), done.stderr
    assert {path.name for path in work.iterdir()} <= {".stdout", ".stderr", "output"}, "something was left"
    assert sorted(corpus.iterdir()) == before, "something was left next to the files"
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def read_all(corpus: Path) -> None:
    """Read each file with its reader, and print what came of it."""
    for name, (reader, _) in CORPUS.items():
        path = corpus / f"{name}.bin"
        try:
            value = READERS[reader](path)
            outcome = {"kind": "nothing", "text": f"it was read as {type(value).__name__}"}
            del value
        except CheckpointError as error:
            outcome = {"kind": "refused", "text": str(error), "file": str(error.file), "remedy": str(error.remedy)}
        except BaseException as error:
            outcome = {"kind": type(error).__name__, "text": str(error)}
        print(json.dumps({"name": name, "path": str(path), "peak": processes.measure_peak(), **outcome}))


def convert_all(checkpoint: Path, corpus: Path) -> None:
    """Run `vsezoo convert` with each file, and print what came of it."""
    processes.set_cache()
    commands: dict[str, list[str]] = {}
    for name, (reader, _) in CORPUS.items():
        path = str(corpus / f"{name}.bin")
        if name not in DEAR:
            commands[name] = [path]
        if reader == "vocabulary":
            commands[f"{name}-as-vocab"] = [str(checkpoint), "--vocab", path]
    for name, arguments in commands.items():
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(["convert", *arguments, "--output", f"output/{name}"], prog_name="vsezoo")
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else -1
        outcome = {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}
        print(json.dumps({"name": name, "peak": processes.measure_peak(), **outcome}))


def test_there_are_enough() -> None:
    assert len(CORPUS) >= 60
    assert CORPUS.keys() > DEAR


@pytest.mark.process
def test_every_file_is_refused(outcomes: dict[str, Any]) -> None:
    assert outcomes.keys() == CORPUS.keys()
    for outcome in outcomes.values():
        assert outcome["kind"] == "refused", outcome
        assert outcome["file"] == outcome["path"], outcome
        assert outcome["remedy"], outcome
        assert outcome["text"].startswith(f"{outcome['path']}: "), outcome
        assert len(outcome["text"].splitlines()) == 2, outcome
        assert "Traceback" not in outcome["text"], outcome
        assert outcome["text"].replace("\n", "").isprintable(), outcome
        assert outcome["peak"] < GIGABYTE, outcome


@pytest.mark.process
def test_every_conversion_is_one_message(conversions: dict[str, Any]) -> None:
    assert len(conversions) > len(CORPUS)
    for name, outcome in conversions.items():
        absent = name == "pickle-absent"  # as a call with a path that is wrong
        assert (outcome["code"], outcome["stdout"]) == (2 if absent else 1, ""), outcome
        assert outcome["stderr"].startswith("Error: /"), outcome
        assert "Traceback" not in outcome["stderr"], outcome
        assert ".bin: " in outcome["stderr"].splitlines()[0], outcome
        assert outcome["stderr"].replace("\n", "").isprintable(), outcome
        assert outcome["peak"] < GIGABYTE, outcome


@pytest.mark.process
def test_no_importer_is_surprised(conversions: dict[str, Any]) -> None:
    """What catches the errors of a careless importer is not needed by ours."""
    surprised = [name for name, outcome in conversions.items() if "was not expected by" in outcome["stderr"]]
    assert not surprised


@pytest.mark.process
def test_the_name_that_was_refused_is_told(conversions: dict[str, Any]) -> None:
    assert "refers to posix.system (os.system), which" in conversions["pickle-os-system-2"]["stderr"]
    assert "Nothing in the file was executed" in conversions["pickle-os-system-2"]["stderr"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pickle-os-system-0", "refers to posix.system (os.system), which"),
        ("pickle-inst", "refers to os.system, which"),
        ("pickle-eval", "refers to builtins.eval, which"),
        ("pickle-numpy-load", "refers to numpy.load, which"),
        ("pickle-callable-attribute", "refers to os.system, which"),
        ("pickle-torch-load", "refers to torch.load, which"),
        ("pickle-key-twice", "has the key 'a' twice"),
        ("pickle-list-in-itself", "contains itself"),
        ("pickle-laughs-lists", "repeats its parts"),
        ("pickle-of-a-terabyte", "has 1,099,511,627,776 bytes"),
        ("pickle-absent", "cannot be read: No such file"),
        ("pickle-array-too-short", "needs 12 bytes but has 4"),
        ("torch-os-system", "refers to posix.system (os.system), which"),
        ("torch-os-system-row", "refers to posix.system (os.system), which"),
        ("torch-whole-module", "refers to torch.nn.modules.linear.Linear, which"),
        ("torch-storage-longer-than-held", "names the storage 0 of 4,294,967,296 bytes but contains 48 bytes"),
        ("torch-tensor-beyond-its-storage", r"tensor of shape (5, 3) that exceeds"),
        ("torch-member-twice", "archive/data.pkl twice"),
        ("torch-members-overlap", "overlap"),
        ("torch-torchscript", "TorchScript"),
        ("torch-protocol-4", "protocol 4"),
        ("torch-tar", "tar archive"),
        ("torch-row-of-8-tb", "ends 8,796,093,022,160 bytes before the end"),
        ("torch-row-view-beyond", "has a view that exceeds"),
        ("torch-truncated-row", "ends 20 bytes before the end of its storage"),
        ("npz-bomb", "to 134,21"),
        ("npz-array-twice", "has the array W twice"),
        ("npz-too-short", "the member W.npy"),
        ("npz-shape-huge", "shape (1099511627776, 1024) that needs"),
        ("npz-objects", "of type object"),
        ("npz-checksum", "damaged member W.npy"),
        ("vocabulary-json-without-word2idx", "has no dictionary word2idx"),
        ("vocabulary-json-name-twice", "the key 'a' occurs twice"),
        ("vocabulary-id-gap", "has 3 words, but none with the id 2"),
        ("vocabulary-id-twice", "gives the id 1 to 'w1' and to 'w2'"),
        ("vocabulary-next-id-differs", "word2idx has 10,006 words, idx says 11353"),
    ],
)
def test_the_message_says_what_is_wrong(name: str, words: str, outcomes: dict[str, dict[str, Any]]) -> None:
    assert words in outcomes[name]["text"]


@pytest.mark.slow
def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "coco_precomp_vocab.json"
    value = {
        "word2idx": {f"w{n}": n for n in range(11_353)},
        "idx2word": {n: f"w{n}" for n in range(11_353)},
        "idx": 11_353,
    }
    path.write_text(json.dumps(value), encoding="utf-8")
    words = read_vocabulary(path)
    require_vocabulary(words, 11_353, path)
    with pytest.raises(CheckpointError, match=r"has 11,353 words, but .* 10,006 rows") as caught:
        require_vocabulary(words, 10_006, path)
    assert caught.value.file == str(path)
    assert caught.value.remedy
