"""The text encoder hf: damaged checkpoints, folders that are not a text model, impossible options, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hub_environment
import pytest
import tiny
from commands import run_command
from processes import assert_one_message
from tiny_bert import PIECES, SIZES, write_model
from tiny_transformers import make_model
from transformers import (
    BertConfig,
    BertModel,
    T5Config,
    T5Model,
)

import vsezoo
from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.encoders.transformer import TransformerTextEncoder
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError, HubError, RecipeError, VsezooError


def test_the_configuration_in_a_checkpoint_chooses_no_code(bert: Path) -> None:
    tokenizer = TransformerTokenizer.from_pretrained(str(bert))
    evil = {
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "experts_implementation": "someone/kernel",
        "auto_map": {"AutoModel": "someone/repository--module.Class", "AutoConfig": "module.Class"},
    }
    tokenizer.values = {**tokenizer.values, **evil}
    encoder = TransformerTextEncoder(embed_size=5, tokenizer=tokenizer)
    assert encoder.transformer.config._attn_implementation in {"sdpa", "eager"}
    assert type(encoder.transformer) is BertModel


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", b"{}", "tokenizer.json: cannot be read"),
        ("tokenizer.json", b"\xff", "tokenizer.json: cannot be read"),
        ("transformer.json", b"[1]", "transformer.json: does not contain a JSON object"),
        ("transformer.json", b'{"hidden_size": 16}', "transformer.json: cannot be read"),
        ("transformer.json", b'{"model_type": "no-such-model"}', "transformer.json: cannot be read: Unrecognized"),
    ],
)
def test_damaged_files_of_a_checkpoint(bert: Path, tmp_path: Path, file: str, content: bytes, message: str) -> None:
    for name, sound in TransformerTokenizer.from_pretrained(str(bert)).to_files().items():
        (tmp_path / name).write_bytes(sound)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        TransformerTokenizer.from_files(tmp_path)


def test_a_checkpoint_whose_transformer_cannot_be_built(bert: Path, tmp_path: Path) -> None:
    model = make_model(bert)
    model.tokenizer.values = {**model.tokenizer.values, "hidden_act": "no-such-function"}
    save_checkpoint(tmp_path / "checkpoint", model, tiny.TinyPairs(), {})
    with pytest.raises(CheckpointError, match="cannot be read as a pretrained text model"):
        load(tmp_path / "checkpoint")


def break_model(folder: Path, fault: str) -> None:
    if fault == "empty":
        folder.mkdir()
    elif fault == "encoder-decoder":
        write_model(folder, T5Model(T5Config(vocab_size=40, d_model=16, num_layers=1, num_heads=2, d_kv=8, d_ff=16)))
    else:
        words = [*PIECES, "extra"] if fault == "more ids" else PIECES
        write_model(folder, words=words)
    if fault == "no weights":
        (folder / "model.safetensors").unlink()
    if fault == "other weights":
        write_model(folder, BertModel(BertConfig(**SIZES | {"num_hidden_layers": 1})))
        BertConfig(**SIZES).save_pretrained(folder)
    if fault == "own code":
        config = json.loads((folder / "config.json").read_bytes())
        del config["model_type"]
        config["auto_map"] = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "code.py").write_text("raise SystemExit(9)")
    if fault == "slow tokenizer":
        (folder / "tokenizer.json").unlink()
        config = {"tokenizer_class": "CTRLTokenizer", "unk_token": "a"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "vocab.json").write_text(json.dumps({"a": 0}))
        (folder / "merges.txt").write_text("#version: 0.2\n")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("empty", "cannot be read as a pretrained text model: Unrecognized model"),
        ("encoder-decoder", "is not a text encoder but a t5 model"),
        ("no weights", "cannot be read as a pretrained text model: .*safetensors"),
        ("other weights", "lacks the weights encoder.layer.1"),
        ("more ids", f"its tokenizer has {len(PIECES) + 1} ids, but the model only {len(PIECES)}"),
        ("own code", "cannot be read as a pretrained text model: .*contains custom code"),
        ("slow tokenizer", "has no fast tokenizer"),
    ],
)
def test_folders_that_are_no_text_model(tmp_path: Path, fault: str, message: str) -> None:
    break_model(tmp_path / "source", fault)
    with pytest.raises(RecipeError, match=message) as caught:
        make_model(tmp_path / "source")
    assert caught.value.file == str(tmp_path / "source")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "median"}, "text_encoder.pool is 'median'; it must be one of cls, mean, last, max, gpo"),
        ({"learning_rate_scale": 0.0}, "text_encoder.learning_rate_scale is 0.0"),
        ({"max_len": 2}, "text_encoder.max_len is 2; it must be above 2"),
        ({"max_len": -1}, "text_encoder.max_len is -1"),
    ],
)
def test_impossible_options(bert: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_model(bert, **options)


@pytest.mark.parametrize("name", ["hf", "hf:"])
def test_a_model_must_be_named(name: str) -> None:
    with pytest.raises(RecipeError, match="does not name a pretrained model") as caught:
        vsezoo.create_model("vsepp", tiny.TinyPairs(), settings={"text_encoder": name})
    assert "hf:bert-base-uncased" in caught.value.remedy


def test_a_name_that_is_neither_folder_nor_repository() -> None:
    with pytest.raises(VsezooError, match="a/b/c: is not a folder, and cannot be a name on the Hub"):
        vsezoo.create_model("vsepp", tiny.TinyPairs(), settings={"text_encoder": "hf:a/b/c"})


def test_a_model_of_the_hub_without_the_network(tmp_path: Path) -> None:
    with hub_environment.client_of({"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}):
        done = run_command(tmp_path, "train", "vsepp", "--text-encoder", "hf:nobody/nothing")
    assert_one_message(
        done, HubError.exit_code, "nobody/nothing: is not a folder, and could not be downloaded from the Hub: .*offline"
    )
    assert "HF_HUB_OFFLINE=1" in done.stderr
