"""Where a training step goes: seconds and operations of each phase, next to the bare products of this machine.

    python benchmarks/phases.py                                       vsepp on made features of Flickr8K's shape
    python benchmarks/phases.py --data f8k_precomp --data-root DIR    on the real ones
    python benchmarks/phases.py --model vsrn --steps 5                on 36 regions of 2,048 numbers
    python benchmarks/phases.py --model scan-t2i --set training.precision=bf16

Takes the modules of a recipe through its steps as the training loop does, without validations and saves, and prints the
median time of each phase: data (a batch as tensors), encoders, similarity and loss, backward, optimiser (clipping and
update). The operations are those of matrix products, counted by torch, two for each multiplication; the rate is what a
product of 4,608 by 2,048 by 2,048 numbers reaches. Their quotient is the least that the products alone take.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from figures import Report, make_parser
from made import write_data
from step import prepare
from torch.utils.flop_counter import FlopCounterMode

from vsezoo.cli.assignments import read_assignments
from vsezoo.interfaces import Batch, Loss
from vsezoo.losses.sides import wants_sets
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds, load_recipe
from vsezoo.training.encoding import WholeBatch
from vsezoo.training.optimizer_step import build_optimizer, group_parameters
from vsezoo.training.runtime import Runtime
from vsezoo.training.step_checks import compute_loss

PHASES = ("data", "encoders", "similarity and loss", "backward", "optimiser")
PRODUCT = (4608, 2048, 2048)
"""Rows, inner and outer width: the regions of a batch of VSRN through one of its layers."""

PACKED = {torch.ops.mkldnn._linear_pointwise: lambda left, *_, out_shape, **__: 2 * left[-1] * out_shape.numel()}
"""How to count a product that torch's counter does not know; see `vsezoo.encoders.products`."""


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", default="vsepp")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the recipe")
    parser.add_argument("--data", help="a registered data set or a folder, of at least as many batches as steps")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="of made-up data, five captions each")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    settings = read_assignments("--set", options.set, "embed_size=256")
    with Report(options) as report, tempfile.TemporaryDirectory() as folder:
        data = options.data or str(Path(folder) / "made")
        if not options.data:
            write_made(Path(data), options.images, regions="regions" in accepted_kinds(load_recipe(options.model)))
        seconds, operations = measure(data, options.data_root, options.model, settings, options.steps)
        rate = measure_products()
        report.add("bare products", rate / 1e9, "GFLOP/s")
        for phase in PHASES:
            report.add(phase, 1000 * median(seconds[phase]), "ms")
        step = sum(median(seconds[phase]) for phase in PHASES)
        report.add("step", 1000 * step, "ms")
        report.add("products of a step", operations / 1e9, "GFLOP")
        report.add("products alone", 1000 * operations / rate, "ms")
        report.add("step over its products", step / (operations / rate))


class Stopwatch:
    """Seconds of each phase, a list over the steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, phase: str) -> Iterator[None]:
        """Add what the block takes."""
        start = time.perf_counter()
        yield
        self.seconds[phase].append(time.perf_counter() - start)


def measure(
    data: str, root: Path | None, model: str, settings: dict[str, Any], steps: int
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each phase of each step, and the operations of the first."""
    prepared, loader = prepare(model, data, root, settings, steps + 1)
    network, loss, recipe = prepared.model.train(), prepared.loss, prepared.model.recipe
    batches = iter(loader.load(workers=0))
    parameters = dict(torch.nn.ModuleList([network, loss]).named_parameters())
    optimizer = build_optimizer(recipe, group_parameters(parameters, {}))
    runtime, watch = Runtime("cpu", recipe.training.precision), Stopwatch()
    with FlopCounterMode(display=False, custom_mapping=PACKED) as counter:
        take_step(network, loss, next(batches), optimizer, runtime, Stopwatch())
    for _ in range(len(loader) - 1):
        with watch.time("data"):
            batch = next(batches)
        take_step(network, loss, batch, optimizer, runtime, watch)
    return watch.seconds, counter.get_total_flops()


def take_step(
    network: JointEmbedding,
    loss: Loss,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    runtime: Runtime,
    watch: Stopwatch,
) -> None:
    """Take one step, timed."""
    sets = [network.compares_sets or wanted for wanted in wants_sets(loss)]
    network.keep_items(images=sets[0], texts=sets[1])
    with watch.time("encoders"):
        outputs = WholeBatch(network, runtime).encode(batch)
    with watch.time("similarity and loss"):
        images, texts = map(runtime.gather_output, outputs, sets)
        total = compute_loss(network, loss, images, texts, batch)[-1].total
    with watch.time("backward"):
        total.backward()
    with watch.time("optimiser"):
        torch.nn.utils.clip_grad_norm_([*network.parameters(), *loss.parameters()], 2.0)
        optimizer.step()
        optimizer.zero_grad()


def write_made(data: Path, images: int, regions: bool) -> None:
    """Write features of one vector for an image or of 36 regions, and captions as long as those of Flickr8K."""
    write_data(data, {"train": images}, width=2048)
    if regions:
        rng = np.random.default_rng(0)
        np.save(data / "train_ims.npy", rng.random((images, 36, 2048), dtype=np.float32))


def measure_products() -> float:
    """Return the operations per second of a bare float32 product, the best of ten."""
    rows, inner, outer = PRODUCT
    left, right, best = torch.rand(rows, inner), torch.rand(inner, outer), float("inf")
    for _ in range(10):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * rows * inner * outer / best


if __name__ == "__main__":
    main()
