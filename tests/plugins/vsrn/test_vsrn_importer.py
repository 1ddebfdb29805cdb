"""Checkpoints of VSRN: both architectures, older and repaired forks, the options of the decoder that is not stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vsepp_files
from commands import run_command
from processes import assert_one_message
from vsepp_files import (
    CAPTIONS,
    IDS,
    IMAGES,
    REGIONS,
    VSEPP,
    VSRN,
    WIDTH,
    make_vsepp,
    make_vsrn,
    write_checkpoint,
    write_words,
)

from vsezoo.conversion.convert import convert
from vsezoo.conversion.importer import Imported, Source
from vsezoo.conversion.recognition import find_importer
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo_vsrn.importer import VSRNImporter

FEATURES = np.random.default_rng(6).normal(0, 1, (IMAGES, REGIONS, WIDTH)).astype(np.float32)


def read(path: Path, **told: Any) -> tuple[Source, Imported]:
    source = Source(path)
    _, importer = find_importer(source)
    assert isinstance(importer, VSRNImporter)
    return source, importer.read(source, told)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint whose options differ from `VSRN`, and the vocabulary next to it."""

    def write(model: Any = None, legacy: bool = False, **changes: Any) -> Path:
        options = {**VSRN, **changes}
        write_words(tmp_path / f"{options['data_name']}_vocab.pkl")
        return write_checkpoint(tmp_path, options, model or make_vsrn(options), legacy=legacy)

    return write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "batch_norm", "told", "first_norm", "axis", "legacy"),
    [
        ("coco_precomp", False, {}, True, 0, False),
        ("f30k_precomp", True, {}, False, 0, True),
        ("f30k_precomp", False, {}, True, 0, True),  # code of 2019, which treated all data alike
        ("my_precomp", True, {"data": "f30k_precomp"}, False, 0, False),
        ("coco_precomp", False, {"norm_axis": "feature"}, True, 1, False),
        ("coco_precomp", False, {"norm_axis": "region"}, True, 0, True),
    ],
)
def test_embeddings_are_the_formulas(
    checkpoint: Callable[..., Path],
    data: str,
    batch_norm: bool,
    told: dict[str, str],
    first_norm: bool,
    axis: int,
    legacy: bool,
) -> None:
    image, text = make_vsrn(VSRN, batch_norm=batch_norm)
    path = checkpoint([image, text], legacy=legacy, data_name=data)
    write_words(path.parent / "f30k_precomp_vocab.pkl")
    source, imported = read(path, **told)
    model = imported.build(source)
    expected = vsepp_files.embed_regions(image, VSRN, FEATURES, first_norm=first_norm, axis=axis)
    np.testing.assert_allclose(model.encode_images(FEATURES), expected, rtol=0, atol=1e-5)
    texts = vsepp_files.embed_texts(text, VSRN, IDS)
    np.testing.assert_allclose(model.encode_texts(CAPTIONS), texts, rtol=0, atol=1e-5)
    assert imported.data == {"name": told.get("data", data), "kind": "regions"}


@pytest.mark.slow
def test_names_in_data_parallel_and_without_batch_counts(checkpoint: Callable[..., Path]) -> None:
    image, text = make_vsrn(VSRN, batch_norm=True)
    image = {f"module.{name}": tensor for name, tensor in image.items() if not name.endswith("num_batches_tracked")}
    source, imported = read(checkpoint([image, text], data_name="f30k_precomp"))
    held = imported.build(source).state_dict()
    torch.testing.assert_close(held["image_encoder.blocks.3.W.1.running_var"], image["module.Rs_GCN_4.W.1.running_var"])
    torch.testing.assert_close(held["image_encoder.blocks.0.g.weight"], image["module.Rs_GCN_1.g.weight"][:, :, 0])
    assert held["image_encoder.bn.num_batches_tracked"] == 0


