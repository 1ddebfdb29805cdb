#!/usr/bin/env bash
# Package:   ml_dtypes 0.6.0 and safetensors 0.8.0 (safetensors.numpy), with numpy 2.4.6.
# Behaviour: a bfloat16 tensor that safetensors.numpy reads is an array of ml_dtypes. Its sum and mean add up in
#            bfloat16, which cannot count beyond 256; matrix products and numpy.linalg.norm of the same array do not.
# Seen:      576 patches of ones, as bfloat16: mean 0.4453, sum 256; as float16: mean 1.0, sum 576. Two thousand and
#            forty-eight ones as bfloat16: norm 45.2548, square root of the sum of squares 16.
# Expected:  what float16 gives: numpy adds half precision in float32. bfloat16 has the range of float32, so nothing
#            overflows and no warning comes, and two ways to write one norm should agree.
# Matters:   weights and features are often stored as bfloat16. Pooling the 576 patches of a ViT-L/14 at 336 pixels
#            gives less than half of the mean, features with large values lose more than others, and vectors divided
#            by (x * x).sum() ** 0.5 are almost three times too long. Shapes and types are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet ml_dtypes==0.6.0 safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file, save_file

found = []
for kind in (np.float32, np.float16, ml_dtypes.bfloat16):
    save_file({"patches": np.ones((576, 4), kind), "vector": np.ones(2048, kind)}, "features.safetensors")
    held = load_file("features.safetensors")
    patches, vector = held["patches"], held["vector"]
    values = [
        patches.mean(axis=0)[0],
        patches.sum(axis=0)[0],
        np.linalg.norm(vector),
        float((vector * vector).sum()) ** 0.5,
        vector @ vector,
    ]
    found.append([round(float(value), 4) for value in values])
    print(f"{patches.dtype}: mean, sum of 576 ones; norm, root of the sum of squares, product of 2048 ones: {found[-1]}")
if found != [
    [1.0, 576.0, 45.2548, 45.2548, 2048.0],
    [1.0, 576.0, 45.25, 45.2548, 2048.0],
    [0.4453, 256.0, 45.2548, 16.0, 2048.0],
]:
    sys.exit("CHANGED: this is no longer what ml_dtypes 0.6.0 did")
PY
