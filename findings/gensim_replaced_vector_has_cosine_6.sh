#!/usr/bin/env bash
# Package:   gensim 4.4.0 (KeyedVectors), with numpy 2.4.6 and scipy 1.17.1.
# Behaviour: the first search keeps the length of each vector. A vector that is replaced later, by `vectors[key] = ...` or
#            add_vectors(replace=True), is divided by the length of the old one in most_similar, similar_by_vector and
#            get_vector(norm=True). similarity and n_similarity compute the length anew. A first vector for a key of a
#            preallocated KeyedVectors (count=...) that was searched before is divided by 0. (A key beyond those raises.)
# Seen:      "dog" (1, 0), "cat" (0.9, 0.1) and "car" (0, 1); most_similar("dog"); then "car" is (6, 8). most_similar("dog"):
#            car 6.0, cat 0.99; similarity("dog", "car"): 0.6; get_vector("car", norm=True): length 10. Preallocated:
#            cosine inf, with a warning of numpy. fill_norms(force=True) before the search makes it right: cat 0.99, car 0.6.
# Expected:  car 0.6, second to cat. Both ways to replace are public, and their documentation asks for nothing after it;
#            that of fill_norms asks whoever modifies vectors to see to the lengths, which these methods do not.
# Matters:   word vectors are replaced by better ones, and a store of picture vectors by those of a new model, mostly of
#            another length: searches then give neighbours in a wrong order, with cosines that are wrong by a factor.
#            Where old and new length differ little, no cosine is above 1 to show it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet gensim==4.4.0 numpy==2.4.6 scipy==1.17.1
venv/bin/python -W ignore - <<'PY'
import sys

import numpy as np
from gensim.models import KeyedVectors


def search(vectors: KeyedVectors) -> list[tuple[str, float]]:
    return [(key, round(float(cosine), 2)) for key, cosine in vectors.most_similar("dog") if key]


words = KeyedVectors(2)
words.add_vectors(["dog", "cat", "car"], np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32))
found = {"at first": search(words)}
words["car"] = np.array([6, 8], np.float32)
found["car replaced"] = search(words)
pair = round(float(words.similarity("dog", "car")), 2)
length = round(float(np.linalg.norm(words.get_vector("car", norm=True))), 2)
words.fill_norms(force=True)
found["lengths computed again"] = search(words)

slots = KeyedVectors(2, count=2)
slots.add_vector("dog", np.array([1, 0], np.float32))
search(slots)
slots.add_vector("cat", np.array([0.9, 0.1], np.float32))
found["preallocated"] = search(slots)

for name, neighbours in found.items():
    print(f"{name}: {neighbours}")
print(f"similarity: {pair}, length of the normalized vector: {length}")
if (pair, length) != (0.6, 10.0) or found != {
    "at first": [("cat", 0.99), ("car", 0.0)],
    "car replaced": [("car", 6.0), ("cat", 0.99)],
    "lengths computed again": [("cat", 0.99), ("car", 0.6)],
    "preallocated": [("cat", float("inf"))],
}:
    sys.exit("CHANGED: this is no longer what gensim 4.4.0 did")
PY
