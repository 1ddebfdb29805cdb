"""What a step of `vsezoo train` costs next to a bare loop, and what bfloat16 gains.

    python benchmarks/step.py                                                made-up data of Flickr8K's shape
    python benchmarks/step.py --data f8k_precomp --data-root ~/features      the real ones
    python benchmarks/step.py --device cuda --steps 200                      on a GPU

Runs the training loop itself, from the feature file to the log, on VSE++'s settings (batches of 128 captions, 1,024
dimensions, hardest negatives). After each of its steps a bare loop takes the same batch, preloaded as tensors,
through a copy of the same modules: forward, similarity, loss, zero_grad, backward, clip, Adam, and nothing else. So
both meet the same batches and the same state of the machine. Then the same with the training in bfloat16, against
the bare loop in float32. On a GPU a step ends when its work there has ended.

Targets: `fp32: ratio` at most 1.05; `bf16: speedup` at least 1.6 on a CPU with avx512_bf16 or amx_bf16.
"""

from __future__ import annotations

import copy
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from figures import Report, make_parser
from made import write_data

from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.interfaces import Batch, Loss
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds, load_text_encoder, resolve_recipe
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.callbacks import Callback, RunLog
from vsezoo.training.loop import Loop
from vsezoo.training.plan import plan_recipe
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.sampling import order_epoch
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, seed_all

WARM_UP = 5  # steps that are not counted


class Enough(Exception):  # noqa: N818
    """The steps are done."""


class Clock(Callback):
    """Times the steps of the loop that tells it of them, and after each one a step of the bare loop."""

    def __init__(self, bare: BareLoop, steps: int, device: torch.device) -> None:
        self.bare, self.steps, self.device = bare, steps, device
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def begin(self, *_: Any) -> None:
        """Start the clock."""
        self.mark = time.perf_counter()

    def step(self, progress: Progress) -> None:
        """Stop the clock, time the bare loop, and start the clock again."""
        now = self.now()
        self.ours.append(now - self.mark)
        self.bare.step(progress.batch - 1)
        self.mark = self.now()
        self.theirs.append(self.mark - now)
        if progress.step == WARM_UP + self.steps:
            raise Enough

    def now(self) -> float:
        """Return the time when all work that was given to the device is done."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        return time.perf_counter()


class BareLoop:
    """The least that trains these modules on these batches."""

    def __init__(self, model: JointEmbedding, loss: Loss, batches: list[Batch], learning_rate: float) -> None:
        self.model, self.loss, self.batches = model.train(), loss, batches
        self.optimizer = torch.optim.Adam(model.parameters(), learning_rate, fused=True)

    def step(self, index: int) -> None:
        """Take one step."""
        batch = self.batches[index]
        images, texts = self.model(batch.images, batch.tokens)
        loss = self.loss(self.model.similarity(images, texts), images, texts, batch).total
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", help="a registered data set or a folder")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with Report(options) as report, tempfile.TemporaryDirectory() as folder:
        data = options.data or str(write_data(Path(folder) / "made", {"train": 6000}, width=1280))
        for precision in ("fp32", "bf16"):
            runtime = Runtime(options.device, precision)
            clock, captions = measure(data, options.data_root, Path(folder) / precision, runtime, options.steps)
            ours, theirs = clock.ours[WARM_UP:], clock.theirs[WARM_UP:]
            report.add(f"{precision}: steps", len(ours))
            for side, seconds in ((precision, ours), (f"{precision}: bare fp32", theirs)):
                report.add(f"{side}: step", 1000 * median(seconds), "ms")
                report.add(f"{side}: rate", captions / median(seconds), "captions/s")
            report.add(f"{precision}: ratio", median(ours) / median(theirs))
            report.add(f"{precision}: speedup", median(theirs) / median(ours))
            report.add(f"{precision}: median of ratios", median(a / b for a, b in zip(ours, theirs, strict=True)))


def prepare(
    name: str, data: str, root: Path | None, changes: dict[str, Any], steps: int
) -> tuple[Prepared, PairBatches]:
    """Return the model and the loss of a recipe, without its overrides, and its first batches."""
    recipe = plan_recipe(name, data, changes, overrides=False)
    pairs = open_data(data, "train", accepted_kinds(recipe), OpenOptions(root))
    recipe = resolve_recipe(recipe, pairs)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    words = tokenizer.split(pairs.captions)
    tokenizer.fit(words)
    split = Split(pairs, TokenTable(tokenizer.encode_split(words)))
    seed_all(recipe.training.seed)
    model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    captions = np.arange(len(split.tokens))
    order = order_epoch(recipe.training, captions, split.tokens.lengths, pairs.image_of, epoch=0)[:steps]
    batches = PairBatches(pairs, split.tokens, model.image_encoder.transform(training=True), order)
    return Prepared(model, loss, split, split, RunRecord(recipe)), batches


def measure(data: str, root: Path | None, output: Path, runtime: Runtime, steps: int) -> tuple[Clock, int]:
    """Train for some steps next to the bare loop; return the times, and the captions in a batch."""
    changes = {"training.precision": runtime.precision, "training.val_step": 0}
    prepared, loader = prepare("vsepp", data, root, changes, WARM_UP + steps)
    model, loss, settings = prepared.model, prepared.loss, prepared.model.recipe.training
    batches = [batch.to(runtime.device) for batch in loader.load(workers=0)]
    # Copied before they are moved: cuDNN wants the weights of a GRU in one piece, as moving puts them.
    bare = BareLoop(copy.deepcopy(model).to(runtime.device), copy.deepcopy(loss), batches, settings.learning_rate)
    model.to(runtime.device)
    clock = Clock(bare, steps, runtime.device)
    log = RunLog(output)
    loop = Loop(prepared, runtime, output, Progress(), log, [clock], save_step=0)
    try:
        loop.start()
    except Enough:
        log.close()
    return clock, settings.batch_size


if __name__ == "__main__":
    main()
