"""A training that begins with the weights and the vocabulary of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commands
import pytest
import tiny
import torch

import vsezoo
from vsezoo.checkpoints.checkpoint import load_loss
from vsezoo.construction import build_loss, build_model
from vsezoo.errors import UsageError
from vsezoo.training.init_from import InitCheckpoint, rename_tensors

NO_STEP = {"training.learning_rate": 1e-30}  # a training that moves nothing


def train(data: Path, output: Path, settings: dict[str, Any] | None = None, **more: Any) -> vsezoo.JointEmbedding:
    settings = {**tiny.SETTINGS, "training.num_epochs": 1, **(settings or {})}
    vsezoo.train("vsepp", data, output=output, device="cpu", overrides=False, settings=settings, **more)
    return vsezoo.load(output)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return data, and a run on other data of which every second word is unknown to the first."""
    folder = tmp_path_factory.mktemp("inheritance")
    data = tiny.write_data(folder / "data")
    other = tiny.write_data(folder / "other")
    for split in tiny.IMAGES:
        captions = (other / f"{split}_caps.txt").read_text(encoding="utf-8").replace("thing", "gadget")
        (other / f"{split}_caps.txt").write_text(captions, encoding="utf-8")
    train(other, folder / "first")
    return data, folder / "first"


@pytest.mark.slow
def test_weights_and_vocabulary_are_the_checkpoints(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, first = folders
    model, ancestor = train(data, tmp_path / "second", NO_STEP, init=first), vsezoo.load(first)
    assert model.tokenizer.to_files() == ancestor.tokenizer.to_files()
    assert b'"gadget"' in model.tokenizer.to_files()["vocab.json"]
    for name, tensor in ancestor.state_dict().items():
        assert torch.allclose(model.state_dict()[name], tensor, atol=1e-6), name
    untouched = train(data, tmp_path / "third", NO_STEP)
    assert b'"gadget"' not in untouched.tokenizer.to_files()["vocab.json"]
    first_weights, weights = (each.state_dict()["image_encoder.fc.weight"] for each in (untouched, model))
    assert not torch.allclose(first_weights, weights, atol=1e-3)


@pytest.mark.slow
def test_a_resumed_run_reads_the_vocabulary_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, first = folders
    train(data, tmp_path / "run", init=first)
    more = {"training.num_epochs": 2}
    settings = {**tiny.SETTINGS, **more}
    vsezoo.train("vsepp", output=tmp_path / "run", resume=True, settings=more, device="cpu")
    whole = tmp_path / "whole"
    vsezoo.train("vsepp", data, output=whole, init=first, settings=settings, device="cpu", overrides=False)
    for name in ("model.safetensors", "vocab.json"):
        assert (tmp_path / "run" / "best" / name).read_bytes() == (whole / "best" / name).read_bytes()
    with pytest.raises(UsageError, match="--init is only for a new run"):
        vsezoo.train("vsepp", output=whole, resume=True, init=first, device="cpu")


@pytest.mark.slow
def test_another_width_is_refused_and_leaves_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, first = folders
    for settings, message in (
        ({"embed_size": 8}, r"with the embed_size 16; the new model has 8"),
        ({"text_encoder": "bow", "text_encoder.word_dim": 16}, r"with the text encoder 'gru'; the new model has 'bow'"),
        ({"text_encoder.word_dim": 4}, r"its text encoder has embed\.weight of shape \(\d+, 8\), not \(\d+, 4\)"),
    ):
        with pytest.raises(UsageError, match=message) as raised:
            train(data, tmp_path / "run", settings, init=first)
        assert str(raised.value).startswith(f"{first}")
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_of_the_card_names_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, first = folders
    train(data, tmp_path / "second", init=first, full_dev=True)
    commands.run_command(tmp_path, "card", "second")
    card = (tmp_path / "second" / "best" / "README.md").read_text(encoding="utf-8")
    assert "--full-dev --init first" in card
    assert str(tmp_path) not in card


def test_a_head_and_a_whole_encoder_exchange_names() -> None:
    one = torch.ones(1)
    assert rename_tensors({"fc.weight": one}, {"head.fc.weight": one, "backbone.w": one}) == {"head.fc.weight": one}
    assert rename_tensors({"head.fc.weight": one, "backbone.w": one}, {"fc.weight": one}) == {"fc.weight": one}
    assert rename_tensors({"fc.weight": one}, {"fc.weight": one}) == {"fc.weight": one}


@pytest.mark.slow
def test_a_caption_head_is_handed_down(tmp_path: Path) -> None:
    settings = {
        "embed_size": 16,
        "text_encoder.word_dim": 4,
        "loss.hidden_size": 8,
        "loss.word_dim": 4,
        "training.num_epochs": 1,
        "training.max_words": 9,
        **NO_STEP,
    }
    vsezoo.train("vsrn", "shapes", output=tmp_path / "a", settings=settings, device="cpu", overrides=False)
    ancestor = InitCheckpoint(tmp_path / "a")
    torch.manual_seed(5)
    model, loss = (build(ancestor.recipe, ancestor.model.tokenizer) for build in (build_model, build_loss))
    ancestor.copy_into(model, loss)  # type: ignore[arg-type]
    for name, tensor in load_loss(tmp_path / "a").state_dict().items():
        assert torch.equal(loss.state_dict()[name], tensor)
