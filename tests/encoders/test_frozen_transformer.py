"""The text encoder hf without its weights in the checkpoint: read from the source, compared by digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from checkpoint_folders import change_config
from safetensors.torch import load_file
from tiny_bert import SIZES, write_model
from tiny_transformers import CAPTIONS, make_model, read_config, settings_of
from transformers import (
    BertConfig,
    BertModel,
)

import vsezoo
from vsezoo.checkpoints.checkpoint import load
from vsezoo.errors import CheckpointError
from vsezoo.pretrained.digests import digest_tensors
from vsezoo.publishing.publication import NO_LICENSE, build_card, open_publication


def list_stored(folder: Path) -> set[str]:
    return {name for name in load_file(folder / "model.safetensors") if name.startswith("text_encoder.")}


@pytest.mark.slow
def test_a_frozen_transformer_is_not_stored(bert: Path, tmp_path: Path) -> None:
    model = make_model(bert)
    tiny.save_model(tmp_path / "checkpoint", model)
    assert list_stored(tmp_path / "checkpoint") == {"text_encoder.fc.weight", "text_encoder.fc.bias"}
    config = read_config(tmp_path / "checkpoint")
    assert config["left_out"] == ["text_encoder"]
    digest = digest_tensors(model.text_encoder.transformer.state_dict())
    stored = {"transformer": {"name": "bert", "source": "bert", "sha256": digest}}
    assert config["encoders"] == {"text_encoder": stored}
    assert config["recipe"]["text_encoder"]["options"]["model"] == "bert"
    assert str(bert.parent) not in (tmp_path / "checkpoint" / "config.json").read_text()
    again = load(tmp_path / "checkpoint")
    assert torch.equal(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))
    side = vsezoo.Checkpoint.open(tmp_path / "checkpoint").text_side()
    assert torch.equal(side.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))
    assert not hasattr(side.image_encoder, "fc")
    tiny.save_model(tmp_path / "second", again)
    assert read_config(tmp_path / "second")["encoders"] == config["encoders"]
    assert "requires bert" in " ".join(build_card(open_publication(tmp_path / "checkpoint")).missing)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"store_weights": True}, {"finetune": True}])
def test_what_is_asked_for_or_may_change_is_stored(bert: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    shutil.copytree(bert, tmp_path / "source")
    model = make_model(tmp_path / "source", **options)
    tiny.save_model(tmp_path / "checkpoint", model)
    shutil.rmtree(tmp_path / "source")
    assert "left_out" not in read_config(tmp_path / "checkpoint")
    assert torch.equal(load(tmp_path / "checkpoint").encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_a_transformer_that_was_changed_is_stored(bert: Path, tmp_path: Path) -> None:
    model = make_model(bert)
    with torch.no_grad():
        next(model.text_encoder.transformer.parameters()).add_(0.01)
    tiny.save_model(tmp_path / "checkpoint", model)
    assert torch.equal(load(tmp_path / "checkpoint").encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["variable", "checkpoint", "working folder"])
def test_where_the_folder_is_looked_for(
    bert: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bert, tmp_path / "secret" / "my-bert")
    model = make_model(tmp_path / "secret" / "my-bert")
    folder = tmp_path / "checkpoint"
    tiny.save_model(folder, model)
    shared = {"variable": tmp_path / "shared", "checkpoint": folder, "working folder": tmp_path / "work"}[place]
    shared.mkdir(exist_ok=True)
    (tmp_path / "secret" / "my-bert").rename(shared / "my-bert")
    if place != "checkpoint":
        with pytest.raises(CheckpointError, match=r"^my-bert: is not a folder, nor is there one of that name in"):
            load(folder)
    if place == "variable":
        monkeypatch.setenv("VSEZOO_WEIGHTS", str(shared))
    if place == "working folder":
        monkeypatch.chdir(shared)
    assert torch.equal(load(folder).encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_other_weights_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    tiny.save_model(tmp_path / "checkpoint", make_model(tmp_path / "source"))
    torch.manual_seed(6)
    BertModel(BertConfig(**SIZES)).save_pretrained(tmp_path / "source")
    with pytest.raises(
        CheckpointError, match=r"source: the weights of source have the SHA-256 \w+, but the model was trained with \w+"
    ) as caught:
        load(tmp_path / "checkpoint")
    assert "transformers" in caught.value.remedy


@pytest.mark.parametrize(
    "stored",
    [None, {}, {"transformer": 5}, {"transformer": {"source": "x", "sha256": 5}}, {"transformer": {"source": "x"}}],
)
@pytest.mark.slow
def test_weights_that_are_not_described(bert: Path, tmp_path: Path, stored: Any) -> None:
    tiny.save_model(tmp_path / "checkpoint", make_model(bert))
    encoders = {} if stored is None else {"text_encoder": stored}
    change_config(tmp_path / "checkpoint", lambda config: config.update(encoders=encoders))
    with pytest.raises(CheckpointError, match="does not describe the weights of bert"):
        load(tmp_path / "checkpoint")


@pytest.mark.slow
def test_a_model_of_the_hub_is_read_at_its_commit(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []
    snapshot = tmp_path / "hub" / "snapshots" / ("a" * 40)
    shutil.copytree(bert, snapshot)

    def download(name: str, *, revision: str | None = None, **patterns: object) -> str:
        asked.append((name, revision))
        return str(snapshot)

    monkeypatch.setattr("vsezoo.encoders.transformer_source.snapshot_download", download)
    model = make_model(Path("org/bert"))
    tiny.save_model(tmp_path / "checkpoint", model)
    assert asked[-1] == ("org/bert", None)
    stored = read_config(tmp_path / "checkpoint")["encoders"]["text_encoder"]["transformer"]
    assert (stored["name"], stored["source"], stored["revision"]) == ("org/bert", "pretrained", "a" * 40)
    assert not (tmp_path / "checkpoint" / "local.json").exists()
    assert torch.equal(load(tmp_path / "checkpoint").encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))
    assert asked[-1] == ("org/bert", "a" * 40)
    assert build_card(open_publication(tmp_path / "checkpoint")).missing == (NO_LICENSE,)


@pytest.mark.slow
def test_a_resumed_run_reads_the_frozen_weights_again(bert: Path, data: Path, tmp_path: Path) -> None:
    settings = settings_of(bert) | {"training.num_epochs": 2}
    whole = vsezoo.train("vsepp", data, output=tmp_path / "whole", settings=settings)
    vsezoo.train("vsepp", data, output=tmp_path / "halves", settings=settings | {"training.num_epochs": 1})
    held = load_file(tmp_path / "halves" / "last" / "state.safetensors")
    assert not [name for name in held if "transformer." in name]
    halves = vsezoo.train("vsepp", data, output=tmp_path / "halves", settings=settings, resume=True)
    assert halves.evaluation == whole.evaluation
    first, second = (tmp_path / name / "last" / "state.safetensors" for name in ("whole", "halves"))
    assert first.read_bytes() == second.read_bytes()
