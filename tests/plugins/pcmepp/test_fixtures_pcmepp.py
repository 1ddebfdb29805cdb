"""Our model with the weights of the original PCME++ code gives the distributions, scores, losses and figures of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from originals import FIXTURES, TOLERANCE, needs_fixtures, read_arrays
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, PreTrainedTokenizerFast

from vsezoo.batch import Embeddings
from vsezoo.conversion.importer import Source
from vsezoo.conversion.recognition import find_importer
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Batch, Loss, Tokens
from vsezoo.model import JointEmbedding
from vsezoo.training.optimizer_step import group_parameters
from vsezoo_pcmepp.importer import PCMEPPImporter
from vsezoo_pcmepp.loss import ProbabilisticMatchingLoss

pytestmark = needs_fixtures
FOLDER = FIXTURES / "pcmepp"
WORDS, POSITIONS, START, END = 200, 20, 198, 199


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer of the fixture's 200 ids, whose words are the numbers."""
    folder = tmp_path_factory.mktemp("models") / "clip"
    pieces = Tokenizer(models.WordLevel({str(index): index for index in range(WORDS)}, unk_token="0"))
    pieces.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(str(index), index) for index in (START, END)]
    pieces.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=POSITIONS).save_pretrained(folder)
    CLIPTextConfig(vocab_size=WORDS, max_position_embeddings=POSITIONS).save_pretrained(folder)
    return folder


def read(clip: Path, **options: str) -> tuple[JointEmbedding, Loss]:
    source = Source(FOLDER / "model.ckpt")
    assert isinstance(find_importer(source)[1], PCMEPPImporter)
    imported = PCMEPPImporter().read(source, {"model": str(clip), **options})
    model = imported.build(source)
    loss = imported.build_loss(source, model)
    assert loss is not None
    return model, loss


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return read_arrays(FOLDER / "inputs.npz")


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return read_arrays(FOLDER / "expected.npz")


def embed(model: JointEmbedding, inputs: dict[str, Any]) -> tuple[Embeddings, Embeddings]:
    with torch.no_grad():
        images = model.image_encoder(torch.from_numpy(inputs["images"]))
    captions = [ids[:length] for ids, length in zip(inputs["token_ids"], inputs["lengths"], strict=True)]
    return Embeddings.of(images), model.embed_tokens(captions)


@pytest.mark.parametrize("prefix", ["", "swa_"])
@pytest.mark.slow
def test_distributions_and_scores(clip: Path, inputs: dict[str, Any], expected: dict[str, Any], prefix: str) -> None:
    model, _ = read(clip, **({"averaged": "true"} if prefix else {}))
    images, texts = embed(model, inputs)
    for side, name in ((images, "img"), (texts, "cap")):
        np.testing.assert_allclose(side.embeddings[:, :-1], expected[f"{prefix}{name}_mean"], **TOLERANCE)
        np.testing.assert_allclose(side.extras["log_variance"], expected[f"{prefix}{name}_std"], **TOLERANCE)
        uncertainty = np.exp(expected[f"{prefix}{name}_std"]).sum(axis=1)
        np.testing.assert_allclose(model.read_uncertainty(side), uncertainty, rtol=1e-5)
    scores = model.similarity.compare(images, texts)
    np.testing.assert_allclose(scores, expected[f"{prefix}csd_sims"], rtol=1e-6, atol=1e-5)


