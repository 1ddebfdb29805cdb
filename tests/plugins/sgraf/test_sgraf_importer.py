"""Checkpoints of SGRAF, made here: what is read, what is refused, and what can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import vsepp_files

import vsezoo
from vsezoo.conversion.importer import Source
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.model import JointEmbedding
from vsezoo_sgraf.importer import SGRAFImporter

OPTIONS: list[dict[str, Any]] = [
    {},
    {"module_name": "SAF"},
    {"no_imgnorm": True, "no_txtnorm": True, "sgr_step": 4, "sim_dim": 7},
]


def write(folder: Path, changed: dict[str, Any] | None = None, **more: Any) -> Source:
    options = {**vsepp_files.SGRAF, **(changed or {})}
    vsepp_files.write_words(folder / f"{options['data_name']}_vocab.json")
    return Source(vsepp_files.write_checkpoint(folder, options, vsepp_files.make_sgraf(options, **more)))


def read(source: Source) -> JointEmbedding:
    assert SGRAFImporter().recognise(source)
    return SGRAFImporter().read(source, {}).build(source)


@pytest.mark.slow
@pytest.mark.parametrize("changed", OPTIONS)
def test_options_and_tensors_there_and_back(tmp_path: Path, changed: dict[str, Any]) -> None:
    source = write(tmp_path, changed)
    model = read(source)
    options = {**vsepp_files.SGRAF, **changed}
    assert model.recipe.similarity.name == options["module_name"].lower()
    assert model.recipe.image_encoder.options["normalize_items"] is not options["no_imgnorm"]
    assert model.recipe.text_encoder.options["normalize_items"] is not options["no_txtnorm"]
    back = tmp_path / "back"
    back.mkdir()
    written = Source(SGRAFImporter().write(model, back / "model_best.pth.tar", options["data_name"])[0])
    for ours, theirs in zip(written.content["model"], source.content["model"], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    assert read(written).recipe.similarity == model.recipe.similarity


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"module_name": "SCAN"}, "module_name='SCAN'"),
        ({"module_name": "SAF", "sim_dim": -3}, "sim_dim=-3"),
        ({"attention": "wide"}, "attention='wide'"),
        ({"bi_gru": False}, "rnn.weight_ih_l0_reverse"),
    ],
)
@pytest.mark.slow
def test_options_that_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    source = write(tmp_path)
    options = {**vsepp_files.SGRAF, **changed}
    vsepp_files.write_checkpoint(tmp_path, options, source.content["model"])
    with pytest.raises(CheckpointError) as caught:
        read(Source(source.path))
    assert words in str(caught.value)


@pytest.mark.slow
def test_tensors_that_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path)
    image, text, similarity = source.content["model"]
    for changed, words in (
        ({**similarity, "GCN.weight": similarity["sim_eval_w.bias"]}, "the tensor GCN.weight"),
        ({name: value for name, value in similarity.items() if "embedding_local.1" not in name}, "no batch norm of"),
        ({**similarity, "SGR_module.0.graph_key_w.bias": similarity["sim_eval_w.bias"]}, "steps.0.key.bias"),
    ):
        vsepp_files.write_checkpoint(tmp_path, vsepp_files.SGRAF, [image, text, changed])
        with pytest.raises(CheckpointError) as caught:
            read(Source(source.path))
        assert words in str(caught.value)


@pytest.mark.slow
def test_another_number_of_regions_is_read_and_cannot_be_written(tmp_path: Path) -> None:
    """The original has 36 in its code; a changed copy of it may have another number."""
    model = read(write(tmp_path, regions=5))
    assert model.recipe.image_encoder.options["num_regions"] == 5
    with pytest.raises(UsageError, match="num_regions=5"):
        SGRAFImporter().write(model, tmp_path / "back.pth.tar")


@pytest.mark.slow
def test_what_the_original_does_not_have_cannot_be_written(tmp_path: Path) -> None:
    model = vsezoo.create_model(
        "sgr", None, vsepp_files.CAPTIONS, settings={"embed_size": 4, "image_encoder.node_norm": False}
    )
    with pytest.raises(UsageError, match="node_norm"):
        SGRAFImporter().write(model, tmp_path / "back.pth.tar")
