"""CHAN: values worked out by hand, a slow reference for one pair, its encoders, and checkpoints made here."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import vsepp_files
from sets import require_pairwise
from torch import Tensor

import vsezoo
from vsezoo.batch import Embeddings
from vsezoo.conversion.importer import Source
from vsezoo.errors import CheckpointError, DataError, RecipeError, UsageError
from vsezoo.similarities.pairwise import PairwiseSimilarity
from vsezoo_chan.encoders import ChanImageEncoder
from vsezoo_chan.importer import CHANImporter
from vsezoo_chan.similarity import CODINGS, POOLINGS, HardAlignmentSimilarity


def score_slowly(regions: Tensor, words: Tensor, coding: str, pooling: str) -> Tensor:
    """Score one pair, `(R, D)` and `(L, D)`, with temperatures of 0.1."""
    products = regions @ words.T
    if coding == "VHA":
        codes = products.max(dim=0).values
    elif coding == "THA":
        codes = products.max(dim=1).values
    else:
        attended = (products / 0.1).softmax(dim=1) @ words
        codes = (regions * attended).sum(1) / (attended.norm(dim=1) + 1e-8)
    return {
        "LSE": (codes / 0.1).exp().sum().log(),
        "Mean": codes.mean(),
        "Max": codes.max(),
        "Sum": codes.sum(),
        "Softmax": ((codes / 0.1).softmax(0) * codes).sum(),
    }[pooling]


def make_sides() -> tuple[Embeddings, Embeddings]:
    drawn = torch.nn.functional.normalize(torch.randn(7, 7, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    images = Embeddings(drawn[:3, 0], drawn[:3, 1:6], torch.tensor([5, 2, 4]))
    return images, Embeddings(drawn[3:, 0], drawn[3:, 1:], torch.tensor([6, 1, 3, 6]))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("block", "share"), [(1, 0.3), (2**20, 1.0)])
def test_scores_and_gradients_pair_by_pair(
    coding: str, pooling: str, block: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairwiseSimilarity, "block", block)
    similarity = HardAlignmentSimilarity(coding=coding, pooling=pooling)
    require_pairwise(similarity, functools.partial(score_slowly, coding=coding, pooling=pooling), *make_sides(), share)


def test_two_words_and_two_regions_by_hand() -> None:
    """Words (1, 0) and (0.6, 0.8); regions (1, 0) and (0, 1): the best are 1 and 0.8, and ln(e^10 + e^8)."""
    images = Embeddings(torch.zeros(1, 2), torch.eye(2)[None])
    texts = Embeddings(torch.zeros(1, 2), torch.tensor([[[1.0, 0.0], [0.6, 0.8]]]))
    assert HardAlignmentSimilarity()(images, texts).item() == pytest.approx(10 + math.log1p(math.exp(-2)), abs=1e-5)
    assert HardAlignmentSimilarity(pooling="Mean")(images, texts).item() == pytest.approx(0.9)


def test_regions_of_zeros_and_sets_without_items() -> None:
    images, texts = make_sides()
    nothing = Embeddings(images.embeddings, torch.zeros(3, 5, 8).requires_grad_())
    for coding in CODINGS:
        scores = HardAlignmentSimilarity(coding=coding)(nothing, texts)
        scores.sum().backward()
        assert scores.isfinite().all()
        assert nothing.regions.grad is not None
        assert nothing.regions.grad.isfinite().all()
    with pytest.raises(DataError, match="index 1 has no items"):
        HardAlignmentSimilarity()(Embeddings(images.embeddings, images.items, torch.tensor([5, 0, 4])), texts)


def test_regions_attend_to_each_other_and_some_are_left_out_in_training() -> None:
    torch.manual_seed(0)
    encoder, features = ChanImageEncoder(embed_size=8, img_dim=6, size_augmentation=0.5), torch.randn(4, 9, 6)
    output = encoder.eval()(features)
    assert output.lengths is None
    torch.testing.assert_close(output.regions.norm(dim=-1), torch.ones(4, 9), atol=1e-6, rtol=0)
    order = torch.randperm(9)
    torch.testing.assert_close(encoder(features[:, order]).regions, output.regions[:, order], atol=1e-5, rtol=0)
    trained = encoder.train()(features)
    assert trained.size < 9 or trained.counts.min() < 9
    plain = ChanImageEncoder(embed_size=8, img_dim=6, relation="none")
    torch.testing.assert_close(
        plain.eval()(features).regions, torch.nn.functional.normalize(plain.fc(features), dim=-1), atol=1e-6, rtol=0
    )
    with pytest.raises(RecipeError, match="heads is 8, which does not divide embed_size=12"):
        ChanImageEncoder(embed_size=12)
    with pytest.raises(DataError, match=r"takes features of \(images, regions, 6\)"):
        plain(torch.zeros(2, 6))


def write(folder: Path, changed: dict[str, Any] | None = None) -> Source:
    options = {**vsepp_files.CHAN, **(changed or {})}
    vsepp_files.write_words(folder / f"{options['data_name']}_precomp_vocab.json")
    return Source(vsepp_files.write_checkpoint(folder, options, vsepp_files.make_chan(options)))


def read(source: Source) -> vsezoo.JointEmbedding:
    assert CHANImporter().recognise(source)
    return CHANImporter().read(source, {}).build(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"precomp_enc_type": "basic", "embed_size": 5, "no_imgnorm": True, "no_txtnorm": True},
        {"coding_type": "VSACoding", "pooling_type": "SumPooling", "alpha": 0.3, "vse_mean_warmup_epochs": 4},
    ],
)
def test_options_and_tensors_there_and_back(tmp_path: Path, changed: dict[str, Any]) -> None:
    source = write(tmp_path, changed)
    model, options = read(source), {**vsepp_files.CHAN, **changed}
    similarity = model.recipe.similarity.options
    assert f"{similarity['coding']}Coding" == options["coding_type"]
    assert (similarity["coding_scale"], similarity["pooling_scale"]) == (options["alpha"], options["belta"])
    assert model.recipe.loss.options["warmup_epochs"] == options["vse_mean_warmup_epochs"]
    back = tmp_path / "back"
    back.mkdir()
    written = Source(CHANImporter().write(model, back / "model_best.pth", "f30k")[0])
    for ours, theirs in zip(written.content["model"], source.content["model"], strict=True):
        assert ours.keys() == theirs.keys()
    again = read(written)
    assert again.recipe.similarity == model.recipe.similarity
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"coding_type": "XCoding"}, "coding_type='XCoding'"),
        ({"precomp_enc_type": "transformer"}, "precomp_enc_type='transformer'"),
        ({"text_enc_type": "bert"}, "text_enc_type='bert'"),
        ({"belta": -1.0}, "belta=-1.0"),
        ({"hops": 3}, "hops=3"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    source = write(tmp_path)
    vsepp_files.write_checkpoint(tmp_path, {**vsepp_files.CHAN, **changed}, source.content["model"])
    with pytest.raises(CheckpointError) as caught:
        read(Source(source.path))
    assert words in str(caught.value)


@pytest.mark.slow
def test_a_vocabulary_that_holds_the_mask_already_or_lacks_a_word(tmp_path: Path) -> None:
    """The original appends `<mask>` after reading."""
    source = write(tmp_path)
    path = tmp_path / f"{vsepp_files.CHAN['data_name']}_precomp_vocab.json"
    vsepp_files.write_words(path, (*vsepp_files.WORDS, "<mask>"))
    assert len(read(source).tokenizer) == vsepp_files.CHAN["vocab_size"]
    vsepp_files.write_words(path, vsepp_files.WORDS[:-1])
    with pytest.raises(CheckpointError) as caught:
        read(Source(source.path))
    assert caught.value.file == str(path)


@pytest.mark.slow
def test_what_the_original_does_not_have_cannot_be_written(tmp_path: Path) -> None:
    settings = {"embed_size": 8, "image_encoder.heads": 4, "text_encoder.vocab_threshold": 1}
    model = vsezoo.create_model("chan", None, vsepp_files.CAPTIONS, settings=settings)
    with pytest.raises(UsageError, match="heads"):
        CHANImporter().write(model, tmp_path / "back.pth")
