"""The parts of VSE∞: what they compute, what training alone does, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_bert
import torch
import vsepp_files
from torch import nn

import vsezoo
from vsezoo import registry
from vsezoo.construction import build_model, create_model
from vsezoo.conversion.importer import Source
from vsezoo.errors import CheckpointError, DataError, RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.parts import make_tokenizer, resolve_recipe
from vsezoo.text import Vocabulary
from vsezoo.text.masked import MaskedWordTokenizer
from vsezoo.training.optimizer_step import group_parameters
from vsezoo_vse_infty.image_encoder import VSEInftyImageEncoder
from vsezoo_vse_infty.importer import VSEInftyImporter
from vsezoo_vse_infty.text_encoders import VSEInftyTextEncoder, VSEInftyTransformerEncoder

CAPTIONS = ["a red dog", "the blue dogs", "this is doggish , a thing"]


def test_a_linear_layer_and_an_mlp_side_by_side() -> None:
    torch.manual_seed(0)
    encoder = VSEInftyImageEncoder(embed_size=4, img_dim=6, pool="max", normalize=False).eval()
    assert encoder.mlp is not None
    features = torch.randn(3, 5, 6)
    hidden = nn.functional.relu(encoder.mlp.layers[0](features))  # batch norm divides by √(1 + 1e-5) at first
    expected = encoder.fc(features) + encoder.mlp.layers[1](hidden)
    torch.testing.assert_close(encoder(features).embeddings, expected.amax(dim=1), atol=1e-4, rtol=1e-4)


def test_training_leaves_regions_out_and_evaluation_does_not() -> None:
    torch.manual_seed(0)
    encoder = VSEInftyImageEncoder(embed_size=4, img_dim=6)
    features = torch.randn(8, 30, 6)
    lengths = encoder(features).counts
    assert 15 < lengths.float().mean().item() < 29
    assert encoder.eval()(features).counts.tolist() == [30] * 8
    with pytest.raises(DataError, match="no regions"):
        encoder.train()(features[:, :0])
    with pytest.raises(DataError, match=r"features of \(images, regions, 6\)"):
        encoder(features[:, 0])


def test_the_mask_is_the_last_word_and_no_caption_has_it() -> None:
    tokenizer = MaskedWordTokenizer(1, words="split")
    tokenizer.fit([["a", "dog"], ["a"]])
    assert tokenizer.vocabulary.words == ("<eos>", "UNK", "a", "dog", "<mask>")
    assert tokenizer.mask == 4
    assert [ids.tolist() for ids in tokenizer.encode(["a <mask> dog"])] == [[2, 1, 3, 0]]


def make_text_encoder(**options: Any) -> VSEInftyTextEncoder:
    tokenizer = MaskedWordTokenizer(vocabulary=Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "<mask>"]))
    return VSEInftyTextEncoder(embed_size=4, tokenizer=tokenizer, word_dim=3, **options)


def test_training_changes_words_and_evaluation_does_not() -> None:
    torch.manual_seed(0)
    encoder = make_text_encoder()
    encoder.keep_items = True
    tokens = Tokens(torch.tensor([[1] + [4, 5] * 10 + [2]] * 8), torch.full((8,), 22))
    assert encoder(tokens).counts.float().mean().item() < 22  # type: ignore[union-attr]
    encoder.eval()
    assert encoder(tokens).counts.tolist() == [22] * 8  # type: ignore[union-attr]
    assert torch.equal(encoder(tokens).embeddings, encoder(tokens).embeddings)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bert"
    tiny_bert.write_model(folder)
    return folder


def make_bert(bert: Path, **options: Any) -> Any:
    settings = {"embed_size": 6, "text_encoder.model": str(bert)}
    settings |= {f"text_encoder.{name}": value for name, value in options.items()}
    return create_model("vse-infty-bert", tiny.TinyPairs(shape=(4, tiny.WIDTH)), settings=settings)


def test_long_captions_are_cut_at_the_positions_of_bert(bert: Path) -> None:
    """The tiny tokenizer reads 12 ids, marks included; training leaves out words and never adds any."""
    model = make_bert(bert)
    long = "a red dog and " * 20
    assert [len(ids) for ids in model.tokenizer.encode([long])] == [12]
    model.train()
    assert model.text_encoder(Tokens.pad(model.tokenizer.encode([long, "a dog"]))).shape == (2, 6)


def test_marks_and_pieces_in_training(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_bert(bert, size_augmentation=0.9).text_encoder.train()
    assert isinstance(encoder, VSEInftyTransformerEncoder)
    seen: list[torch.Tensor] = []
    encoder.transformer.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"]), with_kwargs=True
    )
    cls, sep, mask, dog, piece = (tiny_bert.IDS[name] for name in ("[CLS]", "[SEP]", "[MASK]", "dog", "##s"))
    encoder(Tokens.pad(encoder.tokenizer.encode(["dogs dogs dogs"] * 50)))
    rows = [[token for token in row if token] for row in seen[0].tolist()]
    assert all(row[0] == cls and row[-1] == sep for row in rows)
    everything = [token for row in rows for token in row]
    assert everything.count(mask) > everything.count(dog) > 0
    drawn = 300 * 0.9 * 0.1  # tokens in the place of which any may stand
    assert abs(everything.count(dog) - everything.count(piece)) < drawn


def test_a_tokenizer_without_a_mask(tmp_path: Path) -> None:
    tiny_bert.write_model(tmp_path)
    tiny_bert.write_tokenizer(tmp_path, words=[word for word in tiny_bert.PIECES if word != "[MASK]"], marks=False)
    with pytest.raises(RecipeError, match="needs a mask"):
        make_bert(tmp_path)
    assert make_bert(tmp_path, size_augmentation=0.0) is not None


@pytest.mark.slow
def test_rates_of_bert_and_of_a_backbone(bert: Path) -> None:
    grid = registry.load("models", "vse-infty-grid-bert").replace(
        {"image_encoder.model": "resnet18", "image_encoder.weights": "none", "text_encoder.model": str(bert)}
    )
    resolved = resolve_recipe(grid)
    model = build_model(resolved, make_tokenizer(resolved))
    groups = group_parameters(dict(model.named_parameters()), model.learning_rate_scales())
    assert sorted(group["scale"] for group in groups) == [0.1, 1.0]
    owner = {id(parameter): name for name, parameter in model.named_parameters()}
    slow = [owner[id(p)] for group in groups if group["scale"] == 0.1 for p in group["params"]]
    assert {name.split(".")[1] for name in slow} == {"backbone", "transformer"}


def test_pooled_features_are_refused(tmp_path: Path) -> None:
    data = tiny.write_data(tmp_path / "pooled")
    with pytest.raises(DataError, match="regions"):
        vsezoo.train("vse-infty-bigru", str(data), output=tmp_path / "run")
    model = create_model("vse-infty-bigru", tiny.TinyPairs(shape=(4, tiny.WIDTH)), settings={"embed_size": 8})
    with pytest.raises(DataError, match="regions"):
        model.encode_images(tiny.TinyPairs().images([0, 1]))


@pytest.mark.slow
def test_a_checkpoint_with_bert_there_and_back(bert: Path, tmp_path: Path) -> None:
    """As the original writes it: prefixes of DataParallel, and the pooler, which takes no part."""
    model = make_bert(bert)
    importer = VSEInftyImporter()
    (file,) = importer.write(model, tmp_path / "ours.pth", "f30k_precomp")
    content = torch.load(file, weights_only=False)
    image, text = content["model"]
    assert {name.split(".")[0] for name in text} == {"bert", "linear", "gpool"}
    text["bert.pooler.dense.bias"] = torch.zeros(16)
    text["bert.embeddings.position_ids"] = torch.arange(14)[None]
    content["model"] = [{f"module.{name}": held for name, held in part.items()} for part in (image, text)]
    torch.save(content, tmp_path / "theirs.pth")
    source = Source(tmp_path / "theirs.pth")
    assert importer.recognise(source)
    again = importer.read(source, {"model": str(bert)}).build(source)
    assert again.recipe.image_encoder == model.recipe.image_encoder
    np.testing.assert_array_equal(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))
    features = tiny.TinyPairs(shape=(4, tiny.WIDTH)).images([0, 1, 2])
    np.testing.assert_array_equal(again.encode_images(features), model.encode_images(features))


@pytest.mark.slow
def test_checkpoints_that_are_refused(tmp_path: Path) -> None:
    options, parts = vsepp_files.VSE_INFTY, vsepp_files.make_vse_infty(vsepp_files.VSE_INFTY)
    vsepp_files.write_words(tmp_path / "f30k_precomp_vocab.json")
    importer = VSEInftyImporter()
    unknown = Source(vsepp_files.write_checkpoint(tmp_path, {**options, "pool_kind": "x"}, parts))
    with pytest.raises(CheckpointError, match="pool_kind"):
        importer.read(unknown, {})
    importer.read(unknown, {"ignore": "pool_kind"})
    grid = [{f"module.image_encoder.{name}": held for name, held in parts[0].items()}, parts[1]]
    grid[0]["module.backbone.base.0.weight"] = torch.zeros(1)
    source = Source(vsepp_files.write_checkpoint(tmp_path, options, grid))
    assert importer.recognise(source)
    with pytest.raises(CheckpointError, match="backbone for pictures"):
        importer.read(source, {})


@pytest.mark.slow
def test_a_resumed_run_draws_the_same(tmp_path: Path) -> None:
    """Two epochs at once, and one that is resumed for another: the same bits, whatever training has drawn."""
    data = tiny.write_regions(tmp_path / "data")
    settings = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("loss.")}
    settings["training.batch_size"] = 160  # two steps in each epoch
    vsezoo.train("vse-infty-bigru", str(data), output=tmp_path / "whole", device="cpu", settings=settings)
    once = {**settings, "training.num_epochs": 1}
    vsezoo.train("vse-infty-bigru", str(data), output=tmp_path / "run", device="cpu", settings=once)
    more = {"training.num_epochs": 2}
    vsezoo.train("vse-infty-bigru", str(data), output=tmp_path / "run", device="cpu", settings=more, resume=True)
    for file in ("model.safetensors", "metrics.json"):
        assert (tmp_path / "run" / "best" / file).read_bytes() == (tmp_path / "whole" / "best" / file).read_bytes()