@pytest.mark.slow
def test_options_are_settings(checkpoint: Callable[..., Path]) -> None:
    _, imported = read(checkpoint(dim_vid=31, measure="order", use_abs=True, no_imgnorm=True))
    held = imported.recipe.flatten()
    expected = {
        "embed_size": 6,
        "image_encoder": "vsrn",
        "image_encoder.img_dim": 9,
        "image_encoder.num_blocks": 4,
        "image_encoder.norm_axis": "region",
        "image_encoder.first_norm": True,
        "image_encoder.final_batch_norm": False,
        "image_encoder.normalize": False,
        "image_encoder.use_abs": True,
        "text_encoder.word_dim": 5,
        "similarity": "order",
        "loss": "caption",
        "loss.margin": 0.3,
        "loss.max_violation": True,
        "loss.region_dim": 31,
        "loss.hidden_size": 8,
        "loss.word_dim": 11,
        "loss.dropout": 0.1,
        "loss.max_len": 15,
        "loss.caption_weight": 1.0,
        "training.criterion": "r1+r5",
        "training.select_mid_epoch": True,
        "schedule.every": 4,
    }
    assert {name: held[name] for name in expected} == expected
    assert imported.notes["options"]["rnn_dropout_p"] == 0.5


@pytest.mark.slow
def test_a_decoder_of_the_width_of_the_embedding_says_nothing_of_it(checkpoint: Callable[..., Path]) -> None:
    _, imported = read(checkpoint())
    assert imported.recipe.loss.options["region_dim"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "told", "error", "message"),
    [
        ({"rnn_type": "lstm"}, {}, CheckpointError, "rnn_type='lstm'; supported values: 'gru'"),
        ({"bidirectional": 1}, {}, CheckpointError, "bidirectional=1"),
        ({"max_len": 1}, {}, CheckpointError, r"max_len=1, which is not supported\. loss\.max_len is 1"),
        ({"dim_hidden": 0}, {}, CheckpointError, "dim_hidden=0"),
        ({"lambda_softmax": 9.0}, {}, CheckpointError, r"lambda_softmax=9\.0, whose effect on the model"),
        ({}, {"norm_axis": "both"}, RecipeError, "norm_axis is 'both'"),
    ],
)
def test_what_cannot_be_expressed_is_refused(
    checkpoint: Callable[..., Path],
    changes: dict[str, Any],
    told: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    path = checkpoint(**changes)
    with pytest.raises(error, match=message):
        read(path, **told)


def test_a_batch_norm_that_the_original_does_not_have_for_these_data(checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(make_vsrn(VSRN, batch_norm=True))
    with pytest.raises(CheckpointError, match=r"has a batch norm \(bn\).* was trained on coco_precomp") as caught:
        read(path)
    assert "--data f30k_precomp" in caught.value.remedy


@pytest.mark.slow
def test_tensors_that_do_not_fit(checkpoint: Callable[..., Path]) -> None:
    image, text = make_vsrn(VSRN)
    image["Rs_GCN_2.g.weight"] = image["Rs_GCN_2.g.weight"].repeat(1, 1, 3)
    with pytest.raises(CheckpointError, match=r"blocks\.1\.g\.weight of shape \(6, 6, 3\)"):
        read(checkpoint([image, text]))
    image, text = make_vsrn(VSRN, blocks=3)
    image["Rs_GCN_7.g.bias"] = torch.ones(6)
    with pytest.raises(CheckpointError, match=r"lacks tensors image_encoder\.blocks\.3\."):
        read(checkpoint([image, text]))


def test_vsrn_and_vsepp_are_told_apart(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    assert VSRNImporter().recognise(Source(checkpoint()))
    assert not VSRNImporter().recognise(Source(write_checkpoint(tmp_path, VSEPP, make_vsepp(VSEPP))))


@pytest.mark.slow
def test_captions_of_a_converted_model(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    convert(checkpoint(), tmp_path / "vsrn")
    np.save(tmp_path / "x.npy", FEATURES)
    done = run_command(tmp_path, "caption", "vsrn", "x.npy")
    assert_one_message(done, 1, "has no caption head: the format 'vsrn' stores only the encoders")
