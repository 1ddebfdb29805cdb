"""Models written as VSE++ and VSRN read them: the names, the options, the vocabulary, and the way back."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyPairs, make_model
from vsepp_files import VSEPP, VSRN, WORDS, make_vsepp, make_vsrn, write_checkpoint, write_words

from vsezoo.conversion.importer import Importer, Source
from vsezoo.errors import UsageError
from vsezoo.model import JointEmbedding
from vsezoo_vsepp.importer import VSEppImporter
from vsezoo_vsrn.importer import VSRNImporter

SIZES = {"embed_size": 5, "loss__hidden_size": 4, "loss__word_dim": 3}


def make_vsrn_model(**settings: Any) -> JointEmbedding:
    return make_model("vsrn", TinyPairs(shape=(4, 12)), **SIZES, **settings)


def load_as_the_original_does(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals([argparse.Namespace]):
        value: dict[str, Any] = torch.load(path, weights_only=True)
    return value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("importer", "options", "model"),
    [
        (VSEppImporter(), VSEPP, make_vsepp(VSEPP)),
        (
            VSEppImporter(),
            {**VSEPP, "measure": "order", "use_abs": True, "no_imgnorm": True, "num_layers": 2},
            make_vsepp({**VSEPP, "num_layers": 2}),
        ),
        (VSRNImporter(), VSRN, make_vsrn(VSRN)),
        (VSRNImporter(), {**VSRN, "data_name": "f30k_precomp"}, make_vsrn(VSRN, batch_norm=True)),
    ],
)
def test_there_and_back_to_the_bit(
    importer: Importer, options: dict[str, Any], model: list[dict[str, Any]], tmp_path: Path
) -> None:
    write_words(tmp_path / f"{options['data_name']}_vocab.pkl")
    source = Source(write_checkpoint(tmp_path, options, model))
    imported = importer.read(source, {})
    (tmp_path / "new").mkdir()
    written = importer.write(imported.build(source), tmp_path / "new" / "x.pth.tar")
    value = load_as_the_original_does(written[0])
    assert set(value) == {"epoch", "model", "best_rsum", "opt", "Eiters"}
    assert isinstance(value["model"], list)
    for old, new in zip(model, value["model"], strict=True):
        assert new.keys() == old.keys()
        assert all(new[name].equal(tensor) and new[name].dtype == tensor.dtype for name, tensor in old.items())
    held = vars(value["opt"])
    assert held.keys() == options.keys()
    free = ("data_name", "data_path", "logger_name", "vocab_path", "workers")
    assert {name: held[name] for name in held if name not in free} == {
        name: options[name] for name in options if name not in free
    }
    again = importer.read(Source(written[0]), {})
    assert again.recipe == imported.recipe
    assert again.tokenizer.to_files() == imported.tokenizer.to_files()


READER = """
import json, pickle, sys
class Vocabulary(object):
    def __init__(self):
        raise AssertionError("a pickle does not call it")
    def __call__(self, word):
        return self.word2idx.get(word, self.word2idx["<unk>"])
with open(sys.argv[1], "rb") as stream:
    words = pickle.load(stream)
print(json.dumps([words("dog"), words("no such word"), words.idx, words.idx2word[4], len(words.word2idx)]))
"""


@pytest.mark.process
def test_the_vocabulary_is_read_where_the_class_is(tmp_path: Path) -> None:
    write_words(tmp_path / "f8k_precomp_vocab.json")
    source = Source(write_checkpoint(tmp_path, VSEPP, make_vsepp(VSEPP)))
    importer = VSEppImporter()
    _, pickled, listed = importer.write(importer.read(source, {}).build(source), tmp_path / "x.pth.tar")
    assert (pickled.name, listed.name) == ("vsezoo_precomp_vocab.pkl", "vsezoo_precomp_vocab.json")
    done = subprocess.run([sys.executable, "-c", READER, str(pickled)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [6, 3, 12, "runs", 12]
    words = json.loads(listed.read_text(encoding="utf-8"))
    assert words["word2idx"] == {word: index for index, word in enumerate(WORDS)}
    assert words["idx2word"] == {str(index): word for index, word in enumerate(WORDS)}
    assert words["idx"] == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("importer", "model", "message"),
    [
        (VSEppImporter(), lambda: make_model(image_encoder__center=True), r"image_encoder\.center=True, only False"),
        (VSEppImporter(), lambda: make_model(image_encoder__use_abs=True), r"text_encoder\.use_abs=False, only True"),
        (VSEppImporter(), lambda: make_model(image_encoder__pool="mean"), r"image_encoder\.pool='mean'"),
        (VSEppImporter(), lambda: make_model(text_encoder="lstm"), r"text_encoder 'lstm'"),
        (VSEppImporter(), lambda: make_model(text_encoder__bidirectional=True), r"text_encoder\.bidirectional=True"),
        (VSEppImporter(), lambda: make_model(text_encoder__words="letters"), r"text_encoder\.words='letters'"),
        (VSEppImporter(), lambda: make_model(text_encoder__normalize=False), r"text_encoder\.normalize=False"),
        (VSEppImporter(), lambda: make_model("orderpp", similarity__squared=True), r"similarity\.squared=True"),
        (VSEppImporter(), lambda: make_vsrn_model(), r"image_encoder 'vsrn'"),
        (VSRNImporter(), lambda: make_model(), r"image_encoder 'precomp'"),
        (VSRNImporter(), lambda: make_vsrn_model(image_encoder__norm_axis="feature"), r"image_encoder\.norm_axis="),
        (VSRNImporter(), lambda: make_vsrn_model(image_encoder__num_blocks=2), r"image_encoder\.num_blocks=2, only 4"),
        (VSRNImporter(), lambda: make_vsrn_model(image_encoder__first_norm=False), r"image_encoder\.first_norm=False"),
        (VSRNImporter(), lambda: make_vsrn_model(image_encoder__final_batch_norm=True), r"image_encoder\.first_norm=T"),
    ],
)
def test_models_that_the_originals_do_not_have(importer: Importer, model: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"^(VSE\+\+|VSRN) does not support {message}") as caught:
        importer.write(model(), tmp_path / "x.pth.tar")
    assert caught.value.remedy.startswith("Choose another format")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("importer", "model"),
    [
        (
            VSEppImporter(),
            lambda: make_model(loss__warmup_epochs=2, loss__margin=0.4, training__patience=3, training__seed=5),
        ),
        (VSEppImporter(), lambda: make_model(loss="infonce", loss__temperature=0.1)),
        (VSEppImporter(), lambda: make_model(image_encoder__normalize_in_training=False, text_encoder__init="torch")),
        (VSRNImporter(), lambda: make_vsrn_model(loss__caption_weight=0.5, training__criterion="rsum")),
        (VSRNImporter(), lambda: make_model("vsrn", TinyPairs(shape=(4, 12)), embed_size=5, loss="hinge")),
    ],
)
def test_what_concerns_the_training_alone_comes_back(importer: Importer, model: Any, tmp_path: Path) -> None:
    built: JointEmbedding = model()
    written = importer.write(built, tmp_path / "x.pth.tar")
    source = Source(written[0])
    imported = importer.read(source, {})
    before, after = built.recipe.to_json(), imported.recipe.to_json()
    assert {**after, "name": "", "summary": ""} == {**before, "name": "", "summary": ""}
    held = imported.build(source).state_dict()
    for name, tensor in built.state_dict().items():
        torch.testing.assert_close(held[name], tensor, rtol=0, atol=0)
