"""`vsezoo convert` and `eval` on what the original codes wrote, against what they computed and printed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import commands
import numpy as np
import pytest
import torch
from originals import FIXTURES, needs_fixtures, read_arrays

import vsezoo
from vsezoo.conversion.arrays import read_npz
from vsezoo.conversion.pickles import read_pickle
from vsezoo.conversion.torch_files import read_torch

pytestmark = needs_fixtures


class Case(NamedTuple):
    """Files of a fixture that are converted, and what is to come of them."""

    fixture: str
    file: str
    format: str
    data: str
    vocab: str = ""  # given by --vocab; where it is empty, it stands next to the file under its usual name
    copied: Mapping[str, str] = {}  # files with their usual names, put into a folder of their own


CASES = {
    "kiros": Case("kiros", "model.npz", "kiros", "f8k"),
    "kiros-protocol-0": Case(
        "kiros",
        "model.npz",
        "kiros",
        "f8k",
        copied={
            f"model.npz{old}": f"model.npz{usual}"
            for old, usual in (("", ""), (".p0.pkl", ".pkl"), (".dictionary.p0.pkl", ".dictionary.pkl"))
        },
    ),
    "linxd5": Case("linxd5", "f8k_model_lstm.pkl", "linxd5", "f8k"),
    "order-embedding": Case("order_embedding_order", "order.npz", "order-embedding", "10crop_precomp"),
    "order-embedding-protocol-0": Case(
        "order_embedding_order",
        "order.npz",
        "order-embedding",
        "10crop_precomp",
        copied={"order.npz": "order.npz", "order.p0.pkl": "order.pkl"},
    ),
}
for fixture, form, data in (
    ("vsepp", "vsepp", "f8k_precomp"),
    ("vsepp_order", "vsepp", "f8k_precomp"),
    ("VSRN_coco", "vsrn", "coco_precomp"),
    ("VSRN_f30k", "vsrn", "f30k_precomp"),
):
    CASES[fixture] = Case(fixture, "model_best.pth.tar", form, data)
CASES["vsepp-vocab"] = Case("vsepp", "model_best_legacy.pth.tar", "vsepp", "f8k_precomp", "f8k_precomp_vocab.json")


def run(folder: Path, *arguments: str | Path) -> str:
    done = commands.run_command(folder, *arguments)
    assert done.code == 0, done.stderr
    return done.stdout


def write_data(folder: Path, images: np.ndarray[Any, Any], captions: np.ndarray[Any, Any]) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "test_ims.npy", images)
    (folder / "test_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")


class Result(NamedTuple):
    """A converted fixture."""

    case: Case
    folder: Path
    printed: dict[str, Any]
    figures: dict[str, Any]

    @property
    def origin(self) -> Path:
        return FIXTURES / self.case.fixture


@pytest.fixture(scope="module", params=CASES)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    case = CASES[request.param]
    folder, place = tmp_path_factory.mktemp("fixture"), FIXTURES / case.fixture
    for old, usual in case.copied.items():
        (folder / usual).write_bytes((place / old).read_bytes())
    source = (folder if case.copied else place) / case.file
    vocab = ("--vocab", place / case.vocab) if case.vocab else ()
    printed = json.loads(run(folder, "convert", source, *vocab, "--output", "made", "--json"))
    inputs = read_arrays(place / "inputs.npz")
    write_data(folder / "features" / case.data, inputs["images"], inputs["captions"])
    figures = json.loads(run(folder, "eval", "made", "--data-root", "features", "--json", "--device", "cpu"))
    return Result(case, folder, printed, figures)


@pytest.mark.slow
def test_the_format_and_the_data_are_known(converted: Result) -> None:
    assert converted.printed["format"] == converted.case.format
    assert converted.printed["data"]["name"] == converted.figures["data"] == converted.case.data
    assert converted.case.file in converted.printed["files"]
    assert len(converted.printed["files"]) >= 2
    if converted.case.vocab:
        assert converted.case.vocab in converted.printed["files"]


@pytest.mark.slow
def test_eval_gives_the_figures_of_the_original(converted: Result) -> None:
    expected = read_arrays(converted.origin / "expected.npz")
    (file,) = converted.origin.glob("*stdout.txt")
    text = file.read_text(encoding="utf-8")
    for way, words in (("i2t", "Image to text"), ("t2i", "Text to image")):
        names = ("R@1", "R@5", "R@10", "MedR", "MeanR")[: len(expected[f"{way}_metrics"])]
        found = [converted.figures[way][name] for name in names]
        assert found == pytest.approx(expected[f"{way}_metrics"], abs=1e-9)
        line = re.search(rf"^{words}: (.*)$", text, flags=re.MULTILINE)
        assert line is not None
        assert [f"{figure:.1f}" for figure in found] == re.findall(r"[\d.]+", line[1])


def test_strings_and_features_give_the_embeddings_of_the_original(converted: Result) -> None:
    model = vsezoo.load(converted.folder / "made")
    place = converted.origin
    inputs, expected = read_arrays(place / "inputs.npz"), read_arrays(place / "expected.npz")
    images = model.encode_images(inputs["images"])
    texts = model.encode_texts([str(caption) for caption in inputs["captions"]])
    wanted = expected["img_embs"]
    each = images.repeat_interleave(len(wanted) // len(images), dim=0)  # some repeat an image for each caption
    np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(texts, expected["cap_embs"], rtol=0, atol=1e-5)
    scores = model.similarity(images[:: len(images) // 40], texts)
    # order-embeddings: errors of captions by images, the squares of which ours takes no root either.
    wanted = expected["sims"] if "sims" in expected else -expected["errors"].T
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a file of any of the codebases, by their names."""
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in read_npz(path).items()}
    content = read_torch(path)
    parts = content.get("model", [content])
    return {f"{index}.{name}": tensor for index, part in enumerate(parts) for name, tensor in part.items()}


def read_options(path: Path) -> dict[str, Any]:
    """Return the options that stand in the file of the weights, or next to it."""
    if path.suffix == ".tar":
        return dict(read_torch(path)["opt"].attributes)
    names = {".npz": (f"{path.name}.pkl", f"{path.stem}.pkl"), ".pkl": (path.name.replace("model", "params"),)}
    (found,) = [path.with_name(name) for name in names[path.suffix] if path.with_name(name).is_file()]
    content = read_pickle(found)
    return dict(content.get("options", content))


UNTOLD = {"data_path", "dispFreq", "logger_name", "saveto", "use_restval", "vocab_path", "workers"}
"""Options of the original that are written and tell of its folders and logs alone, or do nothing."""


@pytest.mark.slow
def test_the_way_back_has_the_same_weights_to_the_bit(converted: Result) -> None:
    case, folder = converted.case, converted.folder
    source = (folder if case.copied else converted.origin) / case.file
    names = run(folder, "convert", "made", "--to", case.format, "--output", f"back/{case.file}").splitlines()
    written = folder / names[0]
    original, again = read_weights(source), read_weights(written)
    assert again.keys() == original.keys()
    for name, tensor in original.items():
        assert again[name].dtype == tensor.dtype, name
        assert torch.equal(again[name], tensor), name
    ours, theirs = read_options(written), read_options(source)
    unheeded = {"maxlen_w"} if case.format == "linxd5" else set()
    shared = (ours.keys() & theirs.keys()) - UNTOLD - unheeded
    assert len(shared) >= 10
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    # And what is written converts to the same checkpoint.
    run(folder, "convert", written, "--output", "again")
    for name in ("model.safetensors", "vocab.json"):
        assert (folder / "again" / name).read_bytes() == (folder / "made" / name).read_bytes()
