"""What frozen parts give, computed once: the same training, the same validations, and fewer calls of the networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dual_families
import pictures
import pytest
import tiny_bert
import torch
from safetensors.torch import load_file

import vsezoo
from vsezoo.encoders.backbone import TimmImageEncoder
from vsezoo.errors import InterruptedTrainingError, RecipeError
from vsezoo.storage.cache import find_cache
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress
from vsezoo_clip.image_encoder import DualImageEncoder

CACHED = {"training.cache_frozen": True}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_pictures(tmp_path_factory.mktemp("frozen") / "made", train=8, dev=3, test=2)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("weights")
    dual_families.write(folder / "tiny-clip", "clip")
    tiny_bert.write_model(folder / "tiny-bert")
    return folder / "tiny-clip", folder / "tiny-bert"


@pytest.fixture
def settings(sources: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "pretrained": str(sources[0]),
        "text_encoder": "hf",
        "text_encoder.model": str(sources[1]),
        "training.batch_size": 10,
        "training.num_epochs": 2,
        "training.learning_rate": 0.05,
        "training.val_step": 3,
        "training.log_step": 1,
    }


def read_run(folder: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Return the losses and validation scores of a run in order, and the tensors of its best checkpoint."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    numbers = [line[name] for line in lines for name in ("loss", "score") if name in line]
    return numbers, load_file(folder / "best" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"training.micro_batch": 4}])
def test_it_trains_the_same(data: Path, settings: dict[str, Any], tmp_path: Path, more: dict[str, Any]) -> None:
    """Of 40 captions in 4 steps an epoch, with validations inside an epoch and behind it."""
    vsezoo.train("clip", data, output=tmp_path / "whole", settings={**settings, **more})
    done = vsezoo.train("clip", data, output=tmp_path / "rows", settings={**settings, **more, **CACHED})
    (log, tensors), (expected_log, expected) = read_run(tmp_path / "rows"), read_run(tmp_path / "whole")
    assert len(log) == 8 + 4
    assert log == pytest.approx(expected_log, rel=1e-4)
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=1e-3, atol=1e-4)
    assert done.evaluation.split == "test"


class Stop(Callback):
    def step(self, progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_it_resumes(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    changed = {**settings, **CACHED}
    vsezoo.train("clip", data, output=tmp_path / "whole", settings=changed)
    with pytest.raises((KeyboardInterrupt, InterruptedTrainingError)):
        vsezoo.train("clip", data, output=tmp_path / "run", settings=changed, save_step=1, callbacks=[Stop()])
    vsezoo.train("clip", data, output=tmp_path / "run", resume=True)
    resumed, whole = read_run(tmp_path / "run")[1], read_run(tmp_path / "whole")[1]
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


@pytest.mark.slow
def test_networks_run_once_and_their_outputs_are_kept(
    data: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    extract = DualImageEncoder.extract

    def count(self: DualImageEncoder, inputs: torch.Tensor) -> torch.Tensor:
        seen.append(len(inputs))
        return extract(self, inputs)

    monkeypatch.setattr(DualImageEncoder, "extract", count)
    settings = {**settings, **CACHED}
    vsezoo.train("clip", data, output=tmp_path / "first", settings=settings)
    assert seen == [8, 3, 2]  # train and dev once; then the best checkpoint on test
    assert len(list((find_cache() / "frozen").iterdir())) == 2
    seen.clear()
    vsezoo.train("clip", data, output=tmp_path / "second", settings={**settings, "training.seed": 1})
    assert seen == [2]
    seen.clear()
    vsezoo.train("clip", data, output=tmp_path / "third", settings={**settings, "image_encoder.normalize": False})
    assert seen == [2]
    seen.clear()
    vsezoo.train("clip", data, output=tmp_path / "fourth", settings={**settings, "image_encoder.backend": "pil"})
    assert seen == [8, 3, 2]


@pytest.mark.slow
def test_a_backbone_with_a_head(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are trained, the backbone is not; without the cache folder, too."""
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    weights = pictures.write_weights(tmp_path / "weights" / "resnet.safetensors")
    settings = {
        **pictures.SIZES,
        **CACHED,
        "image_encoder": pictures.BACKBONE,
        "image_encoder.weights": str(weights),
        "image_encoder.image_size": 32,
        "training.num_epochs": 1,
        "training.batch_size": 10,
    }
    done = vsezoo.train("vsepp", data, output=tmp_path / "run", settings=settings)
    encoder = vsezoo.load(done.checkpoint).image_encoder
    assert isinstance(encoder, TimmImageEncoder)
    trained = {**settings, "image_encoder.finetune": True}
    with pytest.raises(RecipeError, match="no encoder has a part that training does not change"):
        vsezoo.train("vsepp", data, output=tmp_path / "other", settings=trained)
