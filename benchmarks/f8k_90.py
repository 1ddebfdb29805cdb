"""Make the split of the port of order-embeddings to Flickr8K: the last tenth of the images by name, and the rest.

    python benchmarks/f8k_90.py data/f8k_precomp f8k_90

The three splits of the first folder are joined, sorted by the name of the image as in Flickr8k.token.txt, and written
as train (7,200 images) and dev (800 images) in the same layout. The port has no third split: its figure is of the dev
images. Takes a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import Report, make_parser

CAPTIONS = 5


def main() -> None:
    """Write the folder."""
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, help="a folder in the layout of VSE++, with the names of the images")
    parser.add_argument("target", type=Path, help="the folder to make")
    arguments = parser.parse_args()
    names, captions, features = [], [], []
    for split in ("train", "dev", "test"):
        names += _read_lines(arguments.source / f"{split}_ids.txt")
        captions += _read_lines(arguments.source / f"{split}_caps.txt")
        features.append(np.load(arguments.source / f"{split}_ims.npy"))
    vectors = np.concatenate(features)
    if len(captions) != CAPTIONS * len(names) or len(vectors) != len(names):
        raise SystemExit("expected one row and one name for each image, and five captions")
    order = np.argsort(names)
    border = len(order) * 9 // 10
    arguments.target.mkdir(parents=True)
    with Report(arguments) as report:
        for split, rows in (("train", order[:border]), ("dev", order[border:])):
            np.save(arguments.target / f"{split}_ims.npy", vectors[rows])
            own = [captions[CAPTIONS * row + number] for row in rows for number in range(CAPTIONS)]
            for name, lines in (("ids", [names[row] for row in rows]), ("caps", own)):
                (arguments.target / f"{split}_{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            report.add(f"{split} images", len(rows))
            report.add(f"{split} captions", len(own))


def _read_lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").rstrip("\n").split("\n")


if __name__ == "__main__":
    main()
