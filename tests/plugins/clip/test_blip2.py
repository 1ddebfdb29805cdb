"""BLIP-2's contrast: an image is a set of query vectors, compared with a caption by the largest cosine."""

from __future__ import annotations

import json
from pathlib import Path

import dual_families
import pictures
import pytest
import tiny_bert
import torch
import transformers

import vsezoo
from vsezoo.batch import Embeddings
from vsezoo.errors import CheckpointError, UsageError
from vsezoo_clip.importer import TransformersImporter
from vsezoo_clip.similarity import MaxQuerySimilarity

CAPTIONS = ["a dog", "the red thing is small and round", "dogs", "this old blue thing and the one that is white"]
PICTURES = [pictures.draw(0), pictures.draw(3, 50), pictures.draw(4, 33)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, transformers.PreTrainedModel]:
    folder = tmp_path_factory.mktemp("sources") / "tiny-blip2"
    return folder, dual_families.write(folder, "blip-2", dual_families.make_blip2())


def test_the_largest_cosine_by_hand() -> None:
    first = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, -1.0], [9.0, 9.0]]])
    images = Embeddings(torch.zeros(2, 2), first, torch.tensor([2, 1]))  # the second image has one vector
    texts = Embeddings(torch.zeros(2, 2), torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]))
    scores = MaxQuerySimilarity().eval().compare(images, texts)
    torch.testing.assert_close(scores, torch.tensor([[0.8, 1.0], [-1.0, 0.0]]))


