#!/usr/bin/env bash
# Package:   torchmetrics 1.9.0 with torch 2.13.0.
# Behaviour: reciprocal rank, average precision, precision and recall count a relevant item only if its score is above 0.
#            Hit rate, normalized DCG and R-precision count it whatever its score.
# Seen:      four captions, four pictures, every caption ranks its own picture first. With cosines of 0.1 to 0.4 all seven
#            measures are 1. With the same scores less 0.25, in the same order, MRR, MAP, precision@1 and recall@1 are 0.5;
#            less 0.5 they are 0. Hit rate@1, nDCG and R-precision stay 1.
# Expected:  measures of a ranking depend on the order of the scores alone; hit rate@1 and recall@1 are one number where
#            one picture is right. The class documentation asks for "float predictions from a model output"; that of the
#            functions speaks of probabilities, and nothing is raised.
# Matters:   cosines, logits with a bias as in SigLIP, and negated distances can be below 0 for right pairs. Scored by
#            negated distances, every model has recall 0; by logits, recall grows when a constant is added.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import torch
from torchmetrics import retrieval

MEASURES = {
    "MRR": retrieval.RetrievalMRR(),
    "MAP": retrieval.RetrievalMAP(),
    "precision@1": retrieval.RetrievalPrecision(top_k=1),
    "recall@1": retrieval.RetrievalRecall(top_k=1),
    "hit rate@1": retrieval.RetrievalHitRate(top_k=1),
    "nDCG": retrieval.RetrievalNormalizedDCG(),
    "R-precision": retrieval.RetrievalRPrecision(),
}
COUNT = 4
right = torch.eye(COUNT, dtype=torch.bool)
caption = torch.arange(COUNT)[:, None].expand(COUNT, COUNT)
cosines = torch.full((COUNT, COUNT), 0.05)
cosines[right] = torch.tensor([0.1, 0.2, 0.3, 0.4])

found = {}
for name, measure in MEASURES.items():
    values = []
    for shift in (0.0, -0.25, -0.5):
        measure.reset()
        measure.update(cosines + shift, right, indexes=caption)
        values.append(round(measure.compute().item(), 3))
    found[name] = values
    print(f"{name:12} cosines {values[0]}  less 0.25 {values[1]}  less 0.5 {values[2]}")
DEPEND, INDEPENDENT = [1.0, 0.5, 0.0], [1.0, 1.0, 1.0]
order_alone = ["hit rate@1", "nDCG", "R-precision"]
if found != {name: INDEPENDENT if name in order_alone else DEPEND for name in MEASURES}:
    sys.exit("CHANGED: this is no longer what torchmetrics 1.9.0 did")
PY
