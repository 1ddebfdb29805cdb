"""`vsezoo convert`, with importers made here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import commands
import processes
import pytest
import tiny
import torch
from huggingface_hub import ModelCard
from lists_importer import (
    TEXTS,
    convert,
    use_alias,
    use_clumsy,
    use_greedy,
    use_lists,
    use_shy,
    use_small_disk,
)

import vsezoo
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.storage.digests import digest_file

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
    assert "\n# vsepp, a converted checkpoint\n" in card
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
