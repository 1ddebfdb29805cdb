"""Features of crops of pictures: many real rows from few real pictures, to search among.

    python benchmarks/crops.py PICTURES --weights mobilenetv2_100.safetensors --output crops_ims.npy

Writes 12 features of each picture, scaled to unit norm, float32, and next to them `crops_ids.txt`. To be cheap, the
picture goes through a MobileNetV2 once, at 160 pixels in bfloat16, and what is cropped is its last feature map: a
feature is the mean over 2 x 3 of the 5 x 5 cells.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from figures import Report, make_parser
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

SIDE, BATCH = 160, 32
ROWS, COLUMNS = 2, 3


def main() -> None:
    """Extract and write."""
    parser = make_parser(__doc__)
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
        pictures = torch.stack([read(file) for file in batch])
        with torch.inference_mode():
            cells = network.forward_features(pictures.to(torch.bfloat16, memory_format=torch.channels_last))
        crops = functional.avg_pool2d(cells.float(), (ROWS, COLUMNS), stride=1).flatten(2).transpose(1, 2)
        blocks.append(functional.normalize(crops, dim=2).flatten(0, 1).numpy())
        names += [f"{file.stem}-{crop}" for file in batch for crop in range(crops.shape[1])]
    np.save(options.output, np.concatenate(blocks))
    ids = options.output.with_name(options.output.name.replace("_ims.npy", "_ids.txt"))
    ids.write_text("\n".join(names) + "\n", encoding="utf-8")
    with Report(options) as report:
        report.add("pictures", len(files))
        report.add("rows written", len(names))


def read(file: Path) -> torch.Tensor:
    """Return a picture as the network takes it, `(3, 160, 160)`."""
    picture = Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


if __name__ == "__main__":
    main()
