"""The public names of `vsezoo`, as its docstrings and the documentation use them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
import torch

import vsezoo
from vsezoo.evaluation.predictions import read_predictions
from vsezoo.evaluation.report import Evaluation
from vsezoo.training.callbacks import Observer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("api") / "data")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("api-run") / "run"
    vsezoo.train("vsepp", data, output=output, settings=tiny.SETTINGS, device="cpu")
    return output


@pytest.mark.slow
def test_a_folder_may_be_a_path_and_texts_any_iterable(data: Path, run: Path) -> None:
    assert vsezoo.evaluate(run, data).to_json() == vsezoo.evaluate(run, str(data)).to_json()
    model, texts = vsezoo.load(run), ["a red thing", "old and cold ."]
    assert torch.equal(model.encode_texts(text for text in texts), model.encode_texts(texts))


@pytest.mark.process
def test_importing_brings_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, vsezoo; dir(vsezoo); vsezoo.list_models(); print({'torch', 'numpy', 'click'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_every_public_name_is_there() -> None:
    assert set(vsezoo.__all__) <= set(dir(vsezoo))
    for name in vsezoo.__all__:
        assert getattr(vsezoo, name).__doc__, name
    assert vsezoo.__version__.count(".") >= 1
    with pytest.raises(AttributeError, match="module 'vsezoo' has no attribute 'lode'"):
        _ = vsezoo.lode


def test_type_checkers_see_what_is_imported_lazily() -> None:
    """The names under TYPE_CHECKING are those of `__all__`, each from the module that it is taken from."""
    source = Path(vsezoo.__file__).read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    declared = {alias.asname: node.module for node in imports for alias in node.names if alias.asname == alias.name}
    assert set(declared) == set(vsezoo.__all__)
    for name, module in declared.items():
        assert getattr(vsezoo, name) is getattr(sys.modules[str(module)], name)


def test_every_public_name_is_documented() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert {name for name in vsezoo.__all__ if not any(f"`{name}" in line for line in table)} == set()


def import_all() -> None:
    """Import what has public names, as for the first time, and print what of the command line comes with it."""
    for name in list(sys.modules):
        if name.startswith(("vsezoo", "huggingface_hub", "click", "rich")):
            del sys.modules[name]
    fresh = importlib.import_module("vsezoo")
    assert fresh is not vsezoo
    for name in fresh.__all__:
        getattr(fresh, name)
    print({"click", "rich"} & set(sys.modules))


@pytest.mark.process
def test_the_library_loads_nothing_of_the_command_line(tmp_path: Path) -> None:
    done = processes.run(tmp_path, import_all)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_earlier_names_mean_the_same() -> None:
    from vsezoo.training.train import Training, TrainingResult

    assert vsezoo.Observer is vsezoo.Callback
    assert Training is TrainingResult


def test_list_datasets() -> None:
    assert {"shapes", "f8k_precomp", "coco"} <= set(vsezoo.list_datasets())
    assert vsezoo.list_datasets("SHAPE*") == ["shapes"]


def test_list_models() -> None:
    assert {"vse0", "vsepp", "order0", "orderpp"} <= set(vsezoo.list_models())
    assert set(vsezoo.list_models("order*")) >= {"order0", "orderpp"}
    assert "vsepp" not in vsezoo.list_models("order*")


def test_create_model() -> None:
    captions = ["A dog runs.", "A cat sleeps ."]
    settings = {"embed_size": 8, "image_encoder.img_dim": 5, "text_encoder.vocab_threshold": 1}
    torch.manual_seed(3)
    model = vsezoo.create_model("vsepp", captions=captions, settings=settings)
    assert isinstance(model, vsezoo.JointEmbedding)
    assert not model.training
    images = model.encode_images(np.eye(3, 5, dtype=np.float32))
    texts = model.encode_texts(captions)
    assert (images.shape, texts.shape, images.dtype) == ((3, 8), (2, 8), torch.float32)
    assert torch.allclose(model.similarity(images, texts), images @ texts.T)
    torch.manual_seed(3)
    again = vsezoo.create_model("vsepp", captions=captions, settings=settings)
    assert torch.equal(again.encode_texts(captions), texts)


@pytest.mark.slow
def test_train_load_evaluate(data: Path, run: Path) -> None:
    heard = []

    class Ear(Observer):
        def end(self, evaluation: Evaluation) -> None:
            heard.append(evaluation)

    again = vsezoo.train(
        "vsepp", str(data), output=run.parent / "again", settings=tiny.SETTINGS, device="cpu", observers=[Ear()]
    )
    assert heard == [again.evaluation]
    assert again.checkpoint == run.parent / "again" / "best"
    for name in ("model.safetensors", "config.json", "metrics.json"):  # the same run twice is the same bits
        assert (run / "best" / name).read_bytes() == (again.checkpoint / name).read_bytes()
    model = vsezoo.load(run)
    assert not model.training
    assert model.recipe.embed_size == 16
    assert vsezoo.evaluate(run, str(data)).metrics == again.evaluation.metrics
    assert vsezoo.evaluate([run, run], str(data)).metrics == again.evaluation.metrics
    assert vsezoo.evaluate(run, str(data), split="dev").split == "dev"


@pytest.mark.slow
def test_another_seed_is_another_run(data: Path, run: Path, tmp_path: Path) -> None:
    settings = tiny.SETTINGS | {"training.seed": 1}
    other = vsezoo.train("vsepp", str(data), output=tmp_path / "run", settings=settings, device="cpu").checkpoint
    assert (other / "model.safetensors").read_bytes() != (run / "best" / "model.safetensors").read_bytes()


def test_loading_and_evaluating_leave_the_random_numbers_alone(data: Path, run: Path) -> None:
    before = torch.get_rng_state()
    vsezoo.load(run)
    vsezoo.evaluate(run, str(data))
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_of_an_evaluation(data: Path, run: Path) -> None:
    told: list[tuple[int, int]] = []
    vsezoo.evaluate(run, str(data), advance=lambda done, total: told.append((done, total)))
    assert told[-1] == (120, 120)
    assert told == sorted(told)


def test_errors_are_of_one_family(data: Path, run: Path, tmp_path: Path) -> None:
    for call in (
        lambda: vsezoo.load(tmp_path / "none"),
        lambda: vsezoo.create_model("vsep"),
        lambda: vsezoo.train("vsepp", "no-data", output=tmp_path / "run"),
        lambda: vsezoo.train("vsepp", str(data), output=run),
        lambda: vsezoo.evaluate([], str(data)),
        lambda: vsezoo.evaluate(run, str(data), protocol="half"),
        lambda: vsezoo.load(run).encode_texts("one string"),
    ):
        with pytest.raises(vsezoo.VsezooError):
            call()
    assert not (tmp_path / "run").exists()


def test_arrays_as_asked(data: Path, run: Path) -> None:
    model = vsezoo.load(run)
    features = np.load(data / "test_ims.npy")
    for encode, given in ((model.encode_images, features), (model.encode_texts, ["a red thing", "snow"])):
        vectors = encode(given, as_numpy=True)
        assert isinstance(vectors, np.ndarray)
        assert vectors.dtype == np.float32
        assert np.array_equal(vectors, encode(given).numpy())


def test_results_as_tables(data: Path, run: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    evaluation = vsezoo.evaluate(run, data, predictions=tmp_path / "p.jsonl")
    frame = pandas.concat([evaluation.to_frame(), evaluation.to_frame()])
    assert len(frame) == 4
    assert list(frame["direction"]) == ["i2t", "t2i"] * 2
    assert frame.iloc[0]["R@1"] == evaluation.metrics.i2t.r1
    assert set(frame["model"]) == {"vsepp"}
    queries = read_predictions(tmp_path / "p.jsonl").to_frame()
    assert len(queries) == 120
    ranks = queries[queries["direction"] == "t2i"]["rank"]
    assert 100 * (ranks <= 1).mean() == pytest.approx(evaluation.metrics.t2i.r1)


def test_without_pandas(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(vsezoo.VsezooError, match="pip install pandas"):
        vsezoo.evaluate(run, data).to_frame()


def test_what_objects_say_of_themselves(data: Path, run: Path) -> None:
    model, split = vsezoo.load(run), vsezoo.open_data(str(data), "test", kinds=("vector",))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert repr(model) == f"<JointEmbedding vsepp: precomp + gru, cosine, 16 wide, {count:,} parameters>"
    assert repr(model.recipe).startswith("<Recipe vsepp: image_encoder=precomp, text_encoder=gru, similarity=cosine, ")
    assert repr(split).endswith(" data, test: 20 images (vector, 12), 100 captions>")
    evaluation = vsezoo.evaluate(run, data)
    assert re.fullmatch(
        r"<Evaluation vsepp on data, test, full: i2t R@1/5/10 [\d./]+, t2i R@1/5/10 [\d./]+, rsum [\d.]+>",
        repr(evaluation),
    )
    index = vsezoo.open_index(run, images=split)
    assert re.fullmatch(r"<Index of .*: 20 items, by vsepp>", repr(index))
    assert repr(vsezoo.Checkpoint.open(run)) == f"<Checkpoint vsepp: {run}>"
    assert repr(model.embed_texts(["a dog", "two dogs"])) == "<Embeddings: embeddings (2, 16) on cpu>"
    tokenizer = model.text_encoder.tokenizer
    assert repr(tokenizer) == f"<WordTokenizer: {len(tokenizer)} ids>"
    assert "rank=1" in repr(index.search("a red thing"))


def test_a_loaded_model_in_the_place_of_its_checkpoint(run: Path) -> None:
    model: Any = vsezoo.load(run)
    for call in (vsezoo.load, vsezoo.evaluate, lambda given: vsezoo.open_index(given, texts=["a"])):
        with pytest.raises(vsezoo.VsezooError, match="A checkpoint is expected, but a JointEmbedding was given"):
            call(model)


def test_help_names_what_there_is() -> None:
    """`help(vsezoo.NAME)` shows arguments and errors, and every argument of a function is explained."""
    for name in vsezoo.__all__:
        thing = getattr(vsezoo, name)
        if not inspect.isfunction(thing):
            continue
        text, arguments = inspect.getdoc(thing) or "", list(inspect.signature(thing).parameters)
        assert text.split("\n")[0].endswith("."), name
        if len(arguments) > 1:
            missing = [
                argument for argument in arguments if not re.search(rf"^    (\*\*)?{argument}: ", text, re.MULTILINE)
            ]
            assert not missing, f"{name}: {missing}"
