"""What several files of tests of the training begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from loops_of_tiny import MakeLoop
from stopped_runs import train

from vsezoo import registry
from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import open_data
from vsezoo.parts import load_text_encoder, resolve_recipe
from vsezoo.training.batches import TokenTable
from vsezoo.training.callbacks import Callback, RunLog
from vsezoo.training.loop import Loop
from vsezoo.training.plan import plan_recipe
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, seed_all


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the data set of `tiny`, which the tests of a file share."""
    return tiny.write_data(tmp_path_factory.mktemp("training") / "data")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("whole") / "run"
    with registry.session():
        train(data, output)
    return output


@pytest.fixture
def make_loop(data: Path, tmp_path: Path) -> Iterator[MakeLoop]:
    logs = []

    def make(witness: Callback | None = None, save_step: int = 0, folder: Path = data, **changes: Any) -> Loop:
        settings = tiny.SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
        train, dev = (open_data(str(folder), split, ("vector",)) for split in ("train", "dev"))
        recipe = resolve_recipe(plan_recipe("vsepp", str(folder), settings), train)
        tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
        tokenizer.fit(tokenizer.split(train.captions))
        seed_all(recipe.training.seed)
        model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
        logs.append(RunLog(tmp_path / f"run-{len(logs)}"))
        first, second = (Split(split, TokenTable(tokenizer.encode(split.captions))) for split in (train, dev))
        callbacks = [witness] if witness else []
        runtime = Runtime("cpu", recipe.training.precision)
        output = tmp_path / f"run-{len(logs) - 1}"
        prepared = Prepared(model, loss, first, second, RunRecord(recipe))
        return Loop(prepared, runtime, output, Progress(), logs[-1], callbacks, save_step=save_step)

    yield make
    for log in logs:
        log.close()
