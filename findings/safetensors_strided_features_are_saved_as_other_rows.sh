#!/usr/bin/env bash
# Package:   safetensors 0.8.0 and 0.7.0, with numpy 2.4.6.
# Behaviour: `safetensors.numpy.save_file` of 0.8.0 writes an array that is not contiguous as the bytes that follow its
#            first element: the file has the right names, shapes and types, and other numbers. 0.7.0 wrote the array.
# Seen:      features of 4 pictures, each five times, one for each caption, as in COCO. `features[::5]`, saved and loaded:
#            pictures 0, 1, 2, 3 with 0.7.0; 0, 0, 0, 0 with 0.8.0. The first half of the dimensions, `features[:, :2]`,
#            and a transpose are also others.
# Expected:  the array, as from numpy.save, or the ValueError that safetensors.torch raises. The docstring asks for
#            contiguous arrays in both releases; nothing checks it.
# Matters:   every fifth row is how the pictures are taken from features by caption. After an upgrade the file of pictures
#            is wrong, and R@k falls to chance without a word; truncated (Matryoshka) and transposed features as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > save.py <<'PY'
import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

pictures = np.arange(4, dtype=np.float32)[:, None] * 10 + np.arange(4, dtype=np.float32)
features = np.repeat(pictures, 5, axis=0)
arrays = {
    "features[::5]": features[::5],
    "features[:, :2]": features[:, :2],
    "pictures.T": pictures.T,
    "features[5:10]": features[5:10],
}
save_file(arrays, "features.safetensors")
loaded = load_file("features.safetensors")
print("features[::5]: pictures", [int(row[0]) // 10 for row in loaded["features[::5]"]], file=sys.stderr)
print(json.dumps({name: np.array_equal(loaded[name], array) for name, array in arrays.items()}))
PY
for version in 0.7.0 0.8.0; do
  "${PYTHON:-python3}" -m venv "$version"
  "$version/bin/python" -m pip install --quiet safetensors=="$version" numpy==2.4.6
  echo "safetensors $version"
  "$version/bin/python" save.py | tee "$version.json"
done
right='{"features[::5]": true, "features[:, :2]": true, "pictures.T": true, "features[5:10]": true}'
wrong='{"features[::5]": false, "features[:, :2]": false, "pictures.T": false, "features[5:10]": true}'
if [ "$(cat 0.7.0.json)" != "$right" ] || [ "$(cat 0.8.0.json)" != "$wrong" ]; then
  echo "CHANGED: this is no longer what safetensors 0.7.0 and 0.8.0 did"
  exit 1
fi
