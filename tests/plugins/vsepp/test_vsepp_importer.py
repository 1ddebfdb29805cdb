"""Checkpoints of VSE++ become models that compute what the original's formulas do, with every option accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vsepp_files
from vsepp_files import CAPTIONS, IDS, IMAGES, VSEPP, WIDTH, WORDS, make_vsepp, write_checkpoint, write_words

from vsezoo.conversion.importer import Imported, Source
from vsezoo.conversion.recognition import find_importer
from vsezoo.errors import CheckpointError
from vsezoo.text import Vocabulary, WordTokenizer
from vsezoo_vsepp.importer import VSEppImporter

TOLERANCE = {"rtol": 0, "atol": 1e-5}
FEATURES = np.random.default_rng(5).normal(0, 1, (IMAGES, WIDTH)).astype(np.float32)


def read(path: Path, **told: Any) -> tuple[Source, Imported]:
    source = Source(path)
    _, importer = find_importer(source)
    assert isinstance(importer, VSEppImporter)
    return source, importer.read(source, told)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint whose options differ from `VSEPP`, and the vocabulary next to it."""

    def write(model: Any = None, words: tuple[str, ...] = WORDS, legacy: bool = False, **changes: Any) -> Path:
        options = {name: value for name, value in {**VSEPP, **changes}.items() if value is not ...}
        write_words(tmp_path / f"{VSEPP['data_name']}_vocab.pkl", words)
        return write_checkpoint(tmp_path, options, model or make_vsepp({**VSEPP, **changes}), legacy=legacy)

    return write


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no_imgnorm": True, "max_violation": False},
        {"measure": "order", "use_abs": True, "num_layers": 3, "margin": 0.05},
        {"embed_size": 17, "word_dim": 2, "use_abs": True},
    ],
)
def test_embeddings_are_the_formulas(checkpoint: Callable[..., Path], changes: dict[str, Any], legacy: bool) -> None:
    options = {**VSEPP, **changes}
    image, text = make_vsepp(options)
    source, imported = read(checkpoint([image, text], legacy=legacy, **changes))
    model = imported.build(source)
    images, texts = model.encode_images(FEATURES), model.encode_texts(CAPTIONS)
    rows, columns = vsepp_files.embed_features(image, options, FEATURES), vsepp_files.embed_texts(text, options, IDS)
    np.testing.assert_allclose(images, rows, **TOLERANCE)
    np.testing.assert_allclose(texts, columns, **TOLERANCE)
    scores = rows @ columns.T
    if options["measure"] == "order":
        scores = -np.sqrt((np.maximum(0, columns[None] - rows[:, None]) ** 2).sum(axis=-1))
    np.testing.assert_allclose(model.similarity(images, texts), scores, **TOLERANCE)


def test_options_are_settings(checkpoint: Callable[..., Path]) -> None:
    _, imported = read(checkpoint(use_abs=True, no_imgnorm=True))
    held = imported.recipe.flatten()
    assert imported.recipe.name == "vsepp"
    expected = {
        "embed_size": 6,
        "image_encoder": "precomp",
        "image_encoder.img_dim": 9,
        "image_encoder.normalize": False,
        "image_encoder.use_abs": True,
        "image_encoder.center": False,
        "text_encoder": "gru",
        "text_encoder.word_dim": 5,
        "text_encoder.num_layers": 1,
        "text_encoder.use_abs": True,
        "text_encoder.normalize": True,
        "text_encoder.words": "nltk",
        "similarity": "cosine",
        "loss": "hinge",
        "loss.margin": 0.3,
        "loss.max_violation": True,
        "loss.warmup_epochs": 0,
        "training.num_epochs": 7,
        "training.batch_size": 100,
        "training.learning_rate": 0.003,
        "schedule.every": 4,
        "training.grad_clip": 1.5,
        "training.val_step": 300,
        "training.log_step": 20,
    }
    assert {name: held[name] for name in expected} == expected
    assert imported.data == {"name": "f8k_precomp", "kind": "vector", "image_shape": [9]}


def test_all_options_are_noted_and_paths_lose_their_folders(checkpoint: Callable[..., Path]) -> None:
    _, imported = read(checkpoint())
    paths = {"data_path": "data", "vocab_path": "vocab", "logger_name": "f8k", "resume": ""}
    assert imported.notes == {"epoch": 3, "best_rsum": 321.5, "Eiters": 900, "options": {**VSEPP, **paths}}


@pytest.mark.parametrize(
    ("measure", "max_violation", "name"),
    [("cosine", True, "vsepp"), ("cosine", False, "vse0"), ("order", True, "orderpp"), ("order", False, "order0")],
)
def test_the_recipe_is_that_of_measure_and_loss(
    checkpoint: Callable[..., Path], measure: str, max_violation: bool, name: str
) -> None:
    _, imported = read(checkpoint(measure=measure, max_violation=max_violation))
    assert imported.recipe.name == name


