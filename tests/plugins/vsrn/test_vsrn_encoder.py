"""The image encoder of VSRN: its blocks against slow references, its norms, its messages, a training, an ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import TinyPairs, dotted, make_model
from torch import Tensor, nn

import vsezoo_vsrn.encoder
from vsezoo import registry
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.cli import main
from vsezoo.construction import count_parameters, create_model
from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError, RecipeError, TrainingError
from vsezoo.interfaces import Batch, ImageOutput, Tokens
from vsezoo.losses import HingeLoss
from vsezoo_vsrn.encoder import RelationBlock, VSRNImageEncoder

WIDTH, REGIONS, EMBED_SIZE = 7, 4, 6


def make_encoder(**options: Any) -> VSRNImageEncoder:
    torch.manual_seed(1)
    return VSRNImageEncoder(embed_size=EMBED_SIZE, **{"img_dim": WIDTH, **options}).eval()


def make_active(**options: Any) -> VSRNImageEncoder:
    """Return an encoder whose blocks do something, as after training."""
    encoder = make_encoder(**options)
    for block in encoder.blocks:
        nn.init.uniform_(block.W[1].weight, 0.5, 1)
    return encoder


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, REGIONS, WIDTH, generator=torch.Generator().manual_seed(2)) + 1


# The blocks


@pytest.mark.parametrize("training", [True, False])
def test_a_block_begins_as_the_identity(images: Tensor, training: bool) -> None:
    block = RelationBlock(WIDTH).train(training)
    assert torch.equal(block(images), images)


def test_the_relations_of_two_regions_worked_out_by_hand() -> None:
    """Two regions of one feature, 1 and 2, with θ(v) = v + 1, φ(v) = 2 v, g(v) = 3 v and W(y) = y.

    θ gives 2 and 3, φ gives 2 and 4, so the relations are [[4, 8], [6, 12]], by the number of regions [[2, 4], [3, 6]];
    g gives 3 and 6, gathered 2·3 + 4·6 = 30 and 3·3 + 6·6 = 45, to which the regions themselves are added.
    """
    block = RelationBlock(1).eval()
    maps = ((block.theta, 1, 1), (block.phi, 2, 0), (block.g, 3, 0), (block.W[0], 1, 0))
    for layer, weight, bias in maps:
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
    norm = block.W[1]
    nn.init.ones_(norm.weight)
    norm.running_var.fill_(1 - norm.eps)
    with torch.no_grad():
        found = block(torch.tensor([[[1.0], [2.0]]]))
    assert found.flatten().tolist() == pytest.approx([31, 47])


@pytest.mark.parametrize("training", [True, False])
def test_a_block_against_a_slow_reference(images: Tensor, training: bool) -> None:
    torch.manual_seed(4)
    block = RelationBlock(WIDTH).double().train(training)
    norm = block.W[1]
    nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    images = images.double()
    with torch.no_grad():
        found = block(images)
        outputs = torch.zeros_like(images)
        for image, output in zip(images, outputs, strict=True):
            for i in range(REGIONS):
                for j in range(REGIONS):
                    relation = sum(a * b for a, b in zip(block.theta(image[i]), block.phi(image[j]), strict=True))
                    output[i] += relation / REGIONS * block.g(image[j])
        outputs = block.W[0](outputs)
        if training:  # over all regions of all images
            mean, var = outputs.mean(dim=(0, 1)), outputs.var(dim=(0, 1), correction=0)
        expected = (outputs - mean) / (var + norm.eps).sqrt() * norm.weight + images
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_a_block_and_its_gradients_are_those_of_its_maps_one_by_one(images: Tensor, count: int, training: bool) -> None:
    """With fewer regions than the width, and with more, when maps in succession are merged."""
    torch.manual_seed(4)
    block = RelationBlock(WIDTH).double().train(training)
    for parameter in block.parameters():
        nn.init.normal_(parameter)  # biases and batch norm too
    regions = images[:count].double().requires_grad_()
    wanted = [regions, *block.parameters()]
    outputs = block(regions)
    relations = torch.einsum("bid,bjd->bij", block.theta(regions), block.phi(regions)) / REGIONS
    change = block.W[0](torch.einsum("bij,bjd->bid", relations, block.g(regions)))
    expected = block.W[1](change.transpose(1, 2)).transpose(1, 2) + regions
    torch.testing.assert_close(outputs, expected)
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs).sin()
    found, theirs = (torch.autograd.grad((result * weights).sum(), wanted) for result in (outputs, expected))
    torch.testing.assert_close(found, theirs)


def test_relations_let_a_region_see_the_others(images: Tensor) -> None:
    changed = images.clone()
    changed[0, 2] += 1
    encoder = make_active()
    seen = [not torch.equal(a, b) for a, b in zip(encoder(images).regions, encoder(changed).regions, strict=True)]
    assert seen == [True, False, False, False, False]  # of this image, not of others
    without = make_active(num_blocks=0, norm_axis="feature")
    same = (without(images).regions == without(changed).regions).all(dim=-1)[0]
    assert same.tolist() == [True, True, False, True]


# The norms


def test_the_axis_of_the_norms(images: Tensor) -> None:
    of_regions, of_features = (make_active(norm_axis=axis)(images).regions for axis in ("region", "feature"))
    torch.testing.assert_close(of_regions.square().sum(dim=1), torch.ones(5, EMBED_SIZE))
    torch.testing.assert_close(of_features.square().sum(dim=2), torch.ones(5, REGIONS))
    assert not torch.allclose(of_regions, of_features, atol=0.1)


def test_the_first_norm_and_the_final_batch_norm_matter(images: Tensor) -> None:
    base = make_active()(images)
    assert not torch.allclose(make_active(first_norm=False)(images).regions, base.regions, atol=1e-3)
    normed = make_active(final_batch_norm=True)
    normed.bn.running_mean.fill_(0.5)
    found = normed(images)
    torch.testing.assert_close(found.regions, base.regions)
    plain = make_active(normalize=False)(images).embeddings
    expected = nn.functional.normalize((plain - 0.5) / np.sqrt(1 + normed.bn.eps), dim=-1)
    torch.testing.assert_close(found.embeddings, expected)


def test_the_ends_of_the_encoder(images: Tensor) -> None:
    plain = make_active(normalize=False)(images).embeddings
    torch.testing.assert_close(make_active()(images).embeddings, plain / plain.norm(dim=1, keepdim=True))
    torch.testing.assert_close(make_active(normalize=False, use_abs=True)(images).embeddings, plain.abs())
    assert (plain < 0).any()


# The order of the regions


def test_the_order_of_the_regions_matters_to_the_gru_alone(images: Tensor) -> None:
    order = torch.tensor([2, 0, 3, 1])
    encoder = make_active()
    before, after = encoder(images), encoder(images[:, order])
    torch.testing.assert_close(after.regions, before.regions[:, order])
    assert not torch.allclose(after.embeddings, before.embeddings, atol=1e-2)
    # torch's own GRU over the regions in their order gives the embedding.
    _, states = encoder.img_rnn(before.regions[:, order])
    torch.testing.assert_close(after.embeddings, nn.functional.normalize(states[-1], dim=-1))


def test_an_open_update_gate_keeps_what_was_read_first() -> None:
    plain, open_gate = (make_encoder(norm_axis="feature", update_bias=bias) for bias in (0.0, 3.0))
    added = open_gate.img_rnn.bias_ih_l0 - plain.img_rnn.bias_ih_l0
    assert added.tolist() == pytest.approx([0.0] * EMBED_SIZE + [3.0] * EMBED_SIZE + [0.0] * EMBED_SIZE, abs=1e-6)
    images = torch.randn(5, 20, WIDTH, generator=torch.Generator().manual_seed(2))
    changed = images.clone()
    changed[:, 0] = -changed[:, 0]
    moved = [
        float((encoder(changed).embeddings - encoder(images).embeddings).detach().norm())
        for encoder in (plain, open_gate)
    ]
    assert moved[1] > 100 * moved[0]


def test_an_image_is_encoded_alike_in_any_batch(images: Tensor) -> None:
    encoder = make_active(final_batch_norm=True)
    whole = encoder(images)
    order = torch.tensor([4, 1, 0, 3, 2])
    torch.testing.assert_close(encoder(images[order]).embeddings, whole.embeddings[order])
    alone = torch.cat([encoder(image[None]).embeddings for image in images])
    torch.testing.assert_close(alone, whole.embeddings)
    nothing = encoder(images[:0])
    assert (nothing.embeddings.shape, nothing.regions.shape) == ((0, EMBED_SIZE), (0, REGIONS, EMBED_SIZE))


def test_float32_norms_under_autocast(images: Tensor) -> None:
    encoder = make_active()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(images)
    assert (found.embeddings.dtype, found.regions.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(5))
    cosines = (found.embeddings * encoder(images).embeddings).sum(dim=1)
    assert cosines.min() > 0.99


# Size


@pytest.mark.slow
def test_the_size_that_the_paper_has() -> None:
    """fc 4.2 million, GRU 25.2, four blocks of 16.8; the text encoder 14.4 and 300 for each word."""
    counts = count_parameters(registry.load("models", "vsrn"))
    width = 2048
    square = width * width + width
    blocks = 4 * (4 * square + 2 * width)
    assert counts["image_encoder"] == square + blocks + 6 * square == 96_532_480
    assert counts["text_encoder"] == 14_438_400 + 300 * 10_000


# What is wrong


@pytest.mark.parametrize("shape", [(3, WIDTH), (3, REGIONS, WIDTH + 1), (3, REGIONS, WIDTH, 1)])
def test_images_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=rf"shape \({shape[0]}, {shape[1]}.*takes features of \(images, regions, 7\)"):
        make_encoder()(torch.ones(shape))


def test_a_single_region() -> None:
    one = torch.ones(3, 1, WIDTH)
    with pytest.raises(DataError, match=r"1 region each.*\n.*norm_axis=feature"):
        make_encoder()(one)
    assert make_encoder(norm_axis="feature")(one).embeddings.shape == (3, EMBED_SIZE)
    with pytest.raises(DataError, match="1 region each"):
        make_model("vsrn", TinyPairs(shape=(1, WIDTH)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_dim": 0}, "img_dim is 0; it must be at least 1"),
        ({"num_blocks": -1}, "num_blocks is -1; it must be at least 0"),
        ({"norm_axis": "rows"}, "norm_axis is 'rows'; it must be one of region, feature"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_encoder(**options)


def test_the_width_comes_from_the_data() -> None:
    data = TinyPairs(shape=(REGIONS, WIDTH))
    assert make_model("vsrn", data).recipe.image_encoder.options["img_dim"] == WIDTH
    with pytest.raises(RecipeError, match="img_dim is 9, but the features of tiny are 7 wide"):
        make_model("vsrn", data, image_encoder__img_dim=9)


def test_images_that_are_no_numbers() -> None:
    data = TinyPairs(shape=(REGIONS, WIDTH))
    model = make_model("vsrn", data)
    features = data.features.copy()
    features[4, 2, 1] = np.nan
    with pytest.raises(DataError, match="image at index 4 contains NaN"):
        model.encode_images(features)
    assert model.encode_images(features[:0]).shape == (0, 5)


def test_batch_norm_of_one_pair(images: Tensor) -> None:
    encoder = make_encoder(final_batch_norm=True).train()
    with pytest.raises(TrainingError, match=r"batch of one pair.*\n.*last_batch=drop"):
        encoder(images[:1])
    assert encoder(images[:2]).embeddings.shape == (2, EMBED_SIZE)
    assert make_encoder().train()(images[:1]).embeddings.shape == (1, EMBED_SIZE)


# As a model


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_move_every_parameter() -> None:
    data = open_data("shapes", "train", VSRNImageEncoder.kinds)
    torch.manual_seed(5)
    model = create_model("vsrn", data, settings={"embed_size": 32, "text_encoder.word_dim": 16}).train()
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    captions = np.arange(0, 160, 5)
    tokens = Tokens.pad(model.tokenizer.encode([data.captions[index] for index in captions]))
    images = torch.as_tensor(data.images(captions // 5))
    batch = Batch(images, tokens, torch.from_numpy(captions // 5), torch.from_numpy(captions))
    loss, optimizer = HingeLoss(), torch.optim.Adam(model.parameters(), 0.01)
    totals = []
    for _ in range(15):
        output, texts = model(batch.images, batch.tokens)
        assert isinstance(output, ImageOutput)
        total = loss(model.similarity(output.embeddings, texts), output, texts, batch).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.5 * totals[0]
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, start[name])]


def test_the_gradient_of_the_recurrence_reaches_the_regions(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torch's own GRU, forward and backward."""
    encoder = make_active().train()
    images.requires_grad_()
    weights = torch.linspace(-1, 1, EMBED_SIZE)
    (ours,) = torch.autograd.grad((encoder(images).embeddings @ weights).sum(), images)
    monkeypatch.setattr(vsezoo_vsrn.encoder, "read_last", lambda gru, sets: gru(sets.items[sets.places])[1])
    (theirs,) = torch.autograd.grad((encoder(images).embeddings @ weights).sum(), images)
    torch.testing.assert_close(ours, theirs)


