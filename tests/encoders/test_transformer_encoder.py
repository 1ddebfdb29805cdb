"""The text encoder hf: a tiny BERT made here, its states pooled by hand, trained, and read in a bare process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from checkpoint_folders import change_config
from huggingface_hub import constants
from processes import assert_one_message, run_command
from safetensors.torch import load_file
from tiny_bert import IDS, PIECES, SIZES, write_model
from torch import nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.encoders.transformer import TransformerTextEncoder
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError, HubError, RecipeError, UsageError, VsezooError
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding
from vsezoo.parts import expand_parts
from vsezoo.pretrained.digests import digest_tensors
from vsezoo.publishing.publication import NO_LICENSE, build_card, open_publication
from vsezoo.training.optimizer_step import build_optimizer, group_parameters

CAPTIONS = ["a dog", "The REDISH thing is hot and dry", "dogs", "", "the old one [PAD]"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bert"
    write_model(folder)
    return folder


def make_model(folder: Path, **options: Any) -> JointEmbedding:
    torch.manual_seed(3)
    options = {f"text_encoder__{name}": value for name, value in options.items()}
    return vsezoo.create_model(
        "vsepp", tiny.TinyPairs(), settings={"embed_size": 5, "text_encoder": f"hf:{folder}", **tiny.dotted(options)}
    )


def settings_of(folder: Path, **options: Any) -> dict[str, Any]:
    """Settings of one epoch of five steps."""
    return {
        "text_encoder": f"hf:{folder}",
        "embed_size": 16,
        "loss.mask_same_image": True,
        "training.batch_size": 64,
        "training.num_epochs": 1,
        "training.learning_rate": 0.01,
        "training.val_step": 0,
        **{f"text_encoder.{name}": value for name, value in options.items()},
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("data") / "words")


def test_captions_are_the_pieces_between_the_marks(bert: Path) -> None:
    tokenizer = TransformerTokenizer.from_pretrained(str(bert))
    first, second, *_ = tokenizer.encode(CAPTIONS)
    assert first.dtype == np.int32
    assert [PIECES[index] for index in first] == ["[CLS]", "a", "dog", "[SEP]"]
    expected = ["[CLS]", "the", "red", "##ish", "thing", "is", "hot", "and", "dry", "[SEP]"]
    assert [PIECES[index] for index in second] == expected
    assert len(tokenizer) == len(PIECES)


def test_long_captions_are_cut_and_keep_their_last_mark(bert: Path) -> None:
    long = "red " * 50
    (whole,) = TransformerTokenizer.from_pretrained(str(bert)).encode([long])
    (short,) = TransformerTokenizer.from_pretrained(str(bert), max_len=5).encode([long])
    (no_longer,) = TransformerTokenizer.from_pretrained(str(bert), max_len=99).encode([long])
    assert [PIECES[index] for index in short] == ["[CLS]", "red", "red", "red", "[SEP]"]
    assert len(whole) == len(no_longer) == 12  # the tokenizer says 12, the model 14
    assert make_model(bert).encode_texts([long]).isfinite().all()


def test_a_caption_without_any_piece_is_one_id(tmp_path: Path) -> None:
    write_model(tmp_path / "bare", marks=False)
    assert [list(ids) for ids in TransformerTokenizer.from_pretrained(str(tmp_path / "bare")).encode([""])] == [[0]]


@pytest.mark.parametrize("pool", ["cls", "mean", "last"])
def test_embeddings_are_the_pooled_states_of_the_pretrained_model(bert: Path, pool: str) -> None:
    """Each caption alone through transformers' own BERT, against all of them padded in one batch."""
    model = make_model(bert, pool=pool)
    reference, tokenizer = BertModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    expected = []
    for caption in CAPTIONS:
        with torch.no_grad():
            (states,) = reference(**tokenizer(caption, return_tensors="pt")).last_hidden_state
            pooled = {"cls": states[0], "mean": states.mean(dim=0), "last": states[-1]}[pool]
            raw = model.text_encoder.fc.weight @ pooled + model.text_encoder.fc.bias
        expected.append(raw / raw.norm())
    found = model.encode_texts(CAPTIONS)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-6)
    assert len({tuple(row.tolist()) for row in found}) == len(CAPTIONS)


