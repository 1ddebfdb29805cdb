"""Features of crops of pictures: many real embeddings from few real pictures, to search among.

    python benchmarks/crops.py PICTURES --weights mobilenetv2_100.safetensors --output crops_ims.npy

Writes the spatial mean of the last feature map of a MobileNetV2 for 12 crops of each picture: three columns by two rows
of 160 of 224 pixels, each also mirrored; in bfloat16, scaled to unit norm, float32. Beside it `crops_ids.txt`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

SIDE, CROP, BATCH = 224, 160, 8


def main() -> None:
    """Extract and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of JPEG files")
    parser.add_argument("--weights", type=Path, required=True, help="of timm's mobilenetv2_100, padded as TensorFlow")
    parser.add_argument("--output", type=Path, required=True, help="ends in _ims.npy")
    options = parser.parse_args()
    network = timm.create_model("mobilenetv2_100", pad_type="same")
    network.load_state_dict(load_file(options.weights))
    network.eval().to(torch.bfloat16, memory_format=torch.channels_last)
    files = sorted(options.pictures.glob("*.jpg"))
    blocks, names = [], []
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        crops = torch.cat([cut(file) for file in batch]).to(torch.bfloat16, memory_format=torch.channels_last)
        with torch.inference_mode():
            features = network.forward_features(crops).float().mean(dim=(2, 3))
        blocks.append(functional.normalize(features, dim=1).numpy())
        names += [f"{file.stem}-{crop}" for file in batch for crop in range(len(crops) // len(batch))]
    np.save(options.output, np.concatenate(blocks))
    ids = options.output.with_name(options.output.name.replace("_ims.npy", "_ids.txt"))
    ids.write_text("\n".join(names) + "\n", encoding="utf-8")


def cut(file: Path) -> torch.Tensor:
    """Return the 12 crops of a picture, `(12, 3, 160, 160)`."""
    picture = Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
    rest = SIDE - CROP
    places = itertools.product((0, rest), (0, rest // 2, rest))
    crops = torch.stack([pixels[:, top : top + CROP, left : left + CROP] for top, left in places])
    return torch.cat([crops, crops.flip(-1)])


if __name__ == "__main__":
    main()
