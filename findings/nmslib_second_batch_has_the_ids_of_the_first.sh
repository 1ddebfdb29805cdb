#!/usr/bin/env bash
# Package:   nmslib 2.1.2, with numpy 2.4.6.
# Behaviour: `addDataPointBatch` without ids numbers the vectors of each call from 0. The vectors of a second shard get
#            the ids of the first; nothing is overwritten and nothing is reported.
# Seen:      six vectors on the axes, added as shards of three. The vector on axis 4 finds id 1, at distance 0, and so does
#            that on axis 1. The index has 6 vectors and ids 0, 1 and 2 only. Added in one call, or vector by vector with
#            `addDataPoint`, they have ids 0 to 5.
# Expected:  the docstring promises the row in the data set. That is the place in the index: `index[4]` is the vector on
#            axis 4. faiss and usearch continue from the length of the index.
# Matters:   embeddings come in shards. Pictures of the second shard are shown, and counted, as pictures of the first,
#            while the number of vectors and all distances are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet nmslib==2.1.2 numpy==2.4.6
venv/bin/python - 2>/dev/null <<'PY'
import sys

import nmslib
import numpy as np

vectors = np.eye(6, dtype=np.float32)


def search(shards):
    """Add the shards in calls of their own, and return the id of the nearest of each vector, and the index."""
    index = nmslib.init(method="brute_force", space="cosinesimil")
    for shard in shards:
        index.addDataPointBatch(shard)
    index.createIndex()
    return [int(index.knnQuery(vector, k=1)[0][0]) for vector in vectors], index


one, _ = search([vectors])
two, index = search([vectors[:3], vectors[3:]])
ids, distances = index.knnQuery(vectors[4], k=6)
print("nearest of vectors 0 to 5, added in one call:  ", one)
print("nearest of vectors 0 to 5, added as two shards:", two, "in an index of", len(index))
print("all of vector 4:", ids.tolist(), distances.tolist())
print("index[4]:", list(index[4]))
if one != [0, 1, 2, 3, 4, 5] or two != [0, 1, 2, 0, 1, 2] or distances[0] != 0 or list(index[4]) != list(vectors[4]):
    print("CHANGED: this is no longer what nmslib 2.1.2 did")
    sys.exit(1)
PY
