"""A step of `vsezoo train` beside one of the original's own training loop, on the CPU.

    python benchmarks/original_step.py --steps 60                                        VSE++ on made-up data
    python benchmarks/original_step.py --data f8k_precomp --data-root ~/features         on the real ones
    python benchmarks/original_step.py --model vsrn --steps 10                           on 36 regions of 2,048 numbers

Our side is the training loop with the paper's settings, 128 captions in a batch. After five of its steps the original's
takes the same batches, from equal weights (in turns of one step, each side would find the other's memory): item by item
from the features in memory, collated and padded, through its modules (`original_modules.py`), clipped, and Adam with
torch's defaults. Captions are ids already, which the original finds for each item anew. The caption decoder of VSRN is
without dropout on both sides, which would draw other random numbers, and each of its parameters is updated once, where
the original gives them to the optimiser twice.

Prints medians without the first step, of the time and of the processor time of all threads, which is to be compared on
a busy machine, and the largest relative difference of the losses of all steps.
Targets: `ratio` at least 3, with `--precision bf16` 5 for VSE++; `difference of losses` at most 1e-4 in float32.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Report, make_parser
from original_modules import VSEPP, VSRN
from phases import write_made
from step import Enough, prepare
from torch import Tensor, nn

from vsezoo.interfaces import Batch, LossOutput
from vsezoo.parts import accepted_kinds, load_recipe
from vsezoo.training.batches import PairBatches
from vsezoo.training.callbacks import Callback, RunLog
from vsezoo.training.loop import Loop
from vsezoo.training.preparation import Prepared
from vsezoo.training.runtime import Runtime
from vsezoo.training.state import Progress

ORIGINALS = {"vsepp": VSEPP, "vsrn": VSRN}
SETTINGS = {"vsepp": {}, "vsrn": {"loss.dropout": 0.0}}

TURN = 5  # steps of each side


class Original:
    """The original's training loop.

    Args:
        prepared: our modules, whose weights are copied.
        batches: its batches.
    """

    def __init__(self, prepared: Prepared, batches: PairBatches) -> None:
        recipe, self.batches = prepared.model.recipe, batches
        sizes = {"img_dim": recipe.image_encoder.options["img_dim"], "embed_size": recipe.embed_size}
        sizes["word_dim"] = recipe.text_encoder.options["word_dim"]
        if recipe.loss.name == "caption":
            sizes |= {"hidden_size": recipe.loss.options["hidden_size"], "decoded_dim": recipe.loss.options["word_dim"]}
        self.module = ORIGINALS[recipe.name](len(prepared.model.tokenizer), **sizes).train()
        parameters = nn.ModuleList([prepared.model, prepared.loss]).parameters()
        with torch.no_grad():
            for own, parameter in zip(self.module.parameters(), parameters, strict=True):
                own.copy_(parameter.view_as(own))
        self.optimizer = torch.optim.Adam(self.module.parameters(), recipe.training.learning_rate)
        self.seconds: list[np.ndarray] = []
        self.losses: list[float] = []

    def step(self, index: int) -> None:
        """Take one step."""
        start = read_clocks()
        images, ids, lengths = self.collate(index)
        self.optimizer.zero_grad()
        loss = self.module(images, ids, lengths)
        self.losses.append(loss.item())
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 2.0)
        self.optimizer.step()
        self.seconds.append(read_clocks() - start)

    def collate(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, padded ids and lengths of a batch, the longest caption first."""
        data, tokens = self.batches.data, self.batches.tokens
        items = []
        for caption in self.batches.batches[index].tolist():
            (image,) = data.images(data.image_of[caption : caption + 1])
            items.append((torch.tensor(image), torch.tensor(tokens.caption(caption), dtype=torch.int64)))
        items.sort(key=lambda item: len(item[1]), reverse=True)
        lengths = torch.tensor([len(ids) for _, ids in items])
        padded = torch.zeros(len(items), int(lengths.max()), dtype=torch.int64)
        for row, (_, ids) in enumerate(items):
            padded[row, : len(ids)] = ids
        return torch.stack([image for image, _ in items]), padded, lengths


class Turns(Callback):
    """Times the steps of our loop, and has the original take as many after each few."""

    def __init__(self, original: Original, steps: int) -> None:
        self.original, self.steps, self.seconds = original, steps, list[np.ndarray]()

    def begin(self, *_: Any) -> None:
        """Start the clock."""
        self.mark = read_clocks()

    def step(self, progress: Progress) -> None:
        """Stop the clock for a step of the original."""
        self.seconds.append(read_clocks() - self.mark)
        if progress.step == self.steps or progress.step % TURN == 0:
            for index in range(len(self.original.seconds), progress.step):
                self.original.step(index)
        if progress.step == self.steps:
            raise Enough
        self.mark = read_clocks()


class RecordedLoop(Loop):
    """The training loop, which keeps its losses."""

    losses: tuple[float, ...] = ()

    def step(self, batch: Batch) -> tuple[LossOutput, Tensor, float]:
        """Perform one optimiser step."""
        result = super().step(batch)
        self.losses += (result[0].total.item(),)
        return result


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", choices=ORIGINALS, default="vsepp")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of our side")
    parser.add_argument("--data", help="a registered data set or a folder, of at least as many batches as steps")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="of made-up data, five captions each")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    changes = {"training.precision": options.precision, "training.seed": options.seed}
    with Report(options) as report, tempfile.TemporaryDirectory() as folder:
        data = options.data or str(Path(folder) / "made")
        if not options.data:
            write_made(Path(data), options.images, regions="regions" in accepted_kinds(load_recipe(options.model)))
        turns, loop = compare(options.model, data, options.data_root, changes, options.steps, Path(folder) / "run")
        report.add("steps", options.steps)
        captions = loop.settings.batch_size
        sides = {"vsezoo": turns.seconds, "original": turns.original.seconds}
        medians = {side: np.median(seconds[1:], axis=0) for side, seconds in sides.items()}
        for side, (step, processor) in medians.items():
            report.add(f"{side}: step", 1000 * float(step), "ms")
            report.add(f"{side}: processor", 1000 * float(processor), "ms")
            report.add(f"{side}: rate", captions / float(step), "captions/s")
        step, processor = medians["original"] / medians["vsezoo"]
        report.add("ratio", float(step))
        report.add("ratio of processor times", float(processor))
        pairs = zip(loop.losses, turns.original.losses, strict=True)
        report.add("difference of losses", max(abs(ours / theirs - 1) for ours, theirs in pairs))
        report.add("first loss", loop.losses[0])
        report.add("last loss", loop.losses[-1])


def read_clocks() -> np.ndarray:
    """Return seconds of the clock, and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def compare(
    model: str, data: str, root: Path | None, changes: dict[str, Any], steps: int, output: Path
) -> tuple[Turns, RecordedLoop]:
    """Take steps of both sides in turn; return their times and losses."""
    changes = {"training.val_step": 0, **SETTINGS[model], **changes}
    prepared, batches = prepare(model, data, root, changes, steps)
    if len(batches) < steps:
        raise SystemExit(f"{data} has {len(batches)} batches, fewer than --steps {steps}.")
    turns, log = Turns(Original(prepared, batches), steps), RunLog(output)
    precision = prepared.model.recipe.training.precision
    loop = RecordedLoop(prepared, Runtime("cpu", precision), output, Progress(), log, [turns], save_step=0)
    try:
        loop.start()
    except Enough:
        log.close()
    return turns, loop


if __name__ == "__main__":
    main()
