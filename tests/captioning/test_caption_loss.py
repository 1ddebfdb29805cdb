"""The caption loss against a literal step-by-step reference, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from vsezoo.captioning.decoder import CaptionDecoder
from vsezoo.captioning.loss import CaptionLoss, make_targets
from vsezoo.captioning.search import search_words
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, ImageOutput, LossOutput, Tokens
from vsezoo.losses import HingeLoss
from vsezoo.text import END, PAD, SPECIAL_WORDS, START, Vocabulary, WordTokenizer

SIZES = {"embed_size": 5, "hidden_size": 6, "word_dim": 4}
WORDS = 9


def make_tokenizer() -> WordTokenizer:
    return WordTokenizer(1, Vocabulary([*SPECIAL_WORDS, *(f"w{index}" for index in range(WORDS - 4))]))


def make_loss(**options: Any) -> CaptionLoss:
    torch.manual_seed(0)
    return CaptionLoss(**{**SIZES, "tokenizer": make_tokenizer(), **options}).double().eval()


def draw_batch(lengths: list[int], seed: int = 0) -> tuple[Tensor, ImageOutput, Tensor, Batch]:
    """Return scores, images with three regions of width 5, texts, and captions of so many ids."""
    generator = torch.Generator().manual_seed(seed)
    captions = [
        np.array([START, *torch.randint(4, WORDS, (length - 2,), generator=generator).tolist(), END], dtype=np.int32)
        for length in lengths
    ]
    size = len(lengths)
    regions = torch.randn(size, 3, 5, generator=generator, dtype=torch.float64)
    index = torch.arange(size)
    scores = torch.rand(size, size, generator=generator, dtype=torch.float64)
    batch = Batch(torch.zeros(size, 1), Tokens.pad(captions), index, index)
    return scores, ImageOutput(regions.mean(dim=1), regions), regions.mean(dim=1), batch


def write_slowly(decoder: CaptionDecoder, regions: Tensor, tokens: Tokens, max_len: int) -> Tensor:
    """Return the loss as the original computes it: all captions, all steps, then the mask."""
    size = len(regions)
    labels, mask = torch.zeros(size, max_len + 1, dtype=torch.int64), torch.zeros(size, max_len + 1)
    for row, (ids, length) in enumerate(zip(tokens.ids.tolist(), tokens.lengths.tolist(), strict=True)):
        caption = ids[:length]
        if length > max_len - 1:
            caption = caption[:max_len]
            caption[-1] = END
        labels[row, : len(caption)] = torch.tensor(caption)
        mask[row, : len(caption) + 1] = 1  # up to and including the first 0
    states = torch.zeros(size, decoder.encoder.hidden_size, dtype=regions.dtype)
    encoded = []
    gates = [getattr(decoder.encoder, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    for region in decoder.project(regions).unbind(dim=1):
        states = torch.gru_cell(region, states, *gates)
        encoded.append(states)
    total = torch.zeros((), dtype=regions.dtype)
    for step in range(max_len - 1):
        energies = [decoder.rate(torch.tanh(decoder.attend(torch.cat([one, states], dim=1)))) for one in encoded]
        weights = torch.cat(energies, dim=1).softmax(dim=1)
        context = sum(weights[:, [index]] * one for index, one in enumerate(encoded))
        states = decoder.cell(torch.cat([decoder.embed(labels[:, step]), context], dim=1), states)
        log_probabilities = decoder.out(states).log_softmax(dim=1)
        for row in range(size):
            total = total - log_probabilities[row, labels[row, step + 1]] * mask[row, step + 1]
    return total / size


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.integers(3, 9), st.integers(0, 2**31))
def test_against_the_original_step_by_step(lengths: list[int], max_len: int, seed: int) -> None:
    """Values and all gradients, for captions shorter than, as long as, and longer than the longest allowed."""
    loss = make_loss(max_len=max_len)
    scores, images, texts, batch = draw_batch(lengths, seed)
    images.regions.requires_grad_()
    wanted = [images.regions, *loss.decoder.parameters()]
    slow = write_slowly(loss.decoder, images.regions, batch.tokens, max_len)
    output = loss(scores, images, texts, batch)
    assert output.parts["caption"].item() == pytest.approx(slow.item(), abs=1e-10)
    found = torch.autograd.grad(output.total, wanted)
    torch.testing.assert_close(found, torch.autograd.grad(slow, wanted), rtol=1e-8, atol=1e-10)


def test_the_default_length_of_the_original() -> None:
    loss = make_loss()
    scores, images, texts, batch = draw_batch([58, 59, 60, 61, 75, 4])
    slow = write_slowly(loss.decoder, images.regions, batch.tokens, 60)
    assert loss(scores, images, texts, batch).parts["caption"].item() == pytest.approx(slow.item(), abs=1e-10)


@pytest.mark.parametrize(
    ("max_len", "words", "targets"),
    [
        (9, [START, 7, 8, 5, END], [7, 8, 5, END, PAD]),
        (6, [START, 7, 8, 5, END], [7, 8, 5, END, PAD]),
        (5, [START, 7, 8, 5], [7, 8, 5, END]),  # no step is left for <pad>
        (4, [START, 7, 8], [7, 8, END]),
        (3, [START, 7], [7, END]),
    ],
)
def test_targets(max_len: int, words: list[int], targets: list[int]) -> None:
    tokens = Tokens.pad([np.array([START, 7, 8, 5, END])])
    read, wanted = make_targets(tokens, max_len)
    assert (read.data.tolist(), wanted.tolist()) == (words, targets)
    assert tokens.ids.tolist() == [[START, 7, 8, 5, END]]  # which the text encoder reads, too


def test_parts_add_up_to_the_total() -> None:
    scores, images, texts, batch = draw_batch([4, 6, 5])
    hinge = HingeLoss(margin=0.3, max_violation=True)(scores, images, texts, batch)
    options = {"margin": 0.3, "max_violation": True}
    once, thrice = make_loss(**options), make_loss(**options, caption_weight=3.0)
    output, heavier = (loss(scores, images, texts, batch) for loss in (once, thrice))
    assert list(output.parts) == ["i2t", "t2i", "caption"]
    assert output.total.item() == pytest.approx(sum(part.item() for part in output.parts.values()))
    assert heavier.total.item() == pytest.approx(hinge.total.item() + 3 * output.parts["caption"].item())
    assert {name: output.parts[name] for name in hinge.parts} == dict(hinge.parts)
    assert not any(part.requires_grad for part in output.parts.values())


def test_the_options_of_the_hinge_are_all_there() -> None:
    scores, images, texts, batch = draw_batch([4, 6, 5])
    batch = Batch(batch.images, batch.tokens, torch.tensor([0, 0, 1]), batch.caption_index)
    for options in ({"margin": 0.7}, {"mask_same_image": True}, {"ncon": 1}, {"max_violation": True}):
        hinge = HingeLoss(**options)(scores, images, texts, batch)
        output = make_loss(**options)(scores, images, texts, batch)
        assert {name: output.parts[name] for name in hinge.parts} == dict(hinge.parts), options
    loss = make_loss(max_violation=True, warmup_epochs=1)
    summed = loss(scores, images, texts, batch).parts["i2t"]
    loss.start_epoch(1)
    assert loss(scores, images, texts, batch).parts["i2t"] < summed


def test_the_plateau_takes_what_the_captions_cost_from_the_output() -> None:
    loss = make_loss(max_violation=True, dropout=0.5).train()  # written twice, it would not cost the same
    inputs = draw_batch([4, 6, 5])
    output: LossOutput = loss(*inputs)
    plateau = loss.plateau(*inputs, output)
    assert plateau.item() == pytest.approx(2 * 3 * 0.2 + output.parts["caption"].item())


def test_gradients_reach_every_parameter_and_the_regions() -> None:
    loss = make_loss().train()
    scores, images, texts, batch = draw_batch([4, 6, 5])
    images.regions.requires_grad_()
    loss(scores, images, texts, batch).total.backward()
    for name, tensor in [*loss.named_parameters(), ("regions", images.regions)]:
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


def test_initial_weights() -> None:
    torch.manual_seed(0)
    decoder = CaptionDecoder(3000, region_dim=1000)
    assert {name: tuple(value.shape) for name, value in decoder.named_parameters() if "weight" in name} == {
        "project.weight": (512, 1000),
        "encoder.weight_ih_l0": (1536, 512),
        "encoder.weight_hh_l0": (1536, 512),
        "embed.weight": (3000, 300),
        "attend.weight": (512, 1024),
        "rate.weight": (1, 512),
        "cell.weight_ih": (1536, 812),
        "cell.weight_hh": (1536, 512),
        "out.weight": (3000, 512),
    }
    assert decoder.rate.bias is None
    for layer in (decoder.project, decoder.out):  # Xavier's normal distribution
        fan_in, fan_out = layer.in_features, layer.out_features
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.02)


@pytest.mark.slow
def test_a_caption_can_be_learnt_by_heart() -> None:
    torch.manual_seed(0)
    loss = CaptionLoss(embed_size=5, tokenizer=make_tokenizer(), hidden_size=24, word_dim=8)
    scores, images, texts, batch = (draw_batch([5, 8, 3])[index] for index in range(4))
    images = ImageOutput(images.embeddings.float(), images.regions.float())
    optimizer = torch.optim.Adam(loss.parameters(), 0.02)
    for _ in range(150):
        output = loss(scores.float(), images, texts, batch)
        optimizer.zero_grad()
        output.total.backward()
        optimizer.step()
    assert output.parts["caption"].item() < 1
    for beam in (1, 3):
        with torch.inference_mode():
            found = search_words(loss.eval().decoder, images.regions, beam, 20)
        captions = [ids[1 : length - 1] for ids, length in zip(batch.tokens.ids.tolist(), [5, 8, 3], strict=True)]
        assert [words for words, _ in found] == captions
        assert all(-0.5 < probability < 0 for _, probability in found)


# Mistakes


def test_images_without_regions_are_refused() -> None:
    scores, images, texts, batch = draw_batch([4, 6])
    with pytest.raises(RecipeError, match=r"(?s)the image encoder returns none\.\nUse an image encoder that returns r"):
        make_loss()(scores, images.embeddings, texts, batch)
    wide = ImageOutput(images.embeddings, functional.pad(images.regions, (0, 2)))
    with pytest.raises(
        RecipeError, match=r"(?s)expects regions of width 5, .* shape \(2, 3, 7\)\.\n.*loss\.region_dim=7"
    ):
        make_loss()(scores, wide, texts, batch)
    assert make_loss(region_dim=7)(scores, wide, texts, batch).total.isfinite()


def test_a_tokenizer_without_start_and_end_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"(?s)needs a vocabulary with <start> and <end>.*\nUse a text encoder"):
        make_loss(tokenizer=WordTokenizer(1, words="split"))


@pytest.mark.parametrize(
    "options",
    [
        {"caption_weight": -1.0},
        {"caption_weight": math.nan},
        {"region_dim": -1},
        {"hidden_size": 0},
        {"word_dim": 0},
        {"max_len": 2},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"margin": -1.0},
    ],
)
def test_impossible_options_of_a_caption_loss_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"^{next(iter(options))} is"):
        make_loss(**options)