@pytest.mark.slow
def test_figures(clip: Path, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    model, _ = read(clip)
    images, texts = (side.embeddings for side in embed(model, inputs))
    scorer = lambda rows, columns: model.similarity.compare(images[rows], texts[columns])  # noqa: E731
    ranks = rank_pairs(scorer, np.repeat(np.arange(len(images)), 5), len(images))
    for direction in ("i2t", "t2i"):
        figures = list(DirectionMetrics.from_ranks(getattr(ranks, direction)).to_json().values())
        assert figures == pytest.approx(expected[f"{direction}_metrics"].tolist(), abs=1e-9)


@pytest.mark.slow
def test_tokens_of_both_paths(clip: Path, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    model, _ = read(clip)
    with torch.no_grad():
        of_image = model.image_encoder.backbone(torch.from_numpy(inputs["images"][:1]))  # type: ignore[operator]
        of_caption = model.text_encoder.backbone(torch.from_numpy(inputs["token_ids"][:1]))  # type: ignore[operator]
    for paths, name in ((of_image, "img"), (of_caption, "cap")):
        for path, kind in zip(paths, ("mean", "std"), strict=True):
            np.testing.assert_allclose(path[0], expected[f"{name}_tokens_{kind}_0"], **TOLERANCE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("loss_plain", {"vib": 0.0, "pseudo": 0.0, "smoothing": 0.0}),
        ("loss_vib", {"pseudo": 0.0, "smoothing": 0.0}),
        ("loss_full", {"smoothing": 0.0}),
        ("loss_full_soft", {}),
        ("loss_wdist", {"vib": 0.0, "pseudo": 0.0, "smoothing": 0.0, "distance": "wasserstein"}),
    ],
)
@pytest.mark.slow
def test_losses_and_gradients(clip: Path, expected: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    model, _ = read(clip)
    loss = ProbabilisticMatchingLoss(**options)
    rows = expected["loss_rows"]
    held = [
        torch.from_numpy(expected[key][chosen]).requires_grad_()
        for key, chosen in (("img_mean", slice(16)), ("img_std", slice(16)), ("cap_mean", rows), ("cap_std", rows))
    ]
    sides = [
        Embeddings(torch.cat([mean, spread.exp().sum(1, keepdim=True)], 1), extras={"log_variance": spread})
        for mean, spread in (held[:2], held[2:])
    ]
    index = torch.arange(16)
    batch = Batch(index, Tokens(index[:, None], torch.ones(16, dtype=torch.int64)), index, index)
    output = loss(model.similarity.compare(*sides), *sides, batch)
    output.total.backward()
    assert output.total.item() == pytest.approx(float(expected[name]), rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(held[0].grad, expected[f"{name}_grad_img_mean"], **TOLERANCE)
    np.testing.assert_allclose(held[1].grad, expected[f"{name}_grad_img_std"], **TOLERANCE)
    for figure, part in (("vib", "vib"), ("pseudo", "pseudo")):
        if f"{name}_{figure}" in expected:
            assert output.parts[part].item() == pytest.approx(float(expected[f"{name}_{figure}"]), rel=1e-6)
    of_scalars = torch.cat([loss.shift.grad, loss.negative_scale.grad])  # type: ignore[list-item]
    np.testing.assert_allclose(of_scalars, expected[f"{name}_grad_shift_scale"], **TOLERANCE)


def test_rates_of_all_parameters(clip: Path) -> None:
    """Each group of the original's optimiser has the rate that ours has for the parameter."""
    model, _ = read(clip)
    scales = model.learning_rate_scales()
    groups = group_parameters(dict(model.named_parameters()), scales)
    owner = {id(parameter): name for name, parameter in model.named_parameters()}
    ours = {owner[id(p)]: 5e-4 * group["scale"] for group in groups for p in group["params"]}
    theirs = {}
    for group in json.loads((FOLDER / "param_groups.json").read_text()):
        for name in group["names"]:
            if name.startswith(("img_enc.backbone.", "txt_enc.backbone.")):
                side = {"img": "image_encoder", "txt": "text_encoder"}[name[:3]]
                theirs[f"{side}.{name[8:]}"] = group["lr"]
    assert len(theirs) > 100
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs)
    assert all(ours[name] == pytest.approx(5e-4) for name in ours.keys() - theirs.keys())


@pytest.mark.slow
def test_there_and_back_to_the_bit(clip: Path, tmp_path: Path) -> None:
    model, _ = read(clip)
    files = PCMEPPImporter().write(model, tmp_path / "model.ckpt", "coco")
    assert {file.name for file in files} == {"model.ckpt", "tokenizer.json", "transformer.json"}
    source, old = Source(files[0]), Source(FOLDER / "model.ckpt").content["state_dict"]
    state = source.content["state_dict"]
    assert state.keys() == old.keys()
    unlike = [name for name, held in state.items() if not name.startswith("swa_") and not held.equal(old[name])]
    assert all(name.startswith("criterion.") for name in unlike)
    again = PCMEPPImporter().read(source, {})
    assert again.recipe.image_encoder == model.recipe.image_encoder
    assert again.recipe.loss == model.recipe.loss


def test_a_misspelt_switch(clip: Path) -> None:
    with pytest.raises(UsageError, match="averaged is 'ture'; it must be true or false"):
        read(clip, averaged="ture")


def test_a_tokenizer_of_another_size(clip: Path, tmp_path: Path) -> None:
    pieces = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=pieces).save_pretrained(tmp_path)
    CLIPTextConfig(vocab_size=2, max_position_embeddings=POSITIONS).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="200 ids, and its tokenizer has 2"):
        read(tmp_path)
