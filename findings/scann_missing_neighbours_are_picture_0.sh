#!/usr/bin/env bash
# Package:   scann 1.4.2 (Google's index), with numpy 2.4.6.
# Behaviour: `search_batched` fills the places for which the searched leaves hold no neighbour with index 0 and distance
#            NaN. Index 0 is the first vector of the collection. `search`, for one query, returns fewer neighbours.
# Seen:      200 unit vectors on a circle in 20 leaves, of which one is searched, 50 neighbours asked for. A query on the
#            other side of the circle from vector 0: `search` returns the vectors of one leaf, without 0; the row of
#            `search_batched` has the same, and then zeros up to 50, all with NaN.
# Expected:  -1, as in faiss, or a masked place, or an error. The indices are unsigned, so that -1 is not possible, but
#            the number of vectors would be.
# Matters:   whoever counts recall by the indices finds picture 0 for every query whose leaves are short: its captions
#            count as right, and a page of results shows it many times. Comparisons of NaN are false, so a threshold
#            removes these places with `>=` and keeps them with `not (d < t)`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet scann==1.4.2 numpy==2.4.6
venv/bin/python - 2>/dev/null <<'PY'
import sys

import numpy as np
import scann

ROWS, ASKED = 200, 50
angles = np.arange(ROWS) * 2 * np.pi / ROWS
vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
builder = scann.scann_ops_pybind.builder(vectors, ASKED, "dot_product")
tree = builder.tree(num_leaves=20, num_leaves_to_search=1, training_sample_size=ROWS)
searcher = tree.score_brute_force().build()

opposite = vectors[ROWS // 2]
one, _ = searcher.search(opposite, final_num_neighbors=ASKED)
many, distances = searcher.search_batched(opposite[None], final_num_neighbors=ASKED)
row, missing = many[0], np.isnan(distances[0])
found = row[~missing]
print("search:                 ", len(one), "neighbours, 0 among them:", 0 in one)
print("search_batched:         ", len(row), "neighbours,", int((row == 0).sum()), "times 0; dtype", row.dtype)
print("of these with a distance:", len(found), "equal to those of search:", sorted(found) == sorted(one))
print("distances of the rest:  ", set(map(str, distances[0][missing])))
if (
    not 0 < len(one) < ASKED
    or 0 in one
    or len(row) != ASKED
    or sorted(found) != sorted(one)
    or not missing.any()
    or (row[missing] != 0).any()
):
    print("CHANGED: this is no longer what scann 1.4.2 did")
    sys.exit(1)
PY
