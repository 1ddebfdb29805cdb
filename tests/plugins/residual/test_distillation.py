"""The loss that learns from the scores of teachers, by its equation, and its bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file

import vsezoo
from vsezoo.errors import DataError
from vsezoo.interfaces import Batch
from vsezoo.losses import InfoNCELoss
from vsezoo_residual.distillation import DistilledInfoNCELoss

IMAGES, CAPTIONS, PAIRS = 5, 9, 4


def draw_batch() -> Batch:
    batch = tiny.make_batch([3, 0, 3, 1])
    return Batch(batch.images, batch.tokens, batch.image_index, torch.tensor([8, 2, 0, 5]))


def write_teacher(file: Path, seed: int, images: int = IMAGES, texts: int = CAPTIONS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = {name: rng.normal(size=(count, 3)) for name, count in (("images", images), ("texts", texts))}
    save_file({name: torch.tensor(value, dtype=torch.float32) for name, value in rows.items()}, file)
    return rows["images"], rows["texts"]


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mask", [False, True])
def test_loss_by_the_equation(tmp_path: Path, mask: bool) -> None:
    batch, scores = draw_batch(), torch.randn(PAIRS, PAIRS, generator=torch.Generator().manual_seed(0))
    files = [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    taught = np.zeros((PAIRS, PAIRS))
    for seed, file in enumerate(files):
        images, texts = write_teacher(Path(file), seed)
        taught += images[[3, 0, 3, 1]] @ texts[[8, 2, 0, 5]].T / len(files)
    left_out = np.zeros((PAIRS, PAIRS), dtype=bool)
    if mask:
        left_out[0, 2] = left_out[2, 0] = True
    logits = np.where(left_out, -np.inf, scores.double().numpy() / 0.1)
    taught = np.where(left_out, -np.inf, taught / 0.5)
    expected = 0.0
    for student, teacher in ((logits, taught), (logits.T, taught.T)):
        with np.errstate(divide="ignore", invalid="ignore"):
            expected -= np.nansum(softmax(teacher) * np.log(softmax(student)))
    usual = InfoNCELoss(temperature=0.1, mask_same_image=mask)(scores, None, None, batch)
    options = {"temperature": 0.1, "mask_same_image": mask, "teachers": files, "teacher_temperature": 0.5}
    scores.requires_grad_()
    output = DistilledInfoNCELoss(weight=0.25, **options)(scores, None, None, batch)
    assert float(output.parts["teachers"]) == pytest.approx(expected, rel=1e-5)
    assert output.total.item() == pytest.approx(0.75 * float(usual.total) + 0.25 * expected, rel=1e-5)
    output.total.backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[torch.from_numpy(left_out)] == 0).all()
    none = DistilledInfoNCELoss(**{**options, "teachers": ()})(scores, None, None, batch)
    assert torch.equal(none.total, usual.total)


def test_files_of_teachers_that_do_not_suit(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    scores, batch = torch.zeros(PAIRS, PAIRS), draw_batch()

    def refuse() -> str:
        with pytest.raises(DataError) as caught:
            DistilledInfoNCELoss(teachers=[str(file)])(scores, None, None, batch)
        assert caught.value.file == str(file)
        assert "vsezoo embed" in (caught.value.remedy or "")
        return caught.value.problem

    assert refuse().startswith("cannot be read")
    file.write_bytes(b"no tensors")
    assert refuse().startswith("is not a safetensors file")
    save_file({"images": torch.zeros(2, 2)}, file)
    assert refuse() == "does not have embeddings of images and texts."
    write_teacher(file, 0, images=3)
    assert refuse() == "has 3 images, but the training split has more."
    write_teacher(file, 0, texts=8)
    assert refuse() == "has 8 texts, but the training split has more."


@pytest.mark.slow
def test_a_student_is_trained_resumed_and_loaded_without_its_teacher(tmp_path: Path) -> None:
    data, file = tiny.write_data(tmp_path / "data"), tmp_path / "teacher.safetensors"
    write_teacher(file, 0, images=64, texts=320)
    settings = {"loss": "distilled-infonce", "loss.teachers": [str(file)], "embed_size": 8, "training.num_epochs": 1}
    settings |= {"training.batch_size": 64, "image_encoder.noise": 0.1}
    vsezoo.train("vse-bow", data, output=tmp_path / "run", settings=settings, device="cpu")
    result = vsezoo.train(output=tmp_path / "run", model="vse-bow", resume=True, settings={"training.num_epochs": 2})
    assert result.evaluation.metrics.rsum > 0
    file.unlink()
    model = vsezoo.load(tmp_path / "run")
    assert model.encode_texts(["red and green ."]).shape == (1, 8)


def test_noise_is_for_training_alone() -> None:
    settings = {"embed_size": 8, "image_encoder.input_dropout": 0.0, "image_encoder.dropout": 0.0}
    quiet, noisy = (
        tiny.make_model("vse-bow", **{n.replace(".", "__"): v for n, v in settings.items()}, image_encoder__noise=noise)
        for noise in (0.0, 2.0)
    )
    images = torch.randn(6, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    for model in (quiet, noisy):
        model.eval()
    assert torch.equal(quiet.image_encoder(images), noisy.image_encoder(images))
    quiet.train()
    noisy.train()
    assert torch.equal(quiet.image_encoder(images), quiet.image_encoder(images))
    assert not torch.allclose(noisy.image_encoder(images), noisy.image_encoder(images), atol=0.01)
