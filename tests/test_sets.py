"""Encoders that give sets, and what asks for them: words of captions, and parts that do not suit each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny
import torch
from click.testing import CliRunner
from sets import register_sets
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.construction import create_model
from vsezoo.encoders.regions import RegionImageEncoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Loss, Tokens
from vsezoo.model import JointEmbedding

REGIONS = (3, 4)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register_sets()


def make_model(**settings: Any) -> JointEmbedding:
    parts = {"image_encoder": "regions", "similarity": "best-regions", **settings}
    return tiny.make_model(data=tiny.TinyPairs(shape=REGIONS), **parts)


# Words


@pytest.mark.parametrize("encoder", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_words_are_the_states_of_both_directions_averaged(encoder: str, bidirectional: bool) -> None:
    model = make_model(text_encoder=encoder, text_encoder__bidirectional=bidirectional)
    text_encoder: Any = model.text_encoder
    tokens = Tokens.pad([np.array([1, 3, 2], np.int32), np.array([1, 4, 5, 3, 2], np.int32)])
    output = text_encoder(tokens)
    packed = pack_padded_sequence(
        text_encoder.embed(tokens.ids), tokens.lengths, batch_first=True, enforce_sorted=False
    )
    states, _ = pad_packed_sequence(text_encoder.rnn(packed)[0], batch_first=True)
    expected = states.unflatten(2, (-1, 5)).mean(dim=2)
    torch.testing.assert_close(output.items, expected)
    assert output.lengths.tolist() == [3, 5]
    assert not output.items[0, 3:].any()


def test_nobody_asks_a_model_of_vectors_for_words() -> None:
    model = make_model(similarity="cosine")
    tokens = Tokens.pad(model.tokenizer.encode(["a dog"]))
    _, texts = model(torch.ones(1, *REGIONS), tokens)
    assert isinstance(texts, Tensor)
    kept = make_model()(torch.ones(1, *REGIONS), tokens)[1]
    assert torch.equal(kept.embeddings, texts)


# Encoding


def test_sets_are_returned_as_the_similarity_wants_them() -> None:
    data, captions = tiny.TinyPairs(shape=REGIONS), ["a dog runs .", "snow", "two red balls and a hat"]
    model, plain = make_model(), make_model(similarity="cosine")
    images, texts = model.embed_images(data.features, 4), model.embed_texts(captions, 2)
    assert images.regions.shape == (6, 3, 5)
    assert texts.counts.tolist() == [len(ids) for ids in model.tokenizer.encode(captions)]
    assert texts.size == texts.counts.max()
    assert plain.embed_images(data.features).items is None
    assert plain.embed_texts(captions).items is None
    asked = plain.embed_texts(captions, sets=True)
    assert torch.equal(asked.counts, texts.counts)
    torch.testing.assert_close(asked.items, texts.items)
    assert model.embed_texts(captions, sets=False).items is None
    for name, vectors in (("images", model.encode_images(data.features)), ("texts", model.encode_texts(captions))):
        assert torch.equal(vectors, (images if name == "images" else texts).embeddings)
    scores = model.similarity.compare(images, texts)
    for index, caption in enumerate(captions):  # padding does not count
        torch.testing.assert_close(
            scores[:, index : index + 1], model.similarity.compare(images, model.embed_texts([caption]))
        )


def test_nothing_to_encode() -> None:
    model = make_model()
    assert model.embed_texts([]).embeddings.shape == (0, 5)
    assert len(model.embed_images(np.empty((0, *REGIONS), np.float32))) == 0


def test_sets_of_an_encoder_that_gives_none() -> None:
    with pytest.raises(RecipeError, match=r"needs sets of words, and the text encoder 'bow' gives none"):
        tiny.make_model(text_encoder="bow", embed_size=4).embed_texts(["a dog"], sets=True)


# Parts that do not suit each other


class NeedsRegions(Loss):
    """As losses said it before there was `needs`."""

    needs_regions: ClassVar[bool] = True

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Any) -> Any:
        raise NotImplementedError


def test_what_a_loss_needs_is_told_in_both_ways() -> None:
    class Inherits(NeedsRegions):
        pass

    class NeedsNone(NeedsRegions):
        needs_regions = False

    class NeedsBoth(Loss):
        needs = "sets"

    assert (NeedsRegions.needs, Inherits.needs, NeedsNone.needs) == ("image_sets", "image_sets", "vectors")
    assert (NeedsBoth.needs_regions, Loss.needs_regions) == (True, False)


UNSUITABLE: dict[str, tuple[Mapping[str, Any], str]] = {
    "image": (
        {"similarity": "best-regions"},
        r"^The similarity 'best-regions' needs sets of regions, and the image encoder 'precomp' gives none\.\n"
        r"Choose an encoder that does, such as regions; or a similarity and a loss of vectors, such as cosine and hin",
    ),
    "text": (
        {"similarity": "best-regions", "image_encoder": "regions", "text_encoder": "bow"},
        r"^The similarity 'best-regions' needs sets of words, and the text encoder 'bow' gives none\.\n.* such as gru;",
    ),
    "loss": (
        {"loss": "caption"},
        r"^The loss 'caption' needs sets of regions, and the image encoder 'precomp' gives none\.",
    ),
    "loss of both": (
        {"loss": "draws-together", "image_encoder": "regions", "text_encoder": "bow"},
        r"^The loss 'draws-together' needs sets of words, and the text encoder 'bow' gives none\.",
    ),
    "head": (
        {
            "similarity": "best-regions",
            "image_encoder": "torchvision",
            "image_encoder.model": "mobilenet_v3_small",
            "image_encoder.weights": "none",
        },
        r"^The similarity 'best-regions' needs sets of regions, and the image encoder 'torchvision' gives none\.",
    ),
}


@pytest.mark.parametrize("case", UNSUITABLE)
@pytest.mark.slow
def test_parts_that_do_not_suit_each_other(case: str, tmp_path: Path) -> None:
    settings, message = UNSUITABLE[case]
    with pytest.raises(RecipeError, match=message):
        create_model("vsepp", settings=settings)


@pytest.mark.slow
def test_a_training_is_refused_before_it_begins(tmp_path: Path) -> None:
    begun: list[Any] = []

    class Watch(vsezoo.Callback):
        def begin(self, *arguments: Any) -> None:
            begun.append(arguments)

    with pytest.raises(RecipeError, match=r"^The loss 'caption' needs sets of regions"):
        vsezoo.train("vsepp", output=tmp_path / "run", settings={"loss": "caption"}, callbacks=[Watch()])
    assert not begun
    assert not (tmp_path / "run").exists()


def test_show_says_it_in_one_message() -> None:
    recipe = registry.load("models", "vsepp")
    registry.register("models", "unsuitable", replace=True)(recipe.replace({"similarity": "best-regions"}))
    done = CliRunner().invoke(main, ["show", "unsuitable"])
    assert done.exit_code == 2
    assert "needs sets of regions, and the image encoder 'precomp' gives none" in done.output
    assert "Traceback" not in done.output


class Undeclared(RegionImageEncoder):
    """As image encoders were written before they declared what they give."""

    gives = ""


def test_an_encoder_that_declares_nothing_goes_on_with_losses_over_regions() -> None:
    registry.register("image_encoders", "undeclared", replace=True)(Undeclared)
    model = make_model(image_encoder="undeclared", similarity="cosine", loss="caption")
    assert isinstance(model.image_encoder, Undeclared)
    with pytest.raises(RecipeError, match=r"'undeclared' gives none that it declares\.\n.*gives = 'sets'"):
        make_model(image_encoder="undeclared")