# The ensemble of the paper, on COCO 1K


@pytest.fixture
def testall(tmp_path: Path) -> Path:
    """Write 5,000 images of two regions with five captions each: the split of fold5."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(6)
    np.save(folder / "testall_ims.npy", random.normal(size=(5000, 2, 3)).astype(np.float32))
    words = np.array(["red", "green", "blue", "round", "square", "small"])
    captions = [" ".join(row) for row in random.choice(words, (25_000, 3))]
    (folder / "testall_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_an_ensemble_on_five_folds(testall: Path, tmp_path: Path) -> None:
    features = np.load(testall / "testall_ims.npy")
    captions = (testall / "testall_caps.txt").read_text(encoding="utf-8").splitlines()
    distinct, places = np.unique(captions, return_inverse=True)  # 216
    data = TinyPairs(shape=(2, 3))
    runs, embedded, ids = [], [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        sizes = {"embed_size": 4, "text_encoder__word_dim": 3, "text_encoder__vocab_threshold": 1}
        model = create_model("vsrn", data, captions=captions[:100], settings=dotted(sizes))
        runs.append(str(tmp_path / f"run-{seed}"))
        save_checkpoint(Path(runs[-1]), model, data, {})
        ids = ids or model.tokenizer.encode(distinct.tolist())
        embedded.append((model.encode_images(features), model.encode_tokens(ids)[places]))
    arguments = ["eval", *runs, "--ensemble", "--fold5", "--data", str(testall), "--device", "cpu", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["protocol"], found["ensemble"], found["images"], found["captions"]) == ("fold5", True, 5000, 25_000)

    hits = []
    for fold in range(5):
        one, five = slice(1000 * fold, 1000 * (fold + 1)), slice(5000 * fold, 5000 * (fold + 1))
        part = torch.stack([model.similarity(images[one], texts[five]) for images, texts in embedded]).mean(dim=0)
        true = part[torch.arange(5000) // 5, torch.arange(5000)]
        hits.append((((part > true).sum(dim=0)) < 10).double().mean().item())
    # The command scores other blocks, whose sums differ in their last bits: a rank or two may go the other way.
    assert found["t2i"]["R@10"] == pytest.approx(100 * np.mean(hits), abs=0.05)
