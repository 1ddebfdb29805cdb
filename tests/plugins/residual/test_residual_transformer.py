"""The transformer with a perceptron: which states it takes, padding, what is computed once, and fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_bert
import torch
from torch.nn import functional
from transformers import PreTrainedModel

import vsezoo
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding
from vsezoo.storage.cache import find_cache

CAPTIONS = ("red and blue .", "see how old and new it is", "hot dogs")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreTrainedModel]:
    folder = tmp_path_factory.mktemp("bert")
    return folder, tiny_bert.write_model(folder)


def make_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a tiny training with the transformer in a folder."""
    others = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("text_encoder")}
    return {**others, "text_encoder.model": str(folder)}


def make_model(folder: Path, **changes: Any) -> JointEmbedding:
    settings = {"embed_size": 8, "text_encoder__model": str(folder), **changes}
    torch.manual_seed(3)
    settings = tiny.dotted(settings)
    return vsezoo.create_model("vse-minilm", tiny.TinyPairs(), settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [[-1], [0, 1, -1]])
def test_the_states_of_the_layers(bert: tuple[Path, PreTrainedModel], layers: list[int]) -> None:
    model = make_model(bert[0], text_encoder__layers=layers).eval()
    encoder = model.text_encoder
    for caption in CAPTIONS:  # each on its own, without padding
        ids = torch.from_numpy(model.tokenizer.encode([caption])[0]).long()[None]
        states = bert[1](input_ids=ids, output_hidden_states=True).hidden_states
        means = [states[layer][0].mean(dim=0) for layer in layers]
        expected = torch.cat([(mean - mean.mean()) / (mean.var(unbiased=False) + 1e-5).sqrt() for mean in means])
        found = encoder.extract(Tokens(ids, torch.tensor([ids.shape[1]])))[0]
        assert found == pytest.approx(expected.detach(), abs=1e-5)
    together = encoder(Tokens.pad(model.tokenizer.encode(list(CAPTIONS)))).detach()
    alone = torch.cat([encoder(Tokens.pad(model.tokenizer.encode([caption]))) for caption in CAPTIONS]).detach()
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-5)
    assert functional.normalize(together, dim=1).numpy() == pytest.approx(together.numpy(), abs=1e-6)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there(bert: tuple[Path, PreTrainedModel], layer: int) -> None:
    with pytest.raises(RecipeError, match=rf"layers has {layer}, .* has the layers 1 to 2"):
        make_model(bert[0], text_encoder__layers=[layer])


@pytest.mark.slow
def test_a_run_with_the_states_computed_once_equals_one_without(
    bert: tuple[Path, PreTrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tiny.write_data(tmp_path / "data")
    settings = make_settings(bert[0])
    results = []
    for cached in (True, False):
        changes = {**settings, "training.cache_frozen": cached}
        run = vsezoo.train("vse-minilm", str(data), output=tmp_path / f"run-{cached}", settings=changes, device="cpu")
        results.append(run.evaluation.metrics.rsum)
    assert results[0] == pytest.approx(results[1], abs=0.5)


def test_fine_tuning_changes_the_transformer(bert: tuple[Path, PreTrainedModel]) -> None:
    model = make_model(bert[0], text_encoder__finetune=True, training__cache_frozen=False).train()
    model.text_encoder(Tokens.pad(model.tokenizer.encode(list(CAPTIONS)))).sum().backward()
    assert model.text_encoder.transformer.embeddings.word_embeddings.weight.grad is not None


@pytest.mark.slow
def test_runs_with_other_heads_find_the_states_again(
    bert: tuple[Path, PreTrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept depends on the layers, and not on the perceptron or dropout after them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tiny.write_data(tmp_path / "data")
    settings = {**make_settings(bert[0]), "training.num_epochs": 1}
    kept = []
    for index, more in enumerate(
        [{}, {"text_encoder.dropout": 0.5, "text_encoder.hidden_size": 3}, {"text_encoder.layers": [-1]}]
    ):
        vsezoo.train("vse-minilm", str(data), output=tmp_path / f"run-{index}", settings=settings | more, device="cpu")
        kept.append(len(list((find_cache() / "frozen").iterdir())))
    assert kept == [1, 1, 2]
