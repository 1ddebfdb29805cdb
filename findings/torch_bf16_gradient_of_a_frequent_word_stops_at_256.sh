#!/usr/bin/env bash
# Package:   torch 2.14.1, on a CPU.
# Behaviour: the gradient of a row of an nn.Embedding in bfloat16 is added up in bfloat16, one occurrence after the
#            other, so that it stops where one more is less than half of the last digit. index_select on the same weight
#            does not: its gradient is added up in more digits and rounded once.
# Seen:      the gradient of the word that begins n captions, where each occurrence gives 1: of 128, 256, 300, 512 and
#            2,000 captions 128, 256, 256, 256, 256 by nn.Embedding; 128, 256, 300, 512, 2000 by index_select.
# Expected:  the same from both, which are the same function, and n: torch's sum of n ones in bfloat16 is n.
# Matters:   <start>, <end> and padding are in every caption. Of a text encoder in pure bfloat16 that is trained on a
#            CPU, the words that occur most learn too little, the less the larger the batch; rare words are right,
#            the loss falls, and float32 and autocast, where the embedding stays in float32, do not show it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet torch==2.14.1
venv/bin/python - <<'PY'
import sys

import torch

found = []
for captions in (128, 256, 300, 512, 2000):
    words = torch.nn.Embedding(5, 8, dtype=torch.bfloat16)
    first = torch.zeros(captions, dtype=torch.int64)  # the id of <start>
    for embed in (words, lambda ids: words.weight.index_select(0, ids)):
        words.zero_grad()
        embed(first).sum().backward()
        found.append(words.weight.grad[0, 0].item())
    total = torch.ones(captions, dtype=torch.bfloat16).sum().item()
    print(captions, "captions: gradient of <start>", found[-2], "by nn.Embedding,", found[-1], "by index_select; sum of ones", total)
if found != [128.0, 128.0, 256.0, 256.0, 256.0, 300.0, 256.0, 512.0, 256.0, 2000.0]:
    sys.exit("CHANGED: this is no longer what torch 2.14.1 did")
PY
