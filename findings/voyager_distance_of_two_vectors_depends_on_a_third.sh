#!/usr/bin/env bash
# Package:   voyager 2.2.3 (Spotify's index), Space.InnerProduct, with numpy 2.4.6.
# Behaviour: Index.get_distance of two given vectors is not one minus their inner product, as the distances of `query`
#            are. It changes with what else was added: it grows more negative with the longest vector in the index.
# Seen:      two unit vectors at a right angle. With these two alone in the index: distance to itself 0.0, between them
#            1.0. After a vector of length 3 was added: -4.0 and -3.0; after one of length 30: -841.0 and -840.0.
#            `query` says 0.0 and 1.0 throughout.
# Expected:  the same number as `query` for the same two vectors, whatever else the index holds. Both vectors are given
#            to the method, which is described as the distance between them.
# Matters:   a threshold (near duplicate, no match) that is tested with get_distance and applied to the results of query
#            is off by hundreds, and moves when a longer vector comes in. Lengths differ in embeddings that are not
#            normalised, such as the features of dot-product models.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet voyager==2.2.3 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
from voyager import Index, Space

a, b = np.eye(2, dtype=np.float32)
index = Index(Space.InnerProduct, num_dimensions=2)
index.add_item(a, 0)
index.add_item(b, 1)
found = []
for length in (1, 3, 30):
    if length > 1:
        index.add_item(length * a, length)
    ids, distances = index.query(a, k=len(index))
    queried = {int(key): float(distance) for key, distance in zip(ids, distances, strict=True)}
    direct = index.get_distance(a, a), index.get_distance(a, b)
    found.append((direct, (queried[0], queried[1])))
    print(f"longest vector {length}: get_distance a-a, a-b {direct}; query {found[-1][1]}")
right = (0.0, 1.0)
if found != [((0.0, 1.0), right), ((-4.0, -3.0), right), ((-841.0, -840.0), right)]:
    sys.exit("CHANGED: this is no longer what voyager 2.2.3 did")
PY
