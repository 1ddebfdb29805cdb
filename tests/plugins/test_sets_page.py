"""The plugin of docs/sets.md, a SCAN-like similarity: short, sound, and trained, resumed, evaluated and searched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
import torch
from torch.nn import functional

import vsezoo
from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.data.lookup import open_data
from vsezoo.interfaces import Similarity
from vsezoo.testing import check_recipe
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress, read_state
from vsezoo.training.train import TrainingResult

PAGE = Path(__file__).parents[2] / "docs" / "sets.md"
PLUGIN = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)[0]
SETTINGS = {name: value for name, value in tiny.SETTINGS.items() if name != "text_encoder.word_dim"} | {
    "training.num_epochs": 2
}


def register_plugin() -> Mapping[str, Any]:
    """Run the page's module, and register what its entry points would."""
    names: dict[str, Any] = {"__name__": "vsezoo_example.sets"}
    exec(compile(PLUGIN, str(PAGE), "exec"), names)
    registry.register("text_encoders", "example-words", replace=True)(names["WordsTextEncoder"])
    registry.register("similarities", "example-attention", replace=True)(names["AttentionSimilarity"])
    registry.register("models", "example-words", replace=True)(names["example_words"])
    return names


@pytest.fixture
def plugin() -> Mapping[str, Any]:
    return register_plugin()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write images of three regions."""
    folder = tiny.write_data(tmp_path / "data")
    for file in folder.glob("*_ims.npy"):
        np.save(file, np.load(file).reshape(-1, 3, tiny.WIDTH // 3))
    return folder


def test_it_is_short() -> None:
    assert len(PLUGIN.splitlines()) < 60


def test_the_attention_is_that_of_scan(plugin: Mapping[str, Any]) -> None:
    """Pair by pair and word by word: the equations of Lee et al. (2018), section 3.1, as their code computes them."""
    similarity: Similarity = plugin["AttentionSimilarity"]().eval()
    generator = torch.Generator().manual_seed(0)
    images = Embeddings(torch.zeros(2, 5), torch.randn(2, 3, 5, generator=generator), torch.tensor([3, 2]))
    texts = Embeddings(torch.zeros(3, 5), torch.randn(3, 4, 5, generator=generator), torch.tensor([1, 4, 2]))
    for image in range(2):
        regions = functional.normalize(images.regions[image, : images.counts[image]], dim=-1)
        for text in range(3):
            words = functional.normalize(texts.regions[text, : texts.counts[text]], dim=-1)
            cosines = functional.leaky_relu(regions @ words.T, 0.1)
            cosines = cosines / cosines.norm(dim=1, keepdim=True)  # of each region, over the words
            attended = (9 * cosines).softmax(dim=0).T @ regions
            expected = functional.cosine_similarity(attended, words).mean()
            found = similarity.compare(images, texts)[image, text]
            torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_the_recipe_keeps_what_the_core_relies_on(plugin: Mapping[str, Any]) -> None:
    """Two processes included, whose captions are of different lengths."""
    check_recipe(replace(plugin["example_words"], name="checked"), settings={"embed_size": 8}, leave_out=["light"])


def train(data: Path, output: Path, **options: Any) -> TrainingResult:
    return vsezoo.train("example-words", str(data), output=output, settings=SETTINGS, device="cpu", **options)


def train_and_die(data: Path, output: Path) -> None:
    """End in the second epoch without a farewell."""
    register_plugin()

    class Dies(Callback):
        def step(self, progress: Progress) -> None:
            if progress.step == tiny.STEPS + 5:
                os._exit(9)

    torch.set_num_threads(1)
    train(data, output, callbacks=[Dies()], save_step=3)


@pytest.mark.process
@pytest.mark.slow
def test_trained_killed_resumed_evaluated_and_searched(
    plugin: Mapping[str, Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    whole = train(data, tmp_path / "whole")
    assert whole.evaluation.metrics.rsum > 200  # by chance it is 149
    process = processes.start(train_and_die, data, tmp_path / "killed")
    assert processes.finish(process) == 9
    resumed = train(data, tmp_path / "killed", resume=True)
    assert resumed.evaluation.metrics == whole.evaluation.metrics
    states = [read_state(tmp_path / name).tensors for name in ("whole", "killed")]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(states[1][name], tensor), name
    assert vsezoo.evaluate(tmp_path / "whole", str(data)).metrics == whole.evaluation.metrics
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    pairs = open_data(str(data), "test", ("regions",))
    model = vsezoo.load(tmp_path / "whole")
    images, texts = model.embed_images(pairs.images(range(20))), model.embed_texts(pairs.captions[:2])
    scores = model.similarity.compare(images, texts).T.sort(descending=True).values[:, :3].tolist()
    found = vsezoo.open_index(tmp_path / "whole", images=pairs).search_many(pairs.captions[:2], 3)
    assert [[hit.score for hit in hits] for hits in found] == [pytest.approx(row) for row in scores]
