"""How fast `vsezoo features` is next to its backbone alone.

    taskset -c 0,1 python benchmarks/extraction.py flickr8k --data-root DIR --weights mobilenetv2_100.safetensors

Both see the same pictures in the same batches with the same number of threads. `bare` is the backbone in a loop, over
one batch of pixels that lies ready; `features` is the whole extraction: pictures decoded, scaled and cut by worker
processes, features made, checked and written. They take turns, and the median of the rounds counts. Printed are
pictures per second of both, the ratio, and the peak memory of this process and of its largest worker after a quarter of
the pictures and after all of them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, Report, make_parser

from vsezoo.backbones import Backbone, create_backbone
from vsezoo.data.source import OpenOptions
from vsezoo.features.extraction import extract_features
from vsezoo.features.extractor import FeatureForm
from vsezoo.features.pictures import find_pictures
from vsezoo.interfaces import PairDataset

MIB = 2**20 if sys.platform == "darwin" else 2**10  # of what getrusage counts in


class FirstPictures(PairDataset):
    """The first pictures of a split, without their captions."""

    kind, image_shape, captions, image_of = "picture", (), (), np.empty(0, np.int64)

    def __init__(self, data: PairDataset, count: int) -> None:
        self.name, self.split, self.image_ids, self._data = data.name, data.split, data.image_ids[:count], data

    def images(self, indices: Any) -> Any:
        """Return pictures."""
        return self._data.images(indices)


def main() -> None:
    """Print the figures."""
    parser = make_parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--backbone", default="timm:mobilenetv2_100")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--crops", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=640, help="in a round")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    backbone = create_backbone(
        arguments.backbone, weights=arguments.weights, crops=arguments.crops, model_args={"pad_type": "same"}
    )
    backbone.load_pretrained()
    backbone = backbone.to(arguments.device).eval()
    opened = find_pictures(arguments.data, arguments.data_root).open(arguments.split, OpenOptions(arguments.data_root))
    data = FirstPictures(opened, arguments.pictures)
    rates: dict[str, list[float]] = {"bare": [], "features": []}
    peaks: list[int] = []
    for count in [len(data.image_ids) // 4] + [len(data.image_ids)] * arguments.rounds:
        part = FirstPictures(opened, count)
        rates["bare"].append(run_bare(backbone, part, arguments))
        rates["features"].append(run_features(backbone, part, arguments))
        users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peaks.append(sum(resource.getrusage(user).ru_maxrss for user in users) // MIB)
    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}  # the first round warms up
    with Report(arguments) as report:
        report.add("pictures", len(data.image_ids))
        for name, values in rates.items():
            rounds = [Figure(f"{name}, round {index}", rate, "pictures/s") for index, rate in enumerate(values)]
            report.show(f"{name}, rounds: " + " ".join(f"{rate:.1f}" for rate in values) + " pictures/s", *rounds)
            report.add(name, medians[name], "pictures/s")
        report.add("ratio", medians["features"] / medians["bare"])
        report.add("peak memory, a quarter", peaks[0], "MiB")
        report.add("peak memory, all", peaks[-1], "MiB")


def run_bare(backbone: Backbone, data: PairDataset, arguments: argparse.Namespace) -> float:
    """Return the pictures per second of the backbone alone."""
    ready = data.images(range(min(arguments.batch_size, len(data.image_ids))))
    pixels = backbone.transform(training=False)(ready).to(arguments.device)
    batches = len(data.image_ids) // len(pixels)
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(batches):
            backbone(pixels).cpu()
    return batches * len(pixels) / (time.perf_counter() - start)


def run_features(backbone: Backbone, data: PairDataset, arguments: argparse.Namespace) -> float:
    """Return the pictures per second of the extraction, the start of its workers included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        extract_features(
            lambda split, options: data,
            [data.split],
            backbone,
            Path(folder) / "out",
            form=FeatureForm(batch_size=arguments.batch_size),
            workers=arguments.workers,
            device=arguments.device,
        )
        return len(data.image_ids) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