@pytest.mark.parametrize("pool", ["cls", "mean", "last", "max", "gpo"])
def test_neither_padding_nor_the_order_of_a_batch_counts(bert: Path, pool: str) -> None:
    model = make_model(bert, pool=pool)
    ids = model.tokenizer.encode(CAPTIONS)
    with torch.no_grad():
        together = model.text_encoder(Tokens.pad(ids))
        turned = model.text_encoder(Tokens.pad(ids[::-1])).flip(0)
        tokens = Tokens.pad(ids)
        # What stands in the padding is not looked at: here a piece instead of 0.
        filled = torch.arange(tokens.ids.shape[1]) >= tokens.lengths[:, None]
        other = model.text_encoder(Tokens(tokens.ids.masked_fill(filled, IDS["dog"]), tokens.lengths))
    torch.testing.assert_close(turned, together, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(other, together, rtol=1e-5, atol=1e-6)


def test_normalize_and_use_abs(bert: Path) -> None:
    raw = make_model(bert, normalize=False).encode_texts(CAPTIONS)
    assert (raw < 0).any()
    assert not torch.allclose(raw.norm(dim=1), torch.ones(len(raw)), atol=1e-2)
    unit = make_model(bert, use_abs=True).encode_texts(CAPTIONS)
    torch.testing.assert_close(unit, (raw / raw.norm(dim=1, keepdim=True)).abs())


@pytest.mark.slow
def test_frozen_weights_are_those_of_the_source_and_have_no_dropout(bert: Path, data: Path, tmp_path: Path) -> None:
    result = vsezoo.train("vsepp", data, output=tmp_path / "run", settings=settings_of(bert))
    encoder = load(result.checkpoint).text_encoder
    source = BertModel.from_pretrained(bert).state_dict()
    held = encoder.transformer.state_dict()
    assert {name for name in source if not name.startswith("pooler.")} == set(held)
    assert all(torch.equal(held[name], source[name]) for name in held)
    start = TransformerTextEncoder(embed_size=16, tokenizer=encoder.tokenizer)
    assert not torch.equal(encoder.fc.bias, start.fc.bias)  # which is zero

    encoder.train()
    tokens = Tokens.pad(encoder.tokenizer.encode(CAPTIONS))
    output = encoder(tokens)
    assert torch.equal(output, encoder(tokens))
    output.sum().backward()
    assert encoder.fc.weight.grad is not None
    assert all(parameter.grad is None for parameter in encoder.transformer.parameters())


@pytest.mark.slow
def test_finetuning_moves_the_transformer_as_far_as_its_scale_says(bert: Path, data: Path, tmp_path: Path) -> None:
    source = BertModel.from_pretrained(bert).state_dict()
    moved = {}
    for scale in (1.0, 1e-3):
        settings = settings_of(bert, finetune=True, learning_rate_scale=scale)
        encoder = load(vsezoo.train("vsepp", data, output=tmp_path / f"{scale}", settings=settings).checkpoint)
        held = encoder.text_encoder.transformer.state_dict()
        moved[scale] = max((held[name] - source[name]).abs().max().item() for name in held)
    # Five steps of Adam, none of them much above the learning rate of 0.01.
    assert 0.01 < moved[1.0] < 0.06
    assert 1e-5 < moved[1e-3] < 6e-5


def test_finetuning_draws_dropout(bert: Path) -> None:
    encoder = make_model(bert, finetune=True).text_encoder.train()
    tokens = Tokens.pad(encoder.tokenizer.encode(CAPTIONS))
    assert not torch.equal(encoder(tokens), encoder(tokens))
    assert torch.equal(encoder.eval()(tokens), encoder(tokens))


@pytest.mark.slow
def test_a_resumed_finetuning_ends_with_the_same_bits(bert: Path, data: Path, tmp_path: Path) -> None:
    settings = settings_of(bert, finetune=True, learning_rate_scale=0.1) | {"training.num_epochs": 2}
    whole = vsezoo.train("vsepp", data, output=tmp_path / "whole", settings=settings)
    vsezoo.train("vsepp", data, output=tmp_path / "halves", settings=settings | {"training.num_epochs": 1})
    halves = vsezoo.train("vsepp", data, output=tmp_path / "halves", settings=settings, resume=True)
    other = {"text_encoder": "hf:another"}
    with pytest.raises(UsageError, match=r"other values of text_encoder\.model\."):
        vsezoo.train("vsepp", data, output=tmp_path / "halves", settings=other, resume=True)
    assert halves.evaluation == whole.evaluation
    first, second = (tmp_path / name / "last" / "state.safetensors" for name in ("whole", "halves"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_a_training_that_begins_with_a_checkpoint_needs_no_source(data: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    settings = settings_of(tmp_path / "source", store_weights=True)
    first = vsezoo.train("vsepp", data, output=tmp_path / "first", settings=settings).checkpoint
    shutil.rmtree(tmp_path / "source")
    settings = settings_of(tmp_path / "nothing of the Hub")
    second = vsezoo.train("vsepp", data, output=tmp_path / "second", settings=settings, init=first).checkpoint
    begun, held = (load(each).text_encoder.transformer.state_dict() for each in (first, second))
    assert all(torch.equal(held[name], begun[name]) for name in begun)


BARE = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise AssertionError(event, arguments)

sys.addaudithook(refuse)
import numpy, torch, vsezoo
torch.set_num_threads(1)
numpy.save(sys.argv[2], vsezoo.load(sys.argv[1]).encode_texts(sys.argv[3:]).numpy())
"""


@pytest.mark.process
def test_a_checkpoint_that_stores_the_weights_is_complete_by_itself(tmp_path: Path) -> None:
    """Read in a process without network, with the source gone, it gives the same bits."""
    source = tmp_path / "source"
    write_model(source)
    model = make_model(source, max_len=7, store_weights=True)
    tiny.save_model(tmp_path / "checkpoint", model)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = model.encode_texts(CAPTIONS).numpy()
    torch.set_num_threads(threads)
    shutil.rmtree(source)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    found = tmp_path / "found.npy"
    arguments = [sys.executable, "-c", BARE, str(tmp_path / "checkpoint"), str(found), *CAPTIONS]
    subprocess.run(arguments, env=environment, check=True)
    assert np.load(found).tobytes() == expected.tobytes()


def test_a_checkpoint_tells_no_path_in_the_transformers_configuration(bert: Path) -> None:
    files = make_model(bert).tokenizer.to_files()
    assert set(files) == {"tokenizer.json", "transformer.json"}
    assert all(str(bert).encode() not in content for content in files.values())


# A checkpoint without the frozen weights


def read_config(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return value


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lambda: RobertaModel(RobertaConfig(**SIZES)),
        lambda: GPT2Model(GPT2Config(vocab_size=len(PIECES), n_embd=16, n_layer=2, n_head=2, n_positions=14)),
        lambda: CLIPModel(CLIPConfig(text_config=SIZES, vision_config={**SIZES, "image_size": 32, "patch_size": 16})),
    ],
    ids=["roberta", "gpt2", "clip"],
)
def test_other_families(tmp_path: Path, model: Any) -> None:
    """Weights come from the source, padding does not count, and a checkpoint gives the same bits."""
    source = write_model(tmp_path / "source", model())
    made = make_model(tmp_path / "source", pool="last")
    tiny.save_model(tmp_path / "checkpoint", made)
    held = load(tmp_path / "checkpoint")
    assert torch.equal(held.encode_texts(CAPTIONS), made.encode_texts(CAPTIONS))
    alone = torch.cat([held.encode_texts([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(alone, held.encode_texts(CAPTIONS), rtol=1e-5, atol=1e-6)
    weight = held.text_encoder.transformer.get_input_embeddings().weight
    assert any(torch.equal(weight, given) for given in source.parameters() if given.shape == weight.shape)


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


def go_offline() -> None:
    constants.HF_HUB_OFFLINE = True  # what the variable of this name sets, before the client is imported


@pytest.mark.process
def test_a_model_of_the_hub_without_the_network(tmp_path: Path) -> None:
    flags = ("--text-encoder", "hf:nobody/nothing")
    done = run_command(tmp_path, "train", "vsepp", *flags, before=go_offline)
    assert_one_message(
        done, HubError.exit_code, "nobody/nothing: is not a folder, and could not be downloaded from the Hub: .*offline"
    )
    assert "HF_HUB_OFFLINE=1" in done.stderr


def test_a_name_with_an_argument_is_a_part_and_its_option() -> None:
    found = expand_parts({"text_encoder": "hf:org/name", "text_encoder.pool": "cls", "embed_size": 4})
    expected = {
        "text_encoder": "hf",
        "text_encoder.model": "org/name",
        "text_encoder.pool": "cls",
        "embed_size": 4,
    }
    assert found == expected
    assert list(found) == list(expected)  # settings count in their order
    assert expand_parts({"text_encoder": "vsezoo:hf:a:b"}) == {
        "text_encoder": "vsezoo:hf",
        "text_encoder.model": "a:b",
    }


@pytest.mark.parametrize("name", ["gru", "vsezoo:gru", "nobody:gru", "no-such-part:argument"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert expand_parts({"text_encoder": name, "loss.margin": "hf:x"}) == {"text_encoder": name, "loss.margin": "hf:x"}


def test_a_part_without_the_option_takes_no_argument() -> None:
    with pytest.raises(RecipeError, match="text_encoder 'gru' has no option 'model'"):
        vsezoo.create_model("vsepp", tiny.TinyPairs(), settings={"text_encoder": "gru:large"})


def test_parameters_are_grouped_by_the_longest_beginning() -> None:
    names = ("text.layers.0", "text.fc", "image.fc", "text.layers.1")
    parameters = {name: nn.Parameter(torch.zeros(1)) for name in names}
    groups = group_parameters(parameters, {"text.": 0.5, "text.layers.": 0.1})
    members = [[name for name in names if any(parameters[name] is held for held in g["params"])] for g in groups]
    assert [group["scale"] for group in groups] == [0.1, 0.5, 1.0]
    assert members == [["text.layers.0", "text.layers.1"], ["text.fc"], ["image.fc"]]
    optimizer = build_optimizer(registry.load("models", "vsepp"), groups)
    assert [group["scale"] for group in optimizer.param_groups] == [0.1, 0.5, 1.0]
    (whole,) = group_parameters(parameters, {})
    assert whole == {"params": list(parameters.values()), "scale": 1.0}
