"""The parts of PCME++: values worked out by hand, mixed samples, pretrained CLIP, and the uncertainty that is shown."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_bert
import torch
from click.testing import CliRunner
from originals import FIXTURES, needs_fixtures

import vsezoo
from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.cli import main
from vsezoo.construction import create_model
from vsezoo.errors import DataError, RecipeError, UsageError
from vsezoo.interfaces import Batch, Tokens
from vsezoo.model import JointEmbedding
from vsezoo_pcmepp.loss import ProbabilisticMatchingLoss
from vsezoo_pcmepp.mixing import mix_samples
from vsezoo_pcmepp.region_encoders import PCMEPPRegionEncoder
from vsezoo_pcmepp.similarity import CSDSimilarity

SMALL = {"embed_size": 8, "text_encoder.word_dim": 4, "text_encoder.vocab_threshold": 1}


def make_model(name: str = "pcmepp-regions") -> JointEmbedding:
    torch.manual_seed(0)
    return create_model(name, tiny.TinyPairs(shape=(4, tiny.WIDTH)), settings=SMALL)


def test_the_distance_is_the_expected_one_of_samples() -> None:
    """By hand: ||(1, 0) - (0, 1)||² = 2, plus 0.5 and 0.25. And by 100,000 samples of both."""
    images, texts = torch.tensor([[1.0, 0.0, 0.5]]), torch.tensor([[0.0, 1.0, 0.25], [1.0, 0.0, 0.25]])
    assert CSDSimilarity()(images, texts).tolist() == [[-2.75, -0.75]]
    torch.manual_seed(0)
    first = torch.tensor([1.0, 0.0]) + torch.randn(100_000, 2) * torch.tensor([0.1, 0.49]).sqrt()
    second = torch.tensor([0.0, 1.0]) + torch.randn(100_000, 2) * torch.tensor([0.2, 0.3]).sqrt()
    drawn = -(first - second).square().sum(1).mean().item()
    rows = torch.tensor([[1.0, 0.0, 0.59]]), torch.tensor([[0.0, 1.0, 0.5]])
    assert CSDSimilarity()(*rows).item() == pytest.approx(drawn, abs=0.03)


def lose(loss: ProbabilisticMatchingLoss, scores: list[list[float]], images: list[int], **extras: torch.Tensor) -> Any:
    size = len(scores)
    sides = Embeddings(torch.zeros(size, 3), extras=extras), Embeddings(torch.zeros(size, 3))
    index = torch.tensor(images)
    batch = Batch(index, Tokens(index[:, None], torch.ones(size, dtype=torch.int64)), index, torch.arange(size))
    return loss(torch.tensor(scores), *sides, batch)


def cross(logit: float, label: float) -> float:
    return -label * math.log(1 / (1 + math.exp(-logit))) - (1 - label) * math.log(1 - 1 / (1 + math.exp(-logit)))


def test_the_loss_by_hand() -> None:
    """Scores -1, -2, -0.5 and -1 with a = 2, b = 1: in the second row, the first caption scores above the match."""
    plain = ProbabilisticMatchingLoss(scale=2.0, shift=1.0, vib=0.0, pseudo=0.0, smoothing=0.0)
    scores = [[-1.0, -2.0], [-0.5, -1.0]]
    costs = [cross(-1, 1), cross(-3, 0), cross(0, 0), cross(-1, 1)]
    assert lose(plain, scores, [0, 1]).total.item() == pytest.approx(2 * sum(costs) / 4)
    costs[2] = cross(0, 1)
    relabelled = sum(costs) / 4
    full = ProbabilisticMatchingLoss(scale=2.0, shift=1.0, vib=0.0, pseudo=0.5, smoothing=0.0)
    output = lose(full, scores, [0, 1])
    assert output.parts["pseudo"].item() == 2  # once of the row, once of the column
    plain_total = lose(plain, scores, [0, 1]).total.item()
    assert output.total.item() == pytest.approx(plain_total + 0.5 * 2 * relabelled)


def test_captions_of_one_image_match_it() -> None:
    loss = ProbabilisticMatchingLoss(scale=2.0, shift=1.0, vib=0.0, pseudo=0.0, smoothing=0.1)
    scores = [[-1.0, -2.0], [-0.5, -1.0]]
    expected = sum(cross(2 * score + 1, 0.9) for row in scores for score in row) / 2
    assert lose(loss, scores, [3, 3]).total.item() == pytest.approx(expected, rel=1e-5)


def test_shares_of_mixed_samples() -> None:
    """Picture 0 keeps 0.7 of itself and has 0.3 of picture 2, whose caption gets that share."""
    loss = ProbabilisticMatchingLoss(scale=1.0, shift=0.0, vib=0.0, pseudo=0.0, smoothing=0.0)
    mixing = torch.tensor([[0.7, 2.0], [1.0, 0.0], [1.0, -2.0]])
    labels = [[0.7, 0.0, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    scores = [[-0.1, -0.2, -0.3], [-0.4, -0.5, -0.6], [-0.7, -0.8, -0.9]]
    pairs = zip(np.ravel(scores).tolist(), np.ravel(labels).tolist(), strict=True)
    expected = 2 * sum(cross(score, label) for score, label in pairs) / 9
    # With mixed samples, captions of one image count as any other, as in the original code.
    assert lose(loss, scores, [0, 0, 1], mixing=mixing).total.item() == pytest.approx(expected, rel=1e-5)


def test_the_regulariser_by_hand() -> None:
    """Of log σ² = 1 and μ = 0: -(1 + 1 - 0 - e) / 2; the other side tells no variance."""
    loss = ProbabilisticMatchingLoss(pseudo=0.0, vib=1.0)
    output = lose(loss, [[-1.0]], [0], log_variance=torch.ones(1, 2))
    assert output.parts["vib"].item() == pytest.approx((math.e - 2) / 2)
    assert output.total.item() == pytest.approx(2 * output.parts["bce"].item() + (math.e - 2) / 2, rel=1e-5)
    # Beyond 10,000 it counts as nothing.
    assert lose(loss, [[-1.0]], [0], log_variance=torch.full((1, 2), 12.0)).parts["vib"].item() == 0


def test_mixed_pictures() -> None:
    torch.manual_seed(0)
    pictures = torch.arange(40.0)[:, None, None, None].expand(40, 3, 16, 16)
    mixed, mixing = mix_samples(pictures, 0.5)
    shares, offsets = mixing.T
    assert offsets.tolist() == [39 - 2 * row for row in range(40)]
    assert 5 < (shares < 1).sum().item() < 35
    for row, share in enumerate(shares.tolist()):
        # Of Mixup and of CutMix alike, the mean colour is what the share says.
        assert mixed[row].mean().item() == pytest.approx(share * row + (1 - share) * (39 - row), rel=1e-4, abs=1e-3)
    assert any(len(picture.unique()) == 2 for picture in mixed)
    whole, none = mix_samples(pictures[:3], 1.0)
    assert none[1].tolist() == [1.0, 0.0]  # the picture in the middle has no other
    assert torch.equal(whole[1], pictures[1])


def test_vectors_end_in_the_sum_of_the_variances() -> None:
    torch.manual_seed(0)
    encoder = PCMEPPRegionEncoder(embed_size=5, img_dim=6, log_variance_bias=-3.0).eval()
    output = encoder(torch.randn(2, 4, 6))
    assert output.embeddings.shape == (2, 6)
    torch.testing.assert_close(output.embeddings[:, :5].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(output.embeddings[:, 5], output.extras["log_variance"].exp().sum(1))
    with pytest.raises(DataError, match="no regions"):
        encoder(torch.randn(2, 0, 6))


def test_the_uncertainty_from_python() -> None:
    model = make_model()
    images = model.embed_images(tiny.TinyPairs(shape=(4, tiny.WIDTH)).images([0, 1, 2]))
    assert images.embeddings.shape == (3, 9)
    assert images.extras["log_variance"].shape == (3, 8)
    torch.testing.assert_close(model.read_uncertainty(images), images.extras["log_variance"].exp().sum(1))
    assert model.read_uncertainty(model.encode_texts(["a dog"])).shape == (1,)
    assert model.encode_texts([]).shape == (0, 9)
    plain = create_model("vsepp", tiny.TinyPairs(), settings=SMALL)
    with pytest.raises(UsageError, match="gives no uncertainty"):
        plain.read_uncertainty(plain.encode_texts(["a dog"]))


@pytest.mark.parametrize(
    "settings",
    [{"similarity": "cosine"}, {"text_encoder": "gru"}, {"image_encoder": "regions"}],
)
def test_parts_of_both_kinds_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="an uncertainty, and the"):
        create_model("pcmepp-regions", tiny.TinyPairs(shape=(4, tiny.WIDTH)), settings={"embed_size": 8, **settings})


@pytest.mark.slow
def test_captions_that_are_too_long() -> None:
    recipe = registry.load("models", "pcmepp")
    settings = {"embed_size": 4, **tiny_bert.list_small_settings(recipe), "text_encoder.positions": 6}
    model = create_model("pcmepp", settings=settings)
    assert [len(ids) for ids in model.tokenizer.encode(["a red dog and a blue dog"])] == [6]
    with pytest.raises(DataError, match="7 ids, and this model reads 6"):
        model.encode_tokens([np.ones(7, dtype=np.int32)])


def test_the_image_side_waits_and_its_twins_do_not() -> None:
    recipe = registry.load("models", "pcmepp")
    model = create_model("pcmepp", settings={"embed_size": 4, **tiny_bert.list_small_settings(recipe)})
    encoder = model.image_encoder

    encoder.start_epoch(1)
    trained = [name for name, p in encoder.named_parameters() if p.requires_grad and name.startswith("backbone.")]
    assert trained
    assert all(name.startswith("backbone.uncertainty_transformer.") for name in trained)
    encoder.start_epoch(2)
    assert all(p.requires_grad for p in encoder.parameters())


@needs_fixtures
def test_pretrained_weights_of_transformers() -> None:
    """Both sides of a small CLIP are read from its file: the path of the mean is CLIP's own, but for its last norm."""
    from transformers import CLIPModel

    folder = FIXTURES / "dual_clip"
    model = create_model("pcmepp", settings={"embed_size": 4, "pretrained": str(folder)})
    clip = CLIPModel.from_pretrained(folder).eval()
    size = clip.config.vision_config.image_size
    pictures = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor(model.tokenizer.encode(["two dogs"])[0].tolist())[None]
    with torch.no_grad():
        seen, _ = model.image_encoder.backbone(pictures)  # type: ignore[operator]
        read, _ = model.text_encoder.backbone(ids)  # type: ignore[operator]
        states = clip.vision_model(pixel_values=pictures, output_hidden_states=True).hidden_states[-1]
        words = clip.text_model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(seen, states, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(read, words, atol=1e-5, rtol=1e-4)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = make_model()
    save_checkpoint(tmp_path / "run", model, tiny.TinyPairs(shape=(4, tiny.WIDTH)), {})
    np.save(tmp_path / "regions.npy", tiny.TinyPairs(shape=(4, tiny.WIDTH)).images(range(6)))
    return tmp_path / "run"


def search(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["search", *arguments])


@pytest.mark.slow
def test_the_uncertainty_in_a_search(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(checkpoint.parent / "cache"))
    regions = str(checkpoint.parent / "regions.npy")
    done = search(str(checkpoint), "a dog runs .", "--images", regions, "-k", "6", "--uncertainty", "--json")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    model = vsezoo.load(checkpoint)
    expected = model.read_uncertainty(model.encode_images(np.load(regions))).tolist()
    assert value["uncertainty"] == pytest.approx(model.read_uncertainty(model.encode_texts(["a dog runs ."])).item())
    assert {hit["item"]: hit["uncertainty"] for hit in value["hits"]} == pytest.approx(dict(enumerate(expected)))
    scores = model.similarity.compare(model.encode_images(np.load(regions)), model.encode_texts(["a dog runs ."]))
    best = scores[:, 0].argsort(descending=True).tolist()
    assert [hit["item"] for hit in value["hits"]] == best
    shown = search(str(checkpoint), "a dog runs .", "--images", regions, "--uncertainty")
    assert "uncertainty" in shown.stdout.splitlines()[0]
    assert "Uncertainty of the query" in shown.stderr
    plain = search(str(checkpoint), "a dog runs .", "--images", regions, "--json")
    assert '"uncertainty"' not in plain.stdout


def test_a_model_that_gives_none(tmp_path: Path) -> None:
    model = create_model("vsepp", tiny.TinyPairs(), settings=SMALL)
    save_checkpoint(tmp_path / "run", model, tiny.TinyPairs(), {})
    np.save(tmp_path / "features.npy", tiny.TinyPairs().images(range(6)))
    done = search(str(tmp_path / "run"), "a dog", "--images", str(tmp_path / "features.npy"), "--uncertainty")
    assert done.exit_code == 2
    assert "gives no uncertainty" in done.stderr


@pytest.mark.slow
def test_a_resumed_run_draws_the_same(tmp_path: Path) -> None:
    """Two epochs at once, and one that is resumed for another: the same bits, whatever training has drawn."""
    data = tiny.write_regions(tmp_path / "data")
    settings = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("loss.")}
    settings["training.batch_size"] = 160  # two steps in each epoch
    vsezoo.train("pcmepp-regions", str(data), output=tmp_path / "whole", device="cpu", settings=settings)
    once = {**settings, "training.num_epochs": 1}
    vsezoo.train("pcmepp-regions", str(data), output=tmp_path / "run", device="cpu", settings=once)
    more = {"training.num_epochs": 2}
    vsezoo.train("pcmepp-regions", str(data), output=tmp_path / "run", device="cpu", settings=more, resume=True)
    for file in ("model.safetensors", "metrics.json"):
        assert (tmp_path / "run" / "best" / file).read_bytes() == (tmp_path / "whole" / "best" / file).read_bytes()