@pytest.mark.slow
def test_embeddings_and_scores_are_those_of_transformers(source: tuple[Path, transformers.PreTrainedModel]) -> None:
    folder, original = source
    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(images=PICTURES, return_tensors="pt")
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(CAPTIONS, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = original(pixels["pixel_values"], tokens["input_ids"], tokens["attention_mask"])
    model = vsezoo.load(folder)
    images, texts = model.embed_images(PICTURES), model.embed_texts(CAPTIONS)
    assert images.items is not None
    torch.testing.assert_close(images.items.clone(), found.image_embeds, rtol=0, atol=1e-5)
    torch.testing.assert_close(texts.embeddings.clone(), found.text_embeds, rtol=0, atol=1e-5)
    scores = model.similarity.compare(images, texts).clone()
    torch.testing.assert_close(scores, found.logits_per_image, rtol=0, atol=1e-5)
    assert len({tuple(row) for row in scores.T.round(decimals=3).tolist()}) == len(CAPTIONS)
    torch.testing.assert_close(
        model.encode_texts(CAPTIONS[:1]).clone(), texts.embeddings[:1].clone(), rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_search_scores_the_candidates_by_their_sets(
    source: tuple[Path, transformers.PreTrainedModel], tmp_path: Path
) -> None:
    photos = pictures.write_photos(tmp_path / "photos", 6)
    hits = vsezoo.open_index(source[0], images=photos).search("the red thing", k=6)
    model = vsezoo.load(source[0])
    drawn = [pictures.draw(index) for index in range(6)]
    scores = model.similarity.compare(model.embed_images(drawn), model.embed_texts(["the red thing"]))[:, 0]
    order = scores.argsort(descending=True).tolist()
    assert [hit.id for hit in hits] == [f"{index}.png" for index in order]
    assert [hit.score for hit in hits] == pytest.approx(scores[order].tolist(), abs=1e-5)


@pytest.mark.slow
def test_the_image_token_has_no_word_embedding(tmp_path: Path) -> None:
    """The processor puts as many `<image>` before a caption as there are queries; here they are never needed."""
    folder = tmp_path / "model"
    size = len(tiny_bert.PIECES)
    original = dual_families.write(folder, "blip-2", dual_families.make_blip2(image_token_index=size))
    transformers.Blip2Processor(
        transformers.BlipImageProcessor(**dual_families.SQUARE),
        transformers.AutoTokenizer.from_pretrained(folder),
        num_query_tokens=5,
    ).save_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    inputs = processor(images=PICTURES[0], text="a dog", return_tensors="pt")
    assert inputs["input_ids"][0, 0] == size
    with torch.no_grad():
        expected = original(**inputs).text_embeds
    found = vsezoo.load(folder).encode_texts(["a dog", "a <image> dog"]).clone()
    torch.testing.assert_close(found[:1], expected, rtol=0, atol=1e-5)
    assert found.isfinite().all()


@pytest.mark.slow
def test_a_checkpoint_of_it_and_back(source: tuple[Path, transformers.PreTrainedModel], tmp_path: Path) -> None:
    made = vsezoo.convert(source[0], tmp_path / "made").checkpoint
    model, again = vsezoo.load(source[0]), vsezoo.load(made)
    assert torch.equal(model.embed_images(PICTURES).regions, again.embed_images(PICTURES).regions)
    assert torch.equal(model.encode_texts(CAPTIONS), again.encode_texts(CAPTIONS))
    (tmp_path / "back").mkdir()
    vsezoo.export(made, "transformers", tmp_path / "back" / "model.safetensors")
    back = type(source[1]).from_pretrained(tmp_path / "back", local_files_only=True)
    tensors, original = back.state_dict(), source[1].state_dict()
    assert tensors.keys() == original.keys()
    assert all(tensors[name].equal(tensor) for name, tensor in original.items())
    assert torch.equal(vsezoo.load(tmp_path / "back").encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_a_model_without_the_classifier_of_pairs(
    source: tuple[Path, transformers.PreTrainedModel], tmp_path: Path
) -> None:
    """As checkpoints of earlier versions have it: the same embeddings, and nothing for transformers."""
    settings = {"pretrained": str(source[0]), "text_encoder.matching": False}
    model = vsezoo.create_model("blip-2", settings=settings)
    assert not any("itm_head" in name for name in model.state_dict())
    assert torch.equal(model.encode_texts(CAPTIONS), vsezoo.load(source[0]).encode_texts(CAPTIONS))
    with pytest.raises(UsageError, match="lacks its classifier"):
        TransformersImporter().write(model, tmp_path / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("of_tower", [{"head": "linear"}, {"finetune": True}])
def test_training(
    source: tuple[Path, transformers.PreTrainedModel], tmp_path: Path, of_tower: dict[str, object]
) -> None:
    photos = pictures.write_photos(tmp_path / "photos", 4)
    lines = "".join(f"{index}.png,{colour} thing,train\n" for index, colour in enumerate(["red", "green", "blue"]))
    (photos / "captions.csv").write_text(f"image,caption,split\n{lines}3.png,a white thing,dev\n")
    settings = {
        f"{side}.{name}": value for side in ("image_encoder", "text_encoder") for name, value in of_tower.items()
    }
    settings |= {"pretrained": str(source[0]), "training.num_epochs": 1, "training.batch_size": 3, "embed_size": 7}
    settings |= {"training.cache_frozen": "finetune" not in of_tower, "training.learning_rate": 0.01}
    vsezoo.train("blip-2", photos, output=tmp_path / "run", settings=settings)
    problem = "its towers differ in .* trained apart" if "finetune" in of_tower else "its linear head cannot be written"
    with pytest.raises(UsageError, match=problem):
        vsezoo.export(tmp_path / "run", "transformers", tmp_path / "model.safetensors")
    trained, before = vsezoo.load(tmp_path / "run"), vsezoo.load(source[0])
    assert not torch.allclose(trained.embed_images(PICTURES).regions, before.embed_images(PICTURES).regions)
    assert not torch.allclose(trained.encode_texts(CAPTIONS), before.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_what_is_refused(source: tuple[Path, transformers.PreTrainedModel], tmp_path: Path) -> None:
    """Another task of BLIP-2; one for retrieval that embeds no sentences."""
    config = json.loads((source[0] / "config.json").read_text())
    for changes, message in (
        ({"architectures": ["Blip2ForConditionalGeneration"]}, "is Blip2ForImageTextRetrieval"),
        ({"qformer_config": {**config["qformer_config"], "use_qformer_text_input": False}}, "embeds no sentences"),
    ):
        folder = tmp_path / next(iter(changes))
        dual_families.write(folder, "blip-2", source[1])
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(CheckpointError, match=message):
            vsezoo.load(folder)
