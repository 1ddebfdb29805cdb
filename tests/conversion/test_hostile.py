"""Hostile files: each is refused in one message, runs nothing, and takes less than a gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_files import CORPUS

from vsezoo.conversion.vocabulary import read_vocabulary, require_vocabulary
from vsezoo.errors import CheckpointError

GIGABYTE = 2**30

READ_ALL = """
import json, pathlib, resource, sys
from vsezoo.errors import CheckpointError
from vsezoo.conversion.arrays import read_npy, read_npz
from vsezoo.conversion.pickles import read_pickle
from vsezoo.conversion.torch_files import read_torch
from vsezoo.conversion.vocabulary import read_vocabulary

readers = {"npy": read_npy, "npz": read_npz, "pickle": read_pickle, "torch": read_torch, "vocabulary": read_vocabulary}
status = pathlib.Path("/proc/self/status")  # getrusage counts what the parent had before the child became its own
def measure_peak():
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

for name, reader, path in json.load(sys.stdin):
    print(json.dumps({"begins": name}), flush=True)
    try:
        value = readers[reader](path)
        outcome = {"kind": "nothing", "text": f"it was read as {type(value).__name__}"}
        del value
    except CheckpointError as error:
        outcome = {"kind": "refused", "text": str(error), "file": error.file, "remedy": error.remedy}
    except BaseException as error:
        outcome = {"kind": type(error).__name__, "text": str(error)}
    print(json.dumps({"name": name, "path": path, "peak": measure_peak(), **outcome}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Read every file of the corpus in a process of its own, which stands in a folder of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    canary = folder / "ran"
    manifest = []
    for name, (reader, write) in CORPUS.items():
        path = folder / f"{name}.bin"
        write(path, canary)
        manifest.append((name, reader, str(path)))
    before = sorted(folder.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=900,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{done.stderr}\nat {lines[-1:]}"
    assert done.stderr == ""
    assert sorted(folder.iterdir()) == before, "reading has left something"
    return {line["name"]: line for line in lines if "name" in line}


def test_there_are_enough() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.process
@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused(name: str, outcomes: dict[str, dict[str, Any]]) -> None:
    outcome = outcomes[name]
    assert outcome["kind"] == "refused", outcome
    assert outcome["file"] == outcome["path"]
    assert outcome["remedy"]
    assert outcome["text"].startswith(f"{outcome['path']}: ")
    assert len(outcome["text"].splitlines()) == 2
    assert "Traceback" not in outcome["text"]
    assert outcome["text"].replace("\n", "").isprintable()
    assert outcome["peak"] < GIGABYTE


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
