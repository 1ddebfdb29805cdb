"""`vsezoo convert`, with importers made here."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import tiny
import torch
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

import vsezoo
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import CheckpointError
from vsezoo.interfaces import Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_text_encoder
from vsezoo.recipe import Recipe
from vsezoo.registry import list_entries, register
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.storage.digests import digest_file
from vsezoo.storage.json_file import read_object

TEXTS = [*tiny.CAPTIONS, "nothing that it knows", ""]


class ListsImporter(Importer):
    """Weights as lists of numbers, the tokenizer in a folder next to them."""

    name, summary, file_name = "lists", "Lists of numbers.", "lists.json"
    options: Mapping[str, str] = {"vocab": "the FILE of the words", "scale": "what multiplies every weight"}

    def recognise(self, source: Source) -> bool:
        return not source.is_folder and source.format == "json" and "weights" in source.content

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        recipe = Recipe.from_json(source.content["recipe"])
        words = source.open(options.get("vocab", "vocab.json"))
        tokenizer: Tokenizer = load_text_encoder(recipe).read_tokenizer(words.path.parent)
        tensors = {
            name: torch.tensor(values) * options.get("scale", 1) for name, values in source.content["weights"].items()
        }
        data = {"name": "f8k_precomp", "kind": "vector", "image_shape": [tiny.WIDTH]}
        return Imported(recipe, tokenizer, tensors, data, {"epoch": source.content["epoch"], "options": {"lr": 0.5}})

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
        path.write_text(
            json.dumps({"epoch": 4, "recipe": model.recipe.to_json(), "weights": weights}), encoding="utf-8"
        )
        vocab = path.with_name("vocab.json")
        vocab.write_bytes(model.tokenizer.to_files()["vocab.json"])
        return [path, vocab]


class GreedyImporter(ListsImporter):
    """Takes any JSON for its own, and can write nothing."""

    name, summary = "greedy", "Any JSON."

    def recognise(self, source: Source) -> bool:
        return not source.is_folder and source.format == "json"

    write = Importer.write


class ShyImporter(GreedyImporter):
    """Tells nothing of the data."""

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        return replace(super().read(source, options), data={})


class ClumsyImporter(GreedyImporter):
    """Is surprised by what it reads."""

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        raise KeyError("Wemb")


def use_lists() -> None:
    register("importers", "lists")(ListsImporter)


def use_alias() -> None:
    use_lists()
    register("importers", "lists2")(ListsImporter)


def use_greedy() -> None:
    use_lists()
    register("importers", "greedy")(GreedyImporter)


def use_shy() -> None:
    register("importers", "shy")(ShyImporter)


def use_clumsy() -> None:
    register("importers", "clumsy")(ClumsyImporter)


def use_small_disk() -> None:
    use_lists()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def convert(
    folder: Path, *arguments: str | Path, before: Callable[[], None] | None = use_lists, code: int = 0
) -> processes.Done:
    done = commands.run_command(folder, "convert", *arguments, before=before)
    assert done.code == code, done.stderr
    return done


@pytest.fixture(scope="module")
def original() -> JointEmbedding:
    return tiny.make_model()


@pytest.fixture(scope="module")
def source(original: JointEmbedding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "lists.v2.json"
    ListsImporter().write(original, path)
    return path


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    convert(folder, source)
    return folder / "runs" / "lists"


# What comes out


def test_the_model_is_the_same(made: Path, original: JointEmbedding) -> None:
    model = vsezoo.load(made)
    assert not model.training
    features = tiny.TinyPairs().features
    assert torch.equal(model.encode_texts(TEXTS), original.encode_texts(TEXTS))
    assert torch.equal(model.encode_images(features), original.encode_images(features))


def test_the_folder_says_where_it_comes_from(made: Path, source: Path) -> None:
    config = read_config(made)
    assert config["converted"] == {
        "format": "lists",
        "distribution": "session",
        "version": "",
        "files": {path.name: digest_file(path) for path in (source, source.with_name("vocab.json"))},
        "options": {},
        "notes": {"epoch": 4, "options": {"lr": 0.5}},
    }
    assert config["data"] == {"name": "f8k_precomp", "kind": "vector", "image_shape": [tiny.WIDTH]}
    assert config["trained"] == {}
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "vocab.json",
    ]


def test_the_card_says_it_too(made: Path, source: Path) -> None:
    card = (made / "README.md").read_text(encoding="utf-8")
    assert "# vsepp, a converted checkpoint\n" in card
    assert "Converted from these files by the importer `lists` of session" in card
    assert f"| `lists.v2.json` | {source.stat().st_size:,} | `{digest_file(source)['sha256']}` |" in card
    assert "Recorded in the files, not measured here: `epoch` 4." in card
    assert "`f8k_precomp`, as the files or the options of the conversion name it. Flickr8K" in card
    for of_another_run in ("trained on", "training images with", "best of", "## Training\n", "the recipe overrides"):
        assert of_another_run not in card
    assert ModelCard(card).data.to_dict()["datasets"] == ["f8k_precomp"]


def test_what_is_printed(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, "--output", "here")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "here"
    assert lines[1].startswith("vsepp: ")
    wanted = ["data set f8k_precomp", f"images vector of {tiny.WIDTH}", "embed size 5", "format lists (session )"]
    assert set(wanted) <= set(lines)
    assert f"sha256 {digest_file(source)['sha256']}" in done.stdout
    assert {"epoch 4", "options lr=0.5"} <= set(lines)
    assert done.stderr == "Evaluate it: vsezoo eval here\n"
    shown = commands.run_command(tmp_path, "show", "here")
    assert f"sha256 {digest_file(source)['sha256']}" in shown.stdout
    assert (shown.code, shown.stderr) == (0, "")
    card = (tmp_path / "here" / "README.md").read_text(encoding="utf-8")
    renewed = commands.run_command(tmp_path, "card", "here")
    assert renewed.code == 0
    assert (tmp_path / "here" / "README.md").read_text(encoding="utf-8") == card


def test_json(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, "--output", "here", "--json")
    assert done.stderr == ""
    value = json.loads(done.stdout)
    config = read_config(tmp_path / "here")
    assert value == {"checkpoint": "here", "model": "vsepp", "data": config["data"], **config["converted"]}


def test_options_and_data(source: Path, original: JointEmbedding, tmp_path: Path) -> None:
    shutil.copy(source, tmp_path / "moved.json")
    (tmp_path / "words").mkdir()
    shutil.copy(source.with_name("vocab.json"), tmp_path / "words")
    processes.assert_one_message(
        convert(tmp_path, "moved.json", code=1),
        1,
        r"vocab\.json: does not exist, but is needed\.\nPut it next to moved",
    )
    told = ("--vocab", "words/vocab.json", "--option", "scale=2", "--data", "coco_precomp")
    value = json.loads(convert(tmp_path, "moved.json", *told, "--json").stdout)
    assert value["options"] == {"scale": 2, "vocab": "vocab.json"}
    assert value["data"]["name"] == "coco_precomp"
    weight = original.image_encoder.state_dict()["fc.weight"]
    assert torch.equal(vsezoo.load(tmp_path / "runs" / "moved").image_encoder.state_dict()["fc.weight"], 2 * weight)


def test_eval_takes_the_data_from_the_checkpoint(made: Path, tmp_path: Path) -> None:
    tiny.write_data(tmp_path / "features" / "f8k_precomp")
    own, named = (
        commands.run_command(tmp_path, "eval", made, "--json", "--device", "cpu", *more)
        for more in (("--data-root", "features"), ("--data", "features/f8k_precomp"))
    )
    assert json.loads(own.stdout)["rsum"] == json.loads(named.stdout)["rsum"]


def test_data_of_which_nothing_is_known(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, "--output", "here", before=use_shy)
    assert re.search(r"data set +unknown *\n +images +vector *\n", done.stdout)
    card = (tmp_path / "here" / "README.md").read_text(encoding="utf-8")
    assert "\n# vsepp trained on unknown data\n" in card
    assert "`images` is an array of shape (images, width)" in card
    assert "datasets" not in ModelCard(card).data.to_dict()
    assert "Settings that differ from the recipe:" in card
    processes.assert_one_message(
        commands.run_command(tmp_path, "eval", "here"),
        2,
        r"^here: does not say what data set it was trained on\.\nName the data",
    )
    shown = commands.run_command(tmp_path, "show", "here")
    assert (shown.code, shown.stderr) == (0, "")


@pytest.mark.parametrize("form", ["vsepp", "kiros"])
def test_a_full_disk_while_a_plugin_writes(form: str, tmp_path: Path) -> None:
    settings = {} if form == "vsepp" else {"text_encoder__words": "split"}
    tiny.save_model(tmp_path / "made", tiny.make_model("vsepp" if form == "vsepp" else "kiros-gru", **settings))
    done = convert(tmp_path, "made", "--to", form, "--output", "x.bin", before=use_small_disk, code=1)
    processes.assert_one_message(done, 1, r"^x\.bin: cannot be written: File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_as_a_function(source: Path, original: JointEmbedding, tmp_path: Path, lists: None) -> None:
    conversion = vsezoo.convert(source, tmp_path / "here", options={"scale": 1})
    assert conversion.checkpoint == tmp_path / "here"
    assert torch.equal(vsezoo.load(conversion.checkpoint).encode_texts(TEXTS), original.encode_texts(TEXTS))
    assert vsezoo.export(conversion.checkpoint, "lists", tmp_path / "x.json") == [
        tmp_path / "x.json",
        tmp_path / "vocab.json",
    ]
    (tmp_path / "words.json").write_bytes(source.with_name("vocab.json").read_bytes())
    with pytest.raises(
        CheckpointError, match="it is a JSON file of a dictionary with the keys tokenizer, threshold, wo"
    ):
        vsezoo.convert(tmp_path / "words.json", tmp_path / "other")


@pytest.fixture
def lists() -> None:
    use_lists()


# The other way


def test_the_way_back_is_the_same_to_the_byte(made: Path, source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, made, "--to", "lists", "--output", "back/again.json")
    assert done.stdout.splitlines() == ["back/again.json", "back/vocab.json"]
    assert (tmp_path / "back" / "again.json").read_bytes() == source.read_bytes()
    assert (tmp_path / "back" / "vocab.json").read_bytes() == source.with_name("vocab.json").read_bytes()
    assert len(list((tmp_path / "back").iterdir())) == 2
    value = json.loads(convert(tmp_path, made, "--to", "lists", "--json").stdout)
    files = {name: digest_file(tmp_path / name) for name in ("lists.json", "vocab.json")}
    assert value == {"checkpoint": str(made), "format": "lists", "files": files}


def test_what_is_there_is_not_written_over(made: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("mine", encoding="utf-8")
    done = convert(tmp_path, made, "--to", "lists", code=2)
    processes.assert_one_message(done, 2, r"^vocab\.json: already exists\.\nChoose another --output, or .*--overwrite")
    assert (tmp_path / "vocab.json").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "lists.json").exists()
    convert(tmp_path, made, "--to", "lists", "--overwrite")
    assert (tmp_path / "vocab.json").read_bytes() == source.with_name("vocab.json").read_bytes()


def test_a_full_disk_on_the_way_back(made: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, made, "--to", "lists", before=use_small_disk, code=1)
    processes.assert_one_message(done, 1, r"^lists\.json: cannot be written: File too large")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("MADE", "--to", "list"),
            2,
            r"^There is no importer 'list'\.\nDid you mean 'lists'\? `vsezoo convert --help`",
        ),
        (("MADE", "--to", "greedy"), 2, r"^'greedy' can be read but not written\.\nChoose a format that can"),
        (("MADE", "--to", "lists", "--from", "lists"), 2, r"^--from cannot be combined with --to\."),
        (("MADE", "--to", "lists", "--option", "a=1"), 2, r"^--option cannot be combined with --to\."),
        (("MADE", "--to", "lists", "--output", "."), 2, r"^\.: is a folder, not a file\."),
        (("SOURCE", "--to", "lists"), 2, r"lists\.v2\.json: is a file, but .*\nConvert it first: vsezoo convert /"),
        (("nowhere", "--to", "lists"), 2, r"^nowhere: does not exist\."),
    ],
)
def test_mistakes_on_the_way_back(
    arguments: tuple[str, ...], code: int, message: str, made: Path, source: Path, tmp_path: Path
) -> None:
    places = {"MADE": made, "SOURCE": source}
    done = convert(tmp_path, *(places.get(word, word) for word in arguments), before=use_greedy, code=code)
    processes.assert_one_message(done, code, message)
    assert not list(tmp_path.iterdir())


# Which importer


def test_of_two_importers_one_must_be_named(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, before=use_greedy, code=2)
    processes.assert_one_message(
        done,
        2,
        r"lists\.v2\.json: may be of several formats: greedy, lists\.\nChoose one: --from greedy or --from lists",
    )
    value = json.loads(convert(tmp_path, source, "--from", "greedy", "--json", before=use_greedy).stdout)
    assert value["format"] == "greedy"


def test_an_alias_is_no_second_importer(source: Path, tmp_path: Path) -> None:
    convert(tmp_path, source, before=use_alias)


def test_an_importer_that_is_surprised(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, before=use_clumsy, code=1)
    assert "lists.v2.json: was not expected by the importer 'clumsy' of session : KeyError: 'Wemb'.\n" in done.stderr
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 2)


def test_a_plugin_that_cannot_be_imported_stops_no_other(
    make_distribution: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    root = make_distribution("broken", {"importers": {"bad": "made_bad:x"}}, {"made_bad": "1 / 0"})
    done = commands.call_vsezoo("convert", str(source), cwd=tmp_path, path=(root,))
    assert (done.returncode, done.stdout) == (1, "")
    assert "\n  bad: FAILED: ZeroDivisionError: division by zero\n" in done.stderr
    assert "\n  kiros: Kiros et al. 2014" in done.stderr
    done = commands.call_vsezoo("convert", "--help", cwd=tmp_path, path=(root,))
    assert done.returncode == 0
    assert "FAILED: ZeroDivisionError" in done.stdout
    assert "linxd5/VSE_Pytorch" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "listz"), r"^There is no importer 'listz'\.\nDid you mean 'lists'\? `vsezoo convert --help` lists"),
        (("--option", "scal=2"), r"^The format 'lists' has no option 'scal'\.\nDid you mean 'scale'\? Its options: "),
        (("--option", "scale"), r"^--option takes NAME=VALUE, not 'scale'\."),
        (("--data", "f8k_precom"), r"^There is no data set 'f8k_precom'\.\nDid you mean 'f8k_precomp'\?"),
        (("--output", "taken"), r"^taken: already exists\.\nChoose another --output, or replace it with --overwrite"),
        (("--output", "taken", "--overwrite"), r"^taken: is not replaced: it is not a checkpoint, or"),
        (("--output", "file"), r"^file: is a file, not a folder\."),
        (("--vocab", "nothing"), r"nothing: does not exist, but is needed\."),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").touch()
    code = 1 if "--vocab" in arguments else 2
    processes.assert_one_message(convert(tmp_path, source, *arguments, code=code), code, message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


def test_a_checkpoint_is_replaced_when_that_is_said(made: Path, source: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "here")
    config = tmp_path / "here" / "config.json"
    before = config.read_bytes()
    convert(tmp_path, source, "--output", "here", code=2)
    assert config.read_bytes() == before
    convert(tmp_path, source, "--output", "here", "--overwrite", "--option", "scale=3")
    assert read_config(tmp_path / "here")["converted"]["options"] == {"scale": 3}


def test_the_folder_of_the_source_is_not_replaced(made: Path, source: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "here")
    shutil.copy(source, tmp_path / "here" / "old.json")
    done = convert(tmp_path, "here/old.json", "--output", "here", "--overwrite", code=2)
    processes.assert_one_message(done, 2, r"^here: is not replaced: .* or it contains the input file")
    assert (tmp_path / "here" / "old.json").exists()


def test_a_checkpoint_of_vsezoo_is_one_already(made: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copytree(made, tmp_path / "run" / "best")
    for path in ("run", "run/best", "run/best/model.safetensors", "run/best/config.json"):
        done = convert(tmp_path, path, code=2)
        message = rf"^{path}: is already a checkpoint of vsezoo\.\nUse it directly: vsezoo eval .*--to FORMAT"
        processes.assert_one_message(done, 2, message)


def test_a_full_disk(source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, source, "--output", "here", before=use_small_disk, code=1)
    processes.assert_one_message(
        done, 1, r"^here: cannot be written: .*File too large.*\nThe file is too large for this disk or for `ulimit -f`"
    )
    assert not list(tmp_path.iterdir())


def test_a_damaged_file(source: Path, tmp_path: Path) -> None:
    shutil.copy(source.with_name("vocab.json"), tmp_path)
    whole = source.read_bytes()
    (tmp_path / "half.json").write_bytes(whole[: len(whole) // 2])
    processes.assert_one_message(
        convert(tmp_path, "half.json", code=1), 1, r"^half\.json: is damaged, or not a JSON file"
    )
    value = json.loads(whole)
    value["weights"]["image_encoder.fc.bias"].append(0.0)
    (tmp_path / "wide.json").write_text(json.dumps(value), encoding="utf-8")
    message = r"^wide\.json: has the tensor image_encoder\.fc\.bias of shape \(6,\) where .* require \(5,\)"
    processes.assert_one_message(convert(tmp_path, "wide.json", code=1), 1, message)
    assert not (tmp_path / "runs").exists()


# What is no checkpoint


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "vsepp/model_best.pth.tar")


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vse/f8k.npz", b"")
        archive.writestr("vse/coco.npz", b"")


def write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, images=np.ones((2, 3)), captions=np.array(["a"]))


def write_vocabulary(path: Path) -> None:
    path.write_text(json.dumps({"word2idx": {"a": 0}, "idx2word": {"0": "a"}, "idx": 1}), encoding="utf-8")


def write_many(path: Path) -> None:
    torch.save({f"layer{index}.weight": torch.zeros(1) for index in range(12)}, path)


STRANGERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "is compressed with gzip.\nUnpack it first"),
    "tar": (write_tar, "is a tar archive.\nUnpack it first"),
    "zip": (write_zip, "is a zip archive of vse/f8k.npz, vse/coco.npz.\nUnpack it first"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "is an HDF5 file"),
    "page": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "is a web page or XML, not a checkpoint"),
    "safetensors": (lambda path: save_file({"a": np.ones(2)}, path), "is a safetensors file"),
    "vocabulary": (write_vocabulary, "is a vocabulary, not a checkpoint.\nGive the checkpoint with this"),
    "npz": (write_npz, "it is an .npz file of the arrays images, captions.\nKnown formats:"),
    "torch": (write_many, "it is a torch file of a dictionary with the keys layer0.weight, "),
    "number": (lambda path: path.write_text("[1, 2]", encoding="utf-8"), "it is a JSON file of a list of 2."),
    "empty": (lambda path: path.touch(), "is empty."),
    "text": (
        lambda path: path.write_text("image,caption\na.jpg,a dog\n", encoding="utf-8"),
        "is not of a known format: it matches no signature and cannot be read as a pickle.\nKnown formats",
    ),
    "damaged": (
        lambda path: path.write_bytes(b"\x80\x02]"),
        "before its pickle is complete, or continues with something else.\nDownload",
    ),
    "damaged text": (
        lambda path: path.write_bytes(b"(dp0\ng7\n."),
        "a memo entry that does not exist: it is damaged.\nDownload",
    ),
    "folder": (lambda path: path.mkdir(), "is not of a known format: it is a folder with nothing."),
    "nothing": (lambda path: None, "does not exist.\nGive a file or folder to convert."),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    write, words = STRANGERS[name]
    write(tmp_path / "x")
    for more in ((), ("--from", "lists")):
        done = convert(tmp_path, "x", *more, code=2 if name == "nothing" else 1)
        wanted = words.replace("not of a known format", "not of the format 'lists'") if more else words
        assert done.stderr.startswith("Error: x: ")
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_formats_are_listed_where_none_fits(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}", encoding="utf-8")
    done = convert(tmp_path, "x", code=1)
    assert done.stderr.startswith("Error: x: is not of a known format: it is a JSON file of an empty dictionary.\n")
    assert "\nKnown formats:\n" in done.stderr
    assert "\n  lists: Lists of numbers.\n" in done.stderr


def test_every_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "convert.md").read_text(encoding="utf-8")
    own = [entry.name for entry in list_entries("importers") if entry.distribution == "vsezoo"]
    assert [name for name in own if f"\n| `{name}` |" not in page] == []


def test_a_config_that_does_not_say_where_it_comes_from(made: Path, tmp_path: Path) -> None:
    config = read_object(made / "config.json")
    for converted, words in (
        ("from a friend", "has an invalid entry 'format' about its conversion"),
        ({**config["converted"], "notes": []}, "has an invalid entry 'notes' about its conversion"),
        ({**config["converted"], "files": {"x": {"size": "1"}}}, "has no size and sha256 for 'x'"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, "converted": converted}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=words):
            read_config(tmp_path, verify=False)


def test_what_a_strange_config_says_is_no_command_for_a_terminal(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    config = read_object(folder / "config.json")
    config["converted"]["notes"] = {"\x1b[2Jnote": "\x1b[31mred", "options": {"a\x07": "\x1b]0;title\x07"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shown = commands.run_command(tmp_path, "show", "here").stdout
    assert "[31mred" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_file_that_may_not_be_read(source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    shutil.copy(source, tmp_path / "x")
    (tmp_path / "x").chmod(0)
    processes.assert_one_message(convert(tmp_path, "x", code=1), 1, r"^x: cannot be read: Permission denied")
