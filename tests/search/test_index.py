"""What is nearest: against all scores sorted, both ways, with ties, and with half of the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from colours import paint_folder, save_colour_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import TinyPairs
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from vsezoo import VsezooError
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import CheckpointError, DataError, UsageError
from vsezoo.search import indexes
from vsezoo.search.index import open_index
from vsezoo.storage.checkpoint_layout import read_config


def make_features(count: int) -> np.ndarray:
    """Return features of which some are equal."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(count, tiny.WIDTH)).astype(np.float32)
    features[count // 2 :: 3] = features[1]
    return features


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vsepp", "orderpp"])
@pytest.mark.parametrize("block", [7, 8192])
def test_the_nearest_are_those_of_all_scores_sorted(
    model: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "BLOCK", block)
    made = tiny.save_model(tmp_path / "run", tiny.make_model(model))
    features = make_features(45)
    np.save(tmp_path / "a.npy", features)
    index = open_index(tmp_path / "run", images=tmp_path / "a.npy")
    sentences = ["a dog runs .", "snow", "two red balls and a hat"]
    scores = made.similarity(made.encode_images(features), made.encode_texts(sentences)).T.detach().numpy()
    for k in (1, 5, 45, 100):
        found = index.search_many(sentences, k)
        for hits, row in zip(found, scores, strict=True):
            assert [hit.rank for hit in hits] == list(range(1, min(k, 45) + 1))
            order = np.lexsort((np.arange(45), -row.round(6)))  # of equals, the lower index
            assert [hit.item for hit in hits] == order[:k].tolist()
            assert [hit.score for hit in hits] == pytest.approx(row[order[:k]].tolist(), abs=1e-5)
    alone, among = index.search(sentences[1], 5), index.search_many(sentences, 5)[1]
    assert [hit.item for hit in alone] == [hit.item for hit in among]


@pytest.mark.parametrize("model", ["vsepp", "orderpp"])
@pytest.mark.slow
def test_the_other_way(model: str, tmp_path: Path) -> None:
    made = tiny.save_model(tmp_path / "run", tiny.make_model(model))
    data = TinyPairs()
    index = open_index(tmp_path / "run", texts=data)
    scores = made.similarity(made.encode_images(data.features), made.encode_texts(data.captions)).detach()
    for image, row in enumerate(scores):
        best = index.search(data.features[image], 1)[0]
        assert best.score == pytest.approx(row.max().item(), abs=1e-5)
        assert best.text == data.captions[best.item]
        assert best.id == f"image{best.item // 5}#{best.item % 5}"
    many = index.search_many(data.features, 3)
    assert [hits[0].item for hits in many] == [index.search(feature, 3)[0].item for feature in data.features]


@pytest.mark.slow
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 40))
def test_equal_images_stand_in_their_order(count: int, tmp_path: Path) -> None:
    """A product with one vector may add up the last rows in another order than the others."""
    if not (tmp_path / "run").exists():
        tiny.save_model(tmp_path / "run")
    np.save(tmp_path / f"{count}.npy", np.repeat(make_features(2)[:1], count, axis=0))
    hits = open_index(tmp_path / "run", images=tmp_path / f"{count}.npy").search("a dog", 40)
    assert [hit.item for hit in hits] == list(range(count))
    assert len({hit.score for hit in hits}) == 1


@pytest.mark.parametrize("name", ["vsepp", "order", "kiros-gru", "kiros-lstm"])
def test_half_of_the_model_embeds_texts_as_the_whole_does(name: str, tmp_path: Path) -> None:
    made = tiny.save_model(tmp_path / "run", tiny.make_model(name))
    before = torch.get_rng_state()
    half = Checkpoint.open(tmp_path / "run").text_side()
    assert torch.equal(torch.get_rng_state(), before)
    assert not isinstance(half.image_encoder, type(made.image_encoder))
    assert not half.training
    assert torch.equal(half.encode_texts(tiny.CAPTIONS), made.eval().encode_texts(tiny.CAPTIONS))


