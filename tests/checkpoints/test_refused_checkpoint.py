"""Checkpoint folders that are damaged or meant ill: each is refused with a clear error, and reading runs nothing."""

from __future__ import annotations

import copy
import errno
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from checkpoint_folders import change_config, expect_error, record_digests, set_value
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from strategies import LETTERS
from tiny import save_model

from vsezoo import load
from vsezoo.errors import CheckpointError, VsezooError
from vsezoo.storage import snapshot
from vsezoo.storage.checkpoint_layout import describe_absence
from vsezoo.storage.digests import digest_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "best")
    return tmp_path / "best"


# What is refused


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model best.pth.tar", "Convert the checkpoint in it: vsezoo convert '{}/model best.pth.tar' --output"),
        ("a.JPG", "It has pictures: name a checkpoint first, and the folder with --images or --data. Use a folder"),
        ("a.txt", "Use a folder written by `vsezoo train`"),
    ],
)
def test_what_another_folder_is_for(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_text("")
    assert describe_absence(tmp_path).remedy.startswith(remedy.format(tmp_path))


def test_a_folder_around_one(tmp_path: Path) -> None:
    """As sentence-transformers writes a CLIP."""
    (tmp_path / "0_CLIPModel").mkdir()
    (tmp_path / "0_CLIPModel" / "config.json").write_text("{}")
    (tmp_path / "modules.json").write_text("[]")
    assert describe_absence(tmp_path).remedy == f"Use the folder in it: {tmp_path / '0_CLIPModel'}"


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json", "metrics.json"])
def test_an_altered_file_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    for position in (0, len(content) // 2, len(content) - 1):
        altered = copy.copy(content)
        altered[position] ^= 1
        (folder / name).write_bytes(altered)
        expect_error(folder, name, "was altered")
    (folder / name).write_bytes(content[:-1])
    expect_error(folder, name, f"has {len(content) - 1:,} bytes instead of {len(content):,}")
    (folder / name).unlink()
    expect_error(folder, name, "is missing")


def _alter_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    record_digests(folder)


BIAS = "image_encoder.fc.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(BIAS), rf"lacks tensor {BIAS}\."),
        (lambda tensors: tensors.clear(), r"lacks tensors image_encoder.fc.bias, .*, …"),
        (lambda tensors: tensors.update(x=torch.zeros(1)), r"has the extra tensor x\."),
        (lambda tensors: tensors.update({BIAS: torch.zeros(6)}), rf"the tensor {BIAS} of shape \(6,\) where .*\(5,\)"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(1, 5)}), r"of shape \(1, 5\)"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(())}), r"of shape \(\)"),
        (lambda tensors: tensors.update({BIAS: torch.zeros(5, dtype=torch.int64)}), r"of torch.int64 where"),
        pytest.param(
            lambda tensors: tensors.update({BIAS: torch.zeros(5, dtype=torch.complex64)}),
            r"of torch.complex64 where",
            marks=pytest.mark.skipif(
                safetensors.__version__ < "0.7", reason="this safetensors writes no complex numbers"
            ),
        ),
    ],
)
def test_tensors_that_do_not_fit_the_model(folder: Path, change: Callable[[Any], object], message: str) -> None:
    _alter_tensors(folder, change)
    expect_error(folder, "model.safetensors", message)


def test_a_vocabulary_of_another_size_than_the_embedding(folder: Path) -> None:
    """As the two vocabularies of COCO in circulation, of 10,006 and 11,353 words."""
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["words"].append("zebra")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    record_digests(folder)
    words = len(vocabulary["words"])
    expect_error(folder, "model.safetensors", rf"embed.weight of shape \({words - 1}, 4\) .* require \({words}, 4\)")


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 100, (1 << 62).to_bytes(8, "little") + b"{}", None])
def test_a_file_that_is_no_safetensors(folder: Path, content: bytes | None) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    record_digests(folder)
    expect_error(folder, "model.safetensors", "is not a safetensors file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff", "cannot be read as JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[]", "does not contain a JSON object"),
        (b"null", "does not contain a JSON object"),
        (b"{}", "is not the configuration of a vsezoo checkpoint"),
        (b'{"architecture": "bert"}', "is not the configuration of a vsezoo checkpoint"),
    ],
)
def test_a_config_that_is_none(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    expect_error(folder, "config.json", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_value("format_version", to=2), r"has the format version 2; this vsezoo reads up to 1\.\nUpgrade"),
        (set_value("format_version", to=0), "is not the configuration"),
        (set_value("format_version", to=True), "is not the configuration"),
        (set_value("format_version", to="1"), "is not the configuration"),
        (set_value("format", to="other"), "is not the configuration"),
        *(
            (set_value(key, to=[]), f"lacks the object '{key}'")
            for key in ("recipe", "plugins", "data", "trained", "files")
        ),
        *(
            (lambda config, key=key: config.pop(key), f"lacks the object '{key}'")
            for key in ("recipe", "plugins", "data", "trained", "files")
        ),
        (set_value("files", to={}), r"does not list model\.safetensors"),
        *(
            (set_value("files", "vocab.json", to=digest), r"has no size and sha256 for 'vocab.json'")
            for digest in (
                None,
                [],
                5,
                "x",
                {},
                {"size": 1},
                {"size": "1", "sha256": "x"},
                {"size": 1.5, "sha256": "x"},
                {"size": 1, "sha256": None},
                {"size": None, "sha256": "x"},
            )
        ),
        (set_value("recipe", "colour", to="red"), "recipe has the unknown field 'colour'"),
        (lambda config: config["recipe"].pop("embed_size"), "recipe lacks the field 'embed_size'"),
        (set_value("recipe", "embed_size", to="5"), "embed_size is '5'; it must be of type int"),
        (set_value("recipe", "embed_size", to=10**13), "larger than all of its weights"),
        (set_value("recipe", "embed_size", to=10**30), "larger than all of its weights"),
        (set_value("recipe", "training", "learning_rate", to=10**400), "training.learning_rate is"),
        (set_value("recipe", "training", "seed", to=-1), "training.seed is -1"),
        (set_value("recipe", "loss", "options", "margins", to=1.0), "loss 'hinge' has no option 'margins'"),
        (set_value("recipe", "loss", "options", "margin", to="x"), "loss.margin is 'x'; it must be of type float"),
        (set_value("recipe", "text_encoder", "options", "num_layers", to=0), "text_encoder 'gru' cannot be built"),
        (set_value("recipe", "image_encoder", "options", "img_dim", to=0), "img_dim is 0; it must be at least 1"),
        (set_value("recipe", "image_encoder", "options", "pool", to="max"), "pool is 'max'; it must be one of"),
    ],
)
def test_a_damaged_config_is_named(folder: Path, change: Callable[[Any], object], message: str) -> None:
    change_config(folder, change)
    expect_error(folder, "config.json", message)


