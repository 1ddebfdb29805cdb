"""What features lose when the pictures are smaller copies: made once more from pictures of which that is known.

    python benchmarks/picture_quality.py copy DIR/flickr8k small/flickr8k --side 196 --quality 70
    vsezoo features flickr8k --data-root small … --output mine-small/f8k_precomp
    python benchmarks/picture_quality.py compare mine/f8k_precomp mine-small/f8k_precomp

`copy` writes a folder again, each picture scaled to a square and saved as JPEG, and copies everything else. `compare`
prints the mean cosine between the rows of two test splits of features, and between rows of different images.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from figures import Report, make_parser
from PIL import Image

from vsezoo.data.pictures.picture_file import read_picture
from vsezoo.data.pictures.walk import ENDINGS


def copy_pictures(source: Path, target: Path, side: int, quality: int) -> None:
    """Write a folder again, its pictures as JPEG of `side` x `side` pixels."""

    def copy(path: str, place: str) -> None:
        if path.lower().endswith(ENDINGS):
            read_picture(path).resize((side, side), Image.Resampling.BICUBIC).save(place, "JPEG", quality=quality)
        else:
            shutil.copyfile(path, place)

    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)


def compare_features(first: Path, second: Path) -> dict[str, float]:
    """Return the mean cosines between two files of features of the same images, and between those of unlike images."""
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in map(np.load, (first, second)))
    return {"same": float((one * other).sum(1).mean()), "other": float((one * np.roll(other, 1, 0)).sum(1).mean())}


def main() -> None:
    """Copy or compare, as the command line says."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    copy = commands.add_parser("copy")
    copy.add_argument("source", type=Path)
    copy.add_argument("target", type=Path)
    copy.add_argument("--side", type=int, default=196)
    copy.add_argument("--quality", type=int, default=70)
    compare = commands.add_parser("compare")
    compare.add_argument("folders", type=Path, nargs=2)
    options = parser.parse_args()
    with Report(options) as report:
        if options.command == "copy":
            copy_pictures(options.source, options.target, options.side, options.quality)
        else:
            first, second = (folder / "test_ims.npy" for folder in options.folders)
            for images, cosine in compare_features(first, second).items():
                report.add(f"cosine, {images} image", cosine)


if __name__ == "__main__":
    main()
