#!/usr/bin/env bash
# Package:   torcheval 0.0.7 with torch 2.13.0 and numpy 2.4.6, on the CPU.
# Behaviour: hit_rate and reciprocal_rank count the scores that are greater than that of the right item. Equal scores
#            and NaN are not greater, so a model that gives one score to all, or NaN to all, is perfect. The multiclass
#            accuracy and the retrieval precision of the same package, with k=1, say otherwise for the same scores.
# Seen:      four captions, ten pictures, all scores 0.5, and all NaN: hit rate@1 1.0, reciprocal rank 1.0. Accuracy of
#            the scores 0.5: 0.25 (one caption has the first picture). Retrieval precision@1 of ten equal scores, each
#            picture being the right one in turn: mean 0.1.
# Expected:  a model that tells nothing apart has about the value of chance, 0.1, and NaN is an error or a miss; with
#            one right item hit rate@1, accuracy and precision@1 are one number.
# Matters:   collapse to one point and divergence to NaN are the two ways in which training with hard negatives fails.
#            The best checkpoint by this measure is the first broken one.
# The CPU build of torch is enough (pip takes it where its index has it); otherwise some GB are downloaded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet torcheval==0.0.7 torch==2.13.0 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys

import torch
from torcheval.metrics.functional import hit_rate, multiclass_accuracy, reciprocal_rank, retrieval_precision

right = torch.tensor([0, 3, 5, 9])
found = {}
for title, value in (("equal", 0.5), ("NaN", float("nan"))):
    scores = torch.full((4, 10), value)
    found[title] = [float(measure.mean()) for measure in (hit_rate(scores, right, k=1), reciprocal_rank(scores, right))]
    print(f"{title} scores: hit rate@1, reciprocal rank {found[title]}")
accuracy = float(multiclass_accuracy(torch.full((4, 10), 0.5), right, k=1))
precision = sum(float(retrieval_precision(torch.full((10,), 0.5), row, k=1)) for row in torch.eye(10)) / 10
print("equal scores: accuracy", accuracy, "mean retrieval precision@1", precision)
if found != {"equal": [1.0, 1.0], "NaN": [1.0, 1.0]} or accuracy != 0.25 or precision != 0.1:
    sys.exit("CHANGED: this is no longer what torcheval 0.0.7 did")
PY
