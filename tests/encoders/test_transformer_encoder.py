"""The text encoder hf: a tiny BERT made here, its states pooled by hand, trained, and read in a bare process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
import torch
from tiny_bert import IDS, PIECES, SIZES, write_model
from tiny_transformers import CAPTIONS, make_model, read_without_network, settings_of
from torch import nn
from transformers import (
    AutoTokenizer,
    BertModel,
    CLIPConfig,
    CLIPModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
)

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.checkpoint import load
from vsezoo.encoders.transformer import TransformerTextEncoder
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import RecipeError, UsageError
from vsezoo.interfaces import Tokens
from vsezoo.parts import expand_parts
from vsezoo.training.optimizer_step import build_optimizer, group_parameters


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


@pytest.mark.slow
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
    found = tmp_path / "found.npy"
    arguments = map(str, (tmp_path / "checkpoint", tmp_path / "empty", found))
    assert processes.finish(processes.start(read_without_network, *arguments)) == 0
    assert np.load(found).tobytes() == expected.tobytes()


def test_a_checkpoint_tells_no_path_in_the_transformers_configuration(bert: Path) -> None:
    files = make_model(bert).tokenizer.to_files()
    assert set(files) == {"tokenizer.json", "transformer.json"}
    assert all(str(bert).encode() not in content for content in files.values())


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


def test_a_name_with_an_argument_is_a_part_and_its_option() -> None:
    found = expand_parts({"text_encoder": "hf:org/name", "text_encoder.pool": "cls", "embed_size": 4})
    expected = {
        "text_encoder": "hf",
        "text_encoder.model": "org/name",
        "text_encoder.pool": "cls",
        "embed_size": 4,
    }
    assert found == expected
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
