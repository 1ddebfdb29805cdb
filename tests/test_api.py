"""The public names of `vsezoo`, as its docstrings and the documentation use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import vsezoo
from vsezoo.evaluation.report import Evaluation
from vsezoo.training.observer import Observer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny.write_data(tmp_path_factory.mktemp("api") / "data")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("api-run") / "run"
    vsezoo.train("vsepp", data, output=output, settings=tiny.SETTINGS, device="cpu")
    return output


def test_a_folder_may_be_a_path_and_texts_any_iterable(data: Path, run: Path) -> None:
    assert vsezoo.evaluate(run, data).to_json() == vsezoo.evaluate(run, str(data)).to_json()
    model, texts = vsezoo.load(run), ["a red thing", "old and cold ."]
    assert torch.equal(model.encode_texts(text for text in texts), model.encode_texts(texts))


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


def test_list_models() -> None:
    assert {"vse0", "vsepp", "order0", "orderpp"} <= set(vsezoo.list_models())
    assert set(vsezoo.list_models("order*")) >= {"order0", "orderpp"}
    assert "vsepp" not in vsezoo.list_models("order*")


def test_create_model() -> None:
    captions = ["A dog runs.", "A cat sleeps ."]
    settings = {"embed_size": 8, "image_encoder__img_dim": 5, "text_encoder__vocab_threshold": 1}
    torch.manual_seed(3)
    model = vsezoo.create_model("vsepp", captions=captions, **settings)
    assert isinstance(model, vsezoo.JointEmbedding)
    assert not model.training
    images = model.encode_images(np.eye(3, 5, dtype=np.float32))
    texts = model.encode_texts(captions)
    assert (images.shape, texts.shape, images.dtype) == ((3, 8), (2, 8), torch.float32)
    assert torch.allclose(model.similarity(images, texts), images @ texts.T)
    torch.manual_seed(3)
    again = vsezoo.create_model("vsepp", captions=captions, **settings)
    assert torch.equal(again.encode_texts(captions), texts)


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