def test_absent_options_are_the_originals_defaults_and_widths_those_of_the_tensors(
    checkpoint: Callable[..., Path],
) -> None:
    absent = {name: ... for name in VSEPP if name != "data_name"}
    _, imported = read(checkpoint(make_vsepp(VSEPP), **absent))
    held = imported.recipe.flatten()
    expected = {
        "embed_size": 6,
        "image_encoder.img_dim": 9,
        "image_encoder.normalize": True,
        "text_encoder.word_dim": 5,
        "similarity": "cosine",
        "loss.margin": 0.2,
        "loss.max_violation": False,
        "training.learning_rate": 2e-4,
        "schedule.every": 15,
        "training.num_epochs": 30,
        "training.batch_size": 128,
        "training.grad_clip": 2.0,
    }
    assert {name: held[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 0.5}, r"has the option dropout=0\.5, whose effect"),
        ({"measure": "l1"}, r"has the option measure='l1'; supported values: 'cosine' or 'order'"),
        ({"margin": "wide"}, r"has the option margin='wide', which is not supported\. loss\.margin is 'wide'"),
        ({"margin": -1.0}, r"margin=-1\.0, which is not supported"),
        ({"num_epochs": 0}, r"num_epochs=0, which is not supported\. training\.num_epochs is 0"),
        ({"use_abs": 1}, r"use_abs=1, which is not supported"),
        ({"no_imgnorm": "False"}, r"has the option no_imgnorm='False'"),
        ({"embed_size": 7}, r"has the tensor .* of shape"),
        ({"img_dim": 4096}, r"image_encoder\.fc\.weight of shape \(6, 9\) where .* \(6, 4096\)"),
        ({"word_dim": 300}, r"text_encoder\.embed\.weight of shape \(12, 5\)"),
        ({"num_layers": 2}, r"lacks tensors text_encoder\.rnn\.bias_hh_l1"),
        ({"vocab_size": 13}, r"vocab_size=13, but a word embedding of 12 rows"),
        ({"vsezoo": '{"image_encoder.center": true}'}, r"has the option vsezoo=.*, which is damaged"),
        ({"vsezoo": "[" * 100_000}, r"has the option vsezoo=.*, which is damaged"),
        ({"vsezoo": '{"loss": "no such loss"}'}, r"has the option vsezoo=.*, which is not supported"),
    ],
)
def test_what_cannot_be_expressed_is_refused(
    checkpoint: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    path = checkpoint(make_vsepp(VSEPP), **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        read(path)
    assert caught.value.file == str(path)
    assert caught.value.remedy


@pytest.mark.slow
def test_an_option_that_does_nothing_is_named_by_the_user(checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(gpu=1, seed=3)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert "--option ignore=gpu" in caught.value.remedy
    _, imported = read(path, ignore="gpu, seed")
    assert imported.notes["options"]["seed"] == 3


def prefix(start: str, *states: Any) -> list[dict[str, Any]]:
    return [{f"{start}{name}": tensor for name, tensor in state.items()} for state in states]


@pytest.mark.parametrize("form", ["module", "dictionary", "flat", "all in module", "tuple", "half", "options"])
@pytest.mark.slow
def test_forms_of_the_model(checkpoint: Callable[..., Path], tmp_path: Path, form: str) -> None:
    image, text = make_vsepp(VSEPP)
    flat = prefix("img_enc.", image)[0] | prefix("txt_enc.", text)[0]
    model = {
        "module": prefix("module.", image, text),
        "dictionary": {"img_enc": image, "txt_enc": text},
        "flat": flat,
        "all in module": prefix("module.", flat)[0],
        "tuple": (image, text),
        "half": [{name: tensor.half() for name, tensor in state.items()} for state in (image, text)],
        "options": [image, text],
    }[form]
    path = checkpoint(model)
    if form == "options":
        write_checkpoint(tmp_path, VSEPP, model, opt=VSEPP)
    source, imported = read(path)
    built = imported.build(source).state_dict()
    loss = 1e-3 if form == "half" else 0.0
    for side, state in (("image_encoder", image), ("text_encoder", text)):
        for name, tensor in state.items():
            torch.testing.assert_close(built[f"{side}.{name}"], tensor, rtol=0, atol=loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, text: image.pop("fc.bias"), r"lacks tensor image_encoder\.fc\.bias"),
        (lambda image, text: image.pop("fc.weight"), r"has no matrix fc\.weight"),
        (lambda image, text: text.update({"embed.weight": torch.ones(12)}), r"has no matrix embed\.weight"),
        (lambda image, text: text.pop("rnn.bias_hh_l0"), r"lacks tensor text_encoder\.rnn\.bias_hh_l0"),
        (
            lambda image, text: text.update({"rnn.weight_ih_l0_reverse": torch.ones(1)}),
            r"the extra tensor .*reverse",
        ),
        (lambda image, text: image.update({"fc.bias": torch.ones(7)}), r"fc\.bias of shape \(7,\) where .* \(6,\)"),
        (lambda image, text: image.update({"fc.bias": torch.ones(6).int()}), r"fc\.bias of torch\.int32"),
        (lambda image, text: image.update({"fc.bias": 3}), r"has 'fc\.bias' in its model, which is not a tensor"),
        (lambda image, text: image.update({"module.fc.bias": torch.ones(6)}), r"has the tensor fc\.bias twice"),
        # A model of this width would take gigabytes; it is refused before it is built.
        (lambda image, text: image.update({"fc.weight": torch.ones(100_000, 1)}), r"of shape"),
    ],
)
def test_tensors_that_do_not_fit(checkpoint: Callable[..., Path], change: Callable[..., Any], message: str) -> None:
    image, text = make_vsepp(VSEPP)
    change(image, text)
    path = checkpoint([image, text], **dict.fromkeys(("embed_size", "img_dim", "word_dim"), ...))
    with pytest.raises(CheckpointError, match=message) as caught:
        read(path)
    assert caught.value.file == str(path)


def test_options_are_needed(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = checkpoint()
    write_checkpoint(tmp_path, {}, make_vsepp(VSEPP), opt=None)
    with pytest.raises(CheckpointError, match="has no options"):
        read(path)


@pytest.mark.parametrize(
    "model",
    [
        [*make_vsepp(VSEPP), {"sim.weight": torch.ones(1)}],  # SGRAF has three
        [{"fc.weight": torch.ones(2, 2), "mlp.weight": torch.ones(1)}, {"embed.weight": torch.ones(2, 2)}],
        [],
        {"fc.weight": torch.ones(2, 2)},
        torch.ones(3),
    ],
)
def test_others_are_not_recognised(tmp_path: Path, model: Any) -> None:
    source = Source(write_checkpoint(tmp_path, VSEPP, model))
    assert not VSEppImporter().recognise(source)
    assert not VSEppImporter().recognise(Source(tmp_path))


def write_own(path: Path, words: tuple[str, ...]) -> None:
    path.write_bytes(WordTokenizer(4, Vocabulary(words)).to_files()["vocab.json"])


@pytest.mark.parametrize("words", ['["a", "a"]', "[]", "[1]"])
def test_a_damaged_vocabulary_of_our_own(checkpoint: Callable[..., Path], tmp_path: Path, words: str) -> None:
    (tmp_path / "vocab.json").write_text(f'{{"words": {words}}}', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.json: does not list distinct words"):
        read(checkpoint(), vocab=str(tmp_path / "vocab.json"))


@pytest.mark.parametrize("name", ["x.pkl", "x_py2.pkl", "x.json", "vocab.json"])
@pytest.mark.slow
def test_forms_of_the_vocabulary(checkpoint: Callable[..., Path], tmp_path: Path, name: str) -> None:
    path = checkpoint()
    (tmp_path / "f8k_precomp_vocab.pkl").unlink()
    vocab = tmp_path / "elsewhere" / name
    vocab.parent.mkdir()
    (write_own if name == "vocab.json" else write_words)(vocab, WORDS)
    source, imported = read(path, vocab=str(vocab))
    assert imported.tokenizer.vocabulary.words == WORDS  # type: ignore[attr-defined]
    assert [ids.tolist() for ids in imported.tokenizer.encode(CAPTIONS)] == [list(ids) for ids in IDS]
    assert set(source.digest()) == {"model_best.pth.tar", name}


def test_the_vocabulary_beside_the_checkpoint_is_named(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = checkpoint()
    (tmp_path / "f8k_precomp_vocab.pkl").unlink()
    with pytest.raises(CheckpointError, match=r"f8k_precomp_vocab\.pkl: does not exist, but is needed") as caught:
        read(path)
    assert "--vocab FILE" in caught.value.remedy


def test_a_name_of_data_leads_to_no_other_folder(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = checkpoint(data_name="../secret")
    write_words(tmp_path.parent / "secret_vocab.pkl")
    with pytest.raises(CheckpointError, match=r"[^.]/vocab\.json: does not exist"):
        read(path)


@pytest.mark.slow
def test_coco_has_two_vocabularies_and_the_wrong_one_is_refused(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    image, text = make_vsepp(VSEPP, rows=10_006)
    path = checkpoint([image, text], vocab_size=10_006)
    scan = write_words(tmp_path / "coco_precomp_vocab.json", (*WORDS, *(f"w{index}" for index in range(11_353 - 12))))
    with pytest.raises(CheckpointError, match=r"11,353 words.*10,006 rows") as caught:
        read(path, vocab=str(scan))
    assert caught.value.file == str(scan)


def test_words_that_begin_otherwise(checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(words=(*WORDS[4:], *WORDS[:4]))
    with pytest.raises(CheckpointError, match=r"begins with .*'runs'.* <pad>, <start>, <end>, <unk>"):
        read(path)