def test_a_config_that_may_not_be_read_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(snapshot, "open_plain", refuse)
    error = expect_error(folder, "config.json", r"cannot be read: Permission denied\.")
    assert error.remedy == "Check the permissions, or use another place."


@pytest.mark.parametrize("name", ["../best/vocab.json", "../x", "..", "/etc/passwd", "sub/x", "", "\0", "x" * 300])
def test_a_list_of_files_that_leads_out_of_the_folder(folder: Path, name: str) -> None:
    vocabulary = digest_files(folder)["vocab.json"]
    (folder.parent / "x").write_bytes((folder / "vocab.json").read_bytes())
    change_config(folder, set_value("files", name, to=vocabulary))
    with pytest.raises(CheckpointError, match="is missing, although"):
        load(folder)


# Reading runs nothing


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_a_pickle_in_the_folder_is_not_read(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "exploded"
    bomb = pickle.dumps(_Bomb(marker))
    for name in ("model.pt", "pytorch_model.bin", "model_best.pth.tar", "vocab.pkl", "training_args.bin"):
        (folder / name).write_bytes(bomb)
    load(folder)
    for name in ("model.safetensors", "vocab.json", "metrics.json", "config.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(bomb)
        if name != "config.json":
            record_digests(folder)
        if name != "metrics.json":  # which loading does not read
            expect_error(folder, name)
        (folder / name).write_bytes(kept)
        record_digests(folder)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["evil", "evil:Loss", "evil.Loss", "vsezoo:evil:Loss", "vsezoo.losses:HingeLoss", ""])
@pytest.mark.parametrize("kind", ["image_encoder", "text_encoder", "similarity", "loss"])
def test_a_module_that_the_config_names_is_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    marker = tmp_path / "imported"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    change_config(folder, set_value("recipe", kind, "name", to=name))
    with pytest.raises(VsezooError):
        load(folder)
    assert not marker.exists()


# Anything else


def try_to_use(folder: Path) -> VsezooError | None:
    try:
        load(folder).encode_texts(["a dog"])
    except VsezooError as error:
        return error
    return None


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


# Large sizes are in test_a_damaged_config_is_named: in between lie those that torch would build, slowly.
scalars = st.none() | st.booleans() | st.integers(-2, 9) | st.floats(width=16) | st.text(LETTERS, max_size=5)
odd = st.sampled_from(
    ["../x", "\ud800", "a\0b", "hinge", "gru", "order", 10**30, -(10**30), 1e308, [[]], {"": {}}, "x" * 300]
)
values = (
    scalars | odd | st.lists(scalars, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=3), scalars, max_size=2)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "vocab.json"])
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_no_json_brings_anything_but_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    origin = tmp_path_factory.getbasetemp() / "fuzzed"
    if not origin.exists():
        save_model(origin)
    folder = tmp_path_factory.mktemp("altered") / "best"
    shutil.copytree(origin, folder)
    content = json.loads((folder / name).read_text())
    path = data.draw(st.sampled_from(list(_paths(content))))
    value = data.draw(values if path[-1:] != ("num_layers",) else scalars)
    action = data.draw(st.sampled_from(["replace", "remove", "add", "rename"]))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if not path:
        content = value
    elif action == "remove":
        del inner[path[-1]]
    elif action in ("add", "rename") and isinstance(inner, dict):
        inner[data.draw(st.text(LETTERS, max_size=4) | st.sampled_from(["../x", "\ud800", "\0", "x" * 300]))] = (
            inner.pop(path[-1]) if action == "rename" else value
        )
    else:
        inner[path[-1]] = value
    (folder / name).write_text(json.dumps(content))
    if name != "config.json":
        record_digests(folder)
    error = try_to_use(folder)
    shutil.rmtree(folder.parent)
    if error:
        assert str(folder) in str(error)
        assert error.remedy


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_no_damaged_tensors_bring_anything_but_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        save_model(folder)
        shutil.copy(folder / "model.safetensors", folder.parent / "whole")
    content = bytearray((folder.parent / "whole").read_bytes())
    header = int.from_bytes(content[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(
            st.integers(0, 255) | st.sampled_from(b'0123456789"{}')
        )
    (folder / "model.safetensors").write_bytes(content)
    record_digests(folder)
    error = try_to_use(folder)
    assert error is None or error.file == str(folder / "model.safetensors")
