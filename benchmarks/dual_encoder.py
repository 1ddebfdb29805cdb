"""Pictures and captions per second of a pretrained CLIP in ViT-B/32's shape, and of the bare loops of transformers.

    python benchmarks/dual_encoder.py CLIP_FOLDER PICTURES CAPTIONS [COUNT]

CLIP_FOLDER is any dual encoder of transformers, PICTURES a folder of pictures, CAPTIONS a file with one caption per
line. The bare loop of pictures gets decoded tensors, so it has neither decoding nor preparation in its time; that of
captions pads each batch of 64 to its longest caption, as the library's tokenizer does with padding=True. Processor
time, the median of three runs, taken in turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from figures import Figure, Report, make_parser
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

import vsezoo

BATCH, RUNS = 64, 3


def measure(functions: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Return how many items each function does in a second."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(RUNS):
        for name, function in functions.items():
            start = time.process_time()
            with torch.inference_mode():
                function()
            times[name].append(time.process_time() - start)
    return {name: count / statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("folder", metavar="CLIP_FOLDER")
    parser.add_argument("pictures", metavar="PICTURES", type=Path)
    parser.add_argument("captions", metavar="CAPTIONS", type=Path)
    parser.add_argument("count", metavar="COUNT", nargs="?", type=int, default=512, help="captions (default 512)")
    options = parser.parse_args()
    with Report(options) as report:
        compare(report, options.folder, options.pictures, options.captions, options.count)


def compare(report: Report, folder: str, pictures: Path, captions: Path, count: int) -> None:
    """Print both comparisons."""
    model, library = vsezoo.load(folder), AutoModel.from_pretrained(folder).eval()
    files = sorted(path for path in pictures.iterdir() if path.suffix in (".jpg", ".png"))[:BATCH]
    processor, tokenizer = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pixels = processor(images=[Image.open(file).convert("RGB") for file in files], return_tensors="pt")["pixel_values"]
    texts = captions.read_text(encoding="utf-8").splitlines()[:count]

    def embed_captions() -> None:
        for start in range(0, len(texts), BATCH):
            found = tokenizer(texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
            library.get_text_features(input_ids=found["input_ids"], attention_mask=found["attention_mask"])

    images = {
        "vsezoo, from files": lambda: model.encode_images([Image.open(file) for file in files]),
        "bare loop, decoded tensors": lambda: library.get_image_features(pixel_values=pixels),
    }
    sentences = {"vsezoo": lambda: model.encode_texts(texts), "bare loop": embed_captions}
    for noun, functions, number in (("pictures", images, len(files)), ("captions", sentences, len(texts))):
        rates = measure(functions, number)
        first, second = rates.values()
        shown = ", ".join(f"{name} {rate:.1f}/s" for name, rate in rates.items())
        report.show(
            f"{noun}: {shown} ratio {first / second:.2f}",
            *(Figure(f"{noun}, {name}", rate, f"{noun}/s") for name, rate in rates.items()),
            Figure(f"{noun}, ratio", first / second),
        )


if __name__ == "__main__":
    main()
