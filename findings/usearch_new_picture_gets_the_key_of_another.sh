#!/usr/bin/env bash
# Package:   usearch 2.26.6 (Index), with numpy 2.4.6.
# Behaviour: a key that the index chooses (keys=None) is the number of vectors, also after one was removed. It is then
#            a key in use. An index with multi=True takes the new vector under that key beside the other; a plain one
#            raises. An index whose keys were given goes on from its size as well.
# Seen:      keys 0, 1, 2, 3; 1 removed; the next vector. multi=True: key 3 again, and get(3) gives two vectors. Plain:
#            RuntimeError "Duplicate keys not allowed in high-level wrappers". Keys 10, 11, 12 given, then None: key 3.
# Expected:  a key that is free, as an automatic id of a database is, or the removed one. The caller gave no key, so
#            cannot have given one twice.
# Matters:   a picture collection loses and gains pictures. With several vectors for a picture (multi=True: five captions,
#            regions) the new picture's vector is filed under another picture, which is then found for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet usearch==2.26.6 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import numpy as np
from usearch.index import Index

rows = np.eye(5, dtype=np.float32)


def add_after_removal(multi: bool) -> tuple[list[int], object, int]:
    index = Index(ndim=5, metric="cos", dtype="f32", multi=multi)
    first = [int(key) for key in index.add(None, rows[:4])]
    index.remove(1)
    try:
        new: object = [int(key) for key in index.add(None, rows[4:])]
    except RuntimeError as error:
        new = str(error)
    return first, new, int(index.count(3))


several, plain = add_after_removal(multi=True), add_after_removal(multi=False)
given = Index(ndim=5, metric="cos", dtype="f32")
given.add(np.array([10, 11, 12]), rows[:3])
after = [int(key) for key in given.add(None, rows[3:4])]
print("multi=True:  keys, new key after key 1 was removed, vectors under key 3:", *several)
print("multi=False: keys, new key after key 1 was removed, vectors under key 3:", *plain)
print("new key after 10, 11, 12:", after)
if (
    several != ([0, 1, 2, 3], [3], 2)
    or plain != ([0, 1, 2, 3], "Duplicate keys not allowed in high-level wrappers", 1)
    or after != [3]
):
    sys.exit("CHANGED: this is no longer what usearch 2.26.6 did")
PY
