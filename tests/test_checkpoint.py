"""The checkpoint folder: what is in it, what is refused, and that reading it runs nothing."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import WIDTH, TinyPairs, make_model, save_model

from vsezoo import load, registry
from vsezoo.checkpoint import find_checkpoint, read_config
from vsezoo.errors import CheckpointError, VsezooError
from vsezoo.similarities import CosineSimilarity
from vsezoo.storage import digest_files
from vsezoo.text import WordTokenizer

FILES = {"README.md", "config.json", "metrics.json", "model.safetensors", "vocab.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "best")
    return tmp_path / "best"


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def record_digests(folder: Path) -> None:
    """Make the list of files agree with the files, as someone would who alters a folder on purpose."""
    files = {name: digest for name, digest in digest_files(folder).items() if name not in ("config.json", "README.md")}
    change_config(folder, lambda config: config.update(files=files))


def expect_error(folder: Path, file: str, match: str = "checkpoint folder again") -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        load(folder)
    assert caught.value.file == str(folder / file)
    assert caught.value.remedy
    return caught.value


# What is in it


@pytest.mark.parametrize("name", ["vse0", "vsepp", "order0", "orderpp"])
def test_round_trip_to_the_bit(tmp_path: Path, name: str) -> None:
    model = make_model(name, image_encoder__center=True, text_encoder__num_layers=2)
    save_model(tmp_path / "one", model)
    read = load(tmp_path / "one")
    assert read.recipe.to_json() == model.recipe.to_json()
    assert not read.training
    assert read.state_dict().keys() == model.state_dict().keys()
    for tensor, stored in zip(model.state_dict().values(), read.state_dict().values(), strict=True):
        assert tensor.dtype == stored.dtype
        assert torch.equal(tensor, stored)
    texts, features = ["A dog runs.", "zebra", ""], TinyPairs().features
    assert torch.equal(read.encode_texts(texts), model.encode_texts(texts))
    images = read.encode_images(features)
    assert torch.equal(images, model.encode_images(features))
    assert torch.equal(
        read.similarity(images, read.encode_texts(texts)), model.similarity(images, model.encode_texts(texts))
    )
    save_model(tmp_path / "two", read)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_folder_holds_what_it_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert {item.name for item in folder.iterdir()} == FILES
    assert config["files"].keys() == FILES - {"README.md", "config.json"}
    for name, digest in config["files"].items():
        content = (folder / name).read_bytes()
        assert digest == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert (config["format"], config["format_version"]) == ("vsezoo", 1)
    assert config["data"] == {"name": "tiny", "kind": "vector", "image_shape": [WIDTH], "images": 6, "captions": 30}
    assert config["trained"] == {"epoch": 1, "step": 2, "criterion": "rsum", "score": 3.0}
    assert config["plugins"]["image_encoder"] == {
        "name": "precomp",
        "distribution": "vsezoo",
        "version": config["vsezoo_version"],
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["checkpoints"] == [
        {"reference": ".", "model": "vsepp", "sha256": config["files"]["model.safetensors"]["sha256"]}
    ]


def test_the_card_may_be_edited(folder: Path) -> None:
    (folder / "README.md").write_text("my own words")
    load(folder)


def test_loading_draws_no_random_number(folder: Path) -> None:
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


# Where it is


def test_a_run_means_its_best_checkpoint(folder: Path) -> None:
    assert find_checkpoint(folder.parent) == folder
    load(str(folder.parent))
    folder.rename(f"{folder}.previous")  # as a kill between the two renames of a save leaves it
    assert find_checkpoint(folder) == find_checkpoint(folder.parent) == Path(f"{folder}.previous")
    load(folder)


@pytest.mark.parametrize("reference", [".", "", "./", "../best", ".."])
def test_a_place_relative_to_the_present_one(folder: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    monkeypatch.chdir(folder)
    load(reference)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no folder\.\nGive the folder that `vsezoo train` wrote") as caught:
        load(tmp_path / "absent")
    assert caught.value.file == str(tmp_path / "absent")


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder"):
        load(folder / "model.safetensors")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config.json \(it holds nothing\)"):
        load(tmp_path)
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(CheckpointError, match=r"has no config.json \(it holds photo.jpg\)") as caught:
        load(tmp_path)
    assert caught.value.remedy


# What is refused


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
    expect_error(folder, name, "is absent")


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
        (lambda tensors: tensors.update({BIAS: torch.zeros(5, dtype=torch.complex64)}), r"of torch.complex64 where"),
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
    expect_error(folder, "model.safetensors", rf"embed.weight of shape \({words - 1}, 4\) .* want \({words}, 4\)")


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
        (b"[]", "does not hold a JSON object"),
        (b"null", "does not hold a JSON object"),
        (b"{}", "is not the configuration of a vsezoo checkpoint"),
        (b'{"model_type": "bert"}', "is not the configuration of a vsezoo checkpoint"),
    ],
)
def test_a_config_that_is_none(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    expect_error(folder, "config.json", message)


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: Any) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format_version", to=2), r"has the format version 2; this vsezoo reads up to 1\.\nUpgrade"),
        (_set("format_version", to=0), "is not the configuration"),
        (_set("format_version", to=True), "is not the configuration"),
        (_set("format_version", to="1"), "is not the configuration"),
        (_set("format", to="other"), "is not the configuration"),
        *((_set(key, to=[]), f"lacks the object '{key}'") for key in ("recipe", "plugins", "data", "trained", "files")),
        *(
            (lambda config, key=key: config.pop(key), f"lacks the object '{key}'")
            for key in ("recipe", "plugins", "data", "trained", "files")
        ),
        (_set("files", to={}), r"does not list model\.safetensors"),
        *(
            (_set("files", "vocab.json", to=digest), r"has no size and sha256 for 'vocab.json'")
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
        (_set("recipe", "colour", to="red"), "recipe has the unknown field 'colour'"),
        (lambda config: config["recipe"].pop("embed_size"), "recipe lacks the field 'embed_size'"),
        (_set("recipe", "embed_size", to="5"), "embed_size is '5'; it must be of type int"),
        (_set("recipe", "embed_size", to=10**13), "cannot be built"),
        (_set("recipe", "embed_size", to=10**30), "cannot be built"),
        (_set("recipe", "training", "learning_rate", to=10**400), "training.learning_rate is"),
        (_set("recipe", "training", "seed", to=-1), "training.seed is -1"),
        (_set("recipe", "loss", "options", "margins", to=1.0), "loss 'hinge' has no option 'margins'"),
        (_set("recipe", "loss", "options", "margin", to="x"), "loss.margin is 'x'; it must be of type float"),
        (_set("recipe", "text_encoder", "options", "num_layers", to=0), "text_encoder 'gru' cannot be built"),
        (_set("recipe", "image_encoder", "options", "img_dim", to=0), "img_dim is 0; it must be at least 1"),
        (_set("recipe", "image_encoder", "options", "pool", to="max"), "pool is 'max'; it must be one of"),
    ],
)
def test_a_damaged_config_is_named(folder: Path, change: Callable[[Any], object], message: str) -> None:
    change_config(folder, change)
    expect_error(folder, "config.json", message)


@pytest.mark.parametrize("name", ["../best/vocab.json", "../x", "..", "/etc/passwd", "sub/x", "", "\0", "x" * 300])
def test_a_list_of_files_that_leads_out_of_the_folder(folder: Path, name: str) -> None:
    vocabulary = digest_files(folder)["vocab.json"]
    (folder.parent / "x").write_bytes((folder / "vocab.json").read_bytes())
    change_config(folder, _set("files", name, to=vocabulary))
    with pytest.raises(CheckpointError, match="is absent, though"):
        load(folder)


def test_a_part_of_a_plugin_that_is_not_installed(folder: Path) -> None:
    origin = {"name": "siglip", "distribution": "vsezoo-siglip", "version": "0.3.1"}
    change_config(folder, _set("recipe", "image_encoder", "name", to="siglip"))
    change_config(folder, _set("plugins", "image_encoder", to=origin))
    error = expect_error(folder, "config.json", "There is no image encoder 'siglip'")
    assert error.remedy == "It was written with the distribution vsezoo-siglip 0.3.1: pip install vsezoo-siglip"


def test_a_name_that_means_a_part_of_another_distribution_here(folder: Path) -> None:
    origin = {"name": "hinge", "distribution": "vsezoo-hinges", "version": "0.2"}
    change_config(folder, _set("plugins", "loss", to=origin))
    error = expect_error(folder, "config.json", "was written with the loss 'hinge' of vsezoo-hinges")
    assert error.problem.endswith("here that name means the one of vsezoo.")
    assert error.remedy == "It was written with the distribution vsezoo-hinges 0.2: pip install vsezoo-hinges"


def test_the_part_of_the_distribution_that_the_checkpoint_names_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = registry.Entry("losses", "hinge", "vsezoo.losses:HingeLoss", "Vsezoo_Hinges", "0.3", 1)
    own = registry.list_distributions()
    theirs = own[0]._replace(name="Vsezoo_Hinges", version="0.3", entries=(rival,))
    monkeypatch.setattr(registry, "list_distributions", lambda: [*own, theirs])
    origin = {"name": "hinge", "distribution": "vsezoo-hinges", "version": "0.2"}
    change_config(folder, _set("plugins", "loss", to=origin))
    assert load(folder).recipe.loss.name == "vsezoo-hinges:hinge"
    change_config(folder, _set("plugins", "loss", to={**origin, "distribution": "vsezoo"}))
    assert load(folder).recipe.loss.name == "hinge"


@pytest.mark.parametrize(
    "origin",
    [
        {},
        None,
        5,
        "vsezoo-siglip",
        {"distribution": "vsezoo-siglip"},
        {"distribution": ["vsezoo-siglip"], "version": "1"},
        {"distribution": "x; rm -rf ~", "version": "1"},
        {"distribution": "--index-url=http://x", "version": "1"},
        {"distribution": "x\ny", "version": "1"},
        {"distribution": "x", "version": "1\npip install y"},
        {"distribution": "session", "version": ""},
        {"distribution": "vsezoo", "version": "9"},
    ],
)
def test_only_the_name_of_an_absent_distribution_becomes_a_command(folder: Path, origin: Any) -> None:
    change_config(folder, _set("recipe", "loss", "name", to="hing"))
    change_config(folder, _set("plugins", "loss", to=origin))
    error = expect_error(folder, "config.json", "There is no loss 'hing'")
    assert error.remedy == "Did you mean 'hinge'? `vsezoo list-plugins` lists what there is."


@pytest.fixture
def session_similarity() -> Iterator[str]:
    class Mine(CosineSimilarity):
        pass

    registry.register("similarities", "mine")(Mine)
    yield "mine"
    registry._session.pop(("similarities", "mine"), None)


def test_a_part_of_this_session_loads_in_this_session_alone(tmp_path: Path, session_similarity: str) -> None:
    save_model(tmp_path / "best", make_model(similarity=session_similarity))
    load(tmp_path / "best")
    registry._session.clear()
    assert "pip install" not in str(expect_error(tmp_path / "best", "config.json", "There is no similarity 'mine'"))


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
    change_config(folder, _set("recipe", kind, "name", to=name))
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
scalars = st.none() | st.booleans() | st.integers(-2, 9) | st.floats(width=16) | st.text(max_size=5)
odd = st.sampled_from(
    ["../x", "\ud800", "a\0b", "hinge", "gru", "order", 10**30, -(10**30), 1e308, [[]], {"": {}}, "x" * 300]
)
values = scalars | odd | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)


@pytest.mark.parametrize("name", ["config.json", "vocab.json"])
@settings(deadline=None, max_examples=250)
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
        inner[data.draw(st.text(max_size=4) | st.sampled_from(["../x", "\ud800", "\0", "x" * 300]))] = (
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


@settings(deadline=None, max_examples=100)
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


def test_the_digests_of_a_config_are_verified_once_wanted(folder: Path) -> None:
    (folder / "vocab.json").write_text("{}")
    assert read_config(folder, verify=False)["files"].keys() >= {"vocab.json"}
    with pytest.raises(CheckpointError):
        read_config(folder)


def test_the_tokenizer_of_a_checkpoint_is_the_one_of_the_training(folder: Path) -> None:
    tokenizer = load(folder).tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    assert tokenizer.vocabulary.words == make_model().tokenizer.vocabulary.words  # type: ignore[attr-defined]
    assert tokenizer.threshold == 2