def test_an_altered_checkpoint_is_refused_also_with_a_full_cache(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    np.save(tmp_path / "a.npy", make_features(4))
    assert open_index(tmp_path / "run", images=tmp_path / "a.npy").search("snow", 1)
    file = tmp_path / "run" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: was altered"):
        open_index(tmp_path / "run", images=tmp_path / "a.npy").search("snow", 1)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is missing"):
        open_index(tmp_path / "run", images=tmp_path / "a.npy").search("snow", 1)


def test_a_part_of_a_distribution_that_is_not_installed(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    np.save(tmp_path / "a.npy", make_features(4))
    config = read_config(tmp_path / "run")
    config["recipe"]["text_encoder"]["name"] = "siglip"
    config["plugins"]["text_encoder"] = {"name": "siglip", "distribution": "vsezoo-siglip", "version": "1"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vsezoo-siglip 1: pip install vsezoo-siglip"):
        open_index(tmp_path / "run", images=tmp_path / "a.npy").search("snow", 1)


def test_pictures(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    index = open_index(tmp_path / "run", images=paint_folder(tmp_path / "photos"))
    assert [hit.id for hit in index.search("a blue thing", 2)] == ["more/c-blue.png", "a-red.png"]
    sentences = open_index(tmp_path / "run", texts=["red", "green", "blue"])
    picture = index.collection.read([1]).content[0]
    (hit,) = sentences.search(picture, 1)
    assert (hit.text, hit.id, hit.rank, hit.score) == ("green", "1", 1, 1.0)


@pytest.mark.parametrize("name", ["vsepp", "order"])
def test_which_sentences_have_a_word_that_the_model_knows(name: str, tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run", tiny.make_model(name))
    np.save(tmp_path / "a.npy", make_features(4))
    index = open_index(tmp_path / "run", images=tmp_path / "a.npy")
    known = {text: index.knows_words(text) for text in ("xyz dog", "xyz", "<unk> UNK", "photo.jpg", " ")}
    assert [text for text, is_known in known.items() if is_known] == ["xyz dog"]
    pieces = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    assert TransformerTokenizer(pieces, {}).knows("xyz")  # of pieces, every word is made


@pytest.mark.slow
def test_images_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save_model(tmp_path / "run")
    data = TinyPairs()
    np.save(tmp_path / "a.npy", data.features)
    monkeypatch.chdir(tmp_path)
    captions = open_index("run", texts=data)
    expected = captions.search(data.features[4], 3)
    for name in ("image4", "4", "a.npy:4", Path("a.npy:4")):
        assert captions.search(name, 3) == expected
    assert captions.search_many(["image4", "a.npy:4"], 3) == [expected] * 2
    with pytest.raises(UsageError, match=r"^'image9' is neither a file nor an image of the train split of tiny"):
        captions.search("image9")
    sentences = open_index("run", texts=["a dog", "snow"])
    assert len(sentences.search("a.npy:4", 5)) == 2
    with pytest.raises(UsageError, match=r"^'image4' is not a file"):
        sentences.search("image4")
    like = open_index("run", images=data).search("a.npy:4", 2)  # images for an image
    assert (like[0].id, like[0].score) == ("image4", pytest.approx(1, abs=1e-5))


@pytest.mark.slow
def test_mistakes(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    features = make_features(4)
    np.save(tmp_path / "a.npy", features)
    run = tmp_path / "run"
    for what in ({}, {"images": tmp_path / "a.npy", "texts": ["a dog"]}):
        with pytest.raises(UsageError, match=r"^Give either images or texts to search"):
            open_index(run, **what)  # type: ignore[arg-type]
    index = open_index(run, images=tmp_path / "a.npy")
    with pytest.raises(UsageError, match=r"^The query is empty"):
        index.search("  ")
    with pytest.raises(UsageError, match=r"^k is 0; it must be at least 1"):
        index.search("a dog", 0)
    with pytest.raises(UsageError, match=r"^search_many takes a list of queries, not one string\."):
        index.search_many("a dog")
    np.save(tmp_path / "wide.npy", np.ones((4, tiny.WIDTH + 1), np.float32))
    with pytest.raises(DataError, match=rf"wide\.npy: .*{tiny.WIDTH + 1}"):
        open_index(run, images=tmp_path / "wide.npy")
    with pytest.raises(DataError, match=r"photos: this model takes features of one vector .*not pictures"):
        open_index(run, images=paint_folder(tmp_path / "photos"))
    with pytest.raises(CheckpointError, match=r"none: does not exist"):
        open_index(tmp_path / "none", images=tmp_path / "a.npy")


def test_a_model_that_gives_no_numbers(tmp_path: Path) -> None:
    made = tiny.make_model()
    with torch.no_grad():
        next(made.image_encoder.parameters()).fill_(torch.nan)
    save_checkpoint(tmp_path / "nan", made, TinyPairs(), {"epoch": 1, "step": 1, "criterion": "rsum", "score": 0.0})
    np.save(tmp_path / "a.npy", make_features(4))
    with pytest.raises(VsezooError, match=r"a\.npy: the embeddings of the model are not finite"):
        open_index(tmp_path / "nan", images=tmp_path / "a.npy")
