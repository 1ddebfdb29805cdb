r"""Region features of real pictures: the cells of the last feature map of a MobileNetV2, in VSRN's layout.

    python benchmarks/extract_regions.py --pictures flickr8k/images --captions f8k_precomp \
        --weights mobilenetv2_100.safetensors --output f8k_regions

VSRN takes 36 regions of an image from an object detector. Where there is none, the cells of a 6 x 6 grid are as many:
pictures of 192 x 192 pixels, whose last feature map is `(1280, 6, 6)`, one cell for 32 x 32 pixels, row by row. The
output is a folder in the layout of VSE++, SCAN and VSRN: `SPLIT_ims.npy` of shape (images, 36, 1280) in float16, and
copies of the captions and ids, in whose order the images are.

Where the folder of captions has features of one vector for each image as wide as these, the mean of the regions is held
against them: the mean cosine with the vector of the image itself, and with that of the image next to it. The first far
above the second says that pictures, order and weights belong together.

Needs `pip install 'vsezoo[images]'`, and weights of timm's `mobilenetv2_100` that were trained with TensorFlow's
padding.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from vsezoo.cli.progress import make_bar
from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, read_captions, read_image_ids
from vsezoo.data.feature_file import FeatureFile
from vsezoo.errors import DataError, UsageError, VsezooError
from vsezoo.storage import replace_folder

SPLITS = ("train", "dev", "test")
STRIDE = 32  # pixels of the picture, across and down, for each cell of the last feature map
MEAN = STD = (0.5, 0.5, 0.5)  # what the weights were trained with
BLOCK = 500  # images read at a time for the comparison


class Pictures(Dataset[Tensor | VsezooError]):
    """Pictures as `(3, S, S)` float32 of S pixels, or what is wrong with one: a loader would wrap a raised error."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files = files
        self.transform = v2.Compose(
            [v2.Resize((size, size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor | VsezooError:
        """Decode one picture."""
        file = self.files[index]
        try:
            with Image.open(file) as picture:
                pixels: Tensor = self.transform(picture.convert("RGB"))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            return DataError(f"is no picture that can be read: {error}.", file=file, remedy="Copy it again.")
        return pixels


def main() -> None:
    """Write the folder and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the pictures that the ids name")
    parser.add_argument("--captions", type=Path, required=True, help="folder with SPLIT_caps.txt and SPLIT_ids.txt")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of mobilenetv2_100")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--grid", type=int, default=6, help="cells across and down (6: 36 regions)")
    parser.add_argument("--normalize", action="store_true", help="scale each region to unit L2 norm")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode pictures")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        figures = extract(options)
    except VsezooError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    json.dump(figures, sys.stdout, indent=2)
    print()


def extract(options: argparse.Namespace) -> dict[str, Any]:
    """Write the features of all splits, and return how many there are, how fast, and what they were held against.

    Raises:
        UsageError: when the output is there already.
        DataError: when a file is absent or damaged.
        StorageError: when the output cannot be written.
    """
    if options.output.exists():
        raise UsageError("is there already.", file=options.output, remedy="Remove it or choose another --output.")
    files = {split: list_pictures(options.pictures, options.captions, split) for split in SPLITS}
    # Channels last: the layout in which convolutions on a CPU are fastest.
    backbone = load_backbone(options.weights).to(options.device, memory_format=torch.channels_last)
    figures: dict[str, Any] = {"torch": torch.__version__, "timm": timm.__version__, "threads": torch.get_num_threads()}
    start = time.perf_counter()
    with replace_folder(options.output) as folder, make_bar(Console(stderr=True)) as bar:
        for split in SPLITS:
            pictures = Pictures(files[split], options.grid * STRIDE)
            loader = DataLoader(pictures, options.batch_size, num_workers=options.workers, collate_fn=stack)
            shape = (len(pictures), options.grid**2, backbone.num_features)
            target = folder / f"{split}_ims.npy"
            features = np.lib.format.open_memmap(target, "w+", np.float16, shape)
            task, done = bar.add_task(split, total=len(pictures), note=""), 0
            for batch in loader:
                if isinstance(batch, VsezooError):
                    raise batch
                regions = encode(
                    backbone, batch.to(options.device, memory_format=torch.channels_last), options.normalize
                )
                features[done : done + len(regions)] = regions
                done += len(regions)
                bar.update(task, completed=done)
            del features  # unmaps, so that what follows reads the file
            for ending in ("caps", "ids"):
                shutil.copyfile(options.captions / f"{split}_{ending}.txt", folder / f"{split}_{ending}.txt")
            figures[split] = {"shape": shape, **compare(target, options.captions / target.name)}
    images = sum(map(len, files.values()))
    return {**figures, "images": images, "images_per_second": round(images / (time.perf_counter() - start), 1)}


def list_pictures(pictures: Path, captions: Path, split: str) -> list[Path]:
    """Return the picture of each image of a split, in the order of its ids.

    Raises:
        DataError: for a file that is absent, or ids that do not fit the captions.
    """
    images = len(read_captions(captions / f"{split}_caps.txt")) // CAPTIONS_PER_IMAGE
    files = [pictures / name for name in read_image_ids(captions / f"{split}_ids.txt", images)]
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise DataError(
            f"is not there; {len(absent):,} of the {len(files):,} pictures of the split {split!r} are absent.",
            file=absent[0],
            remedy=f"{captions / split}_ids.txt names the pictures: give the folder that holds them as --pictures.",
        )
    return files


def load_backbone(weights: Path) -> Any:
    """Return the network of a file of weights, in eval mode.

    Raises:
        DataError: for a file that is absent, damaged or of another network.
    """
    remedy = "Give the weights of timm's mobilenetv2_100 as a safetensors file."
    backbone = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same")
    try:
        backbone.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot be read: {error}.", file=weights, remedy=remedy) from None
    except RuntimeError:
        raise DataError("holds the weights of another network.", file=weights, remedy=remedy) from None
    return backbone.eval()


def stack(pictures: Sequence[Tensor | VsezooError]) -> Tensor | VsezooError:
    """Return a batch of pictures `(B, 3, S, S)`, or what is wrong with the first that cannot be read."""
    problems = [picture for picture in pictures if isinstance(picture, VsezooError)]
    return problems[0] if problems else torch.stack(list(pictures))  # type: ignore[arg-type]


@torch.inference_mode()
def encode(backbone: nn.Module, pictures: Tensor, normalize: bool) -> np.ndarray[Any, Any]:
    """Return the cells of the last feature map of pictures `(B, 3, S, S)` as regions `(B, R, F)`."""
    regions: Tensor = backbone.forward_features(pictures).flatten(2).transpose(1, 2)  # type: ignore[operator]
    return (functional.normalize(regions, dim=-1) if normalize else regions).half().cpu().numpy()


def compare(regions: Path, vectors: Path) -> dict[str, float]:
    """Return the mean cosine of the mean region with the vector of its image, and with that of the image next to it.

    Empty where there are no vectors that these could be held against.
    """
    if not vectors.exists():
        return {}
    ours, theirs = FeatureFile.open(regions), FeatureFile.open(vectors)
    if theirs.shape != (ours.shape[0], ours.shape[2]):
        return {}
    means, known = torch.empty(theirs.shape), torch.from_numpy(theirs.read(range(theirs.shape[0])))
    for start in range(0, len(means), BLOCK):
        rows = range(start, min(start + BLOCK, len(means)))
        means[start : rows.stop] = torch.from_numpy(ours.read(rows).mean(axis=1, dtype=np.float32))
    own = functional.cosine_similarity(means, known).mean()
    other = functional.cosine_similarity(means, known.roll(1, dims=0)).mean()
    return {"cosine_own": round(own.item(), 4), "cosine_other": round(other.item(), 4)}


if __name__ == "__main__":
    main()
