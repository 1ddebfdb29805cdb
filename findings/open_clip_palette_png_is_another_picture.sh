#!/usr/bin/env bash
# Package:   open_clip_torch 3.3.0 with pillow 13.0.0, torch 2.14.1 and torchvision 0.29.1.
# Behaviour: the transform for evaluation scales and crops a picture first, and converts it to RGB after that. Pillow
#            scales palettes and black-and-white pictures by the nearest neighbour, whatever filter is asked for, and
#            weighs transparent pixels by nothing.
# Seen:      a checkerboard of 448 x 448 pixels, stored losslessly in four modes of PNG with the same pixels: 0.49 to
#            0.51 (grey) from RGB and grey files, 0.0 everywhere from a palette and from 1 bit. A red picture that is
#            transparent becomes black, not red, and not the white of transformers 5.24.
# Expected:  the same pixels from the same picture: conversion to RGB first.
# Matters:   logos, charts, comics and screenshots are often palettes, scans often 1 bit. Their embeddings depend on the
#            mode that a program chose for the file, and differ from those of other code with the same weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet open_clip_torch==3.3.0 torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
HF_HOME="$work" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import io
import sys

import numpy as np
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

transform = image_transform_v2(PreprocessCfg(mean=(0, 0, 0), std=(1, 1, 1)), is_train=False)


def store(picture):
    """Return a picture after it was written as PNG and opened again."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Image.open(file)


board = Image.fromarray(((np.indices((448, 448)).sum(0) % 2) * 255).astype(np.uint8)).convert("RGB")
one_bit = board.convert("1", dither=Image.Dither.NONE)
means = {}
for picture in (board, board.convert("L"), board.quantize(2), one_bit):
    stored = store(picture)
    assert np.array_equal(stored.convert("RGB"), board)
    pixels = transform(stored)
    means[stored.mode] = round(pixels.mean().item(), 2)
    print("mode", stored.mode, "the same pixels; the model sees", pixels.min().item(), "to", pixels.max().item())
transparent = transform(store(Image.new("RGBA", (300, 300), (255, 0, 0, 0)))).amax(dim=(1, 2)).tolist()
print("transparent red: the model sees", transparent)
if means != {"RGB": 0.5, "L": 0.5, "P": 0.0, "1": 0.0} or transparent != [0.0, 0.0, 0.0]:
    sys.exit("CHANGED: this is no longer what open_clip_torch 3.3.0 did")
PY
