#!/usr/bin/env bash
# Package:   ir-measures 0.4.3 with pytrec_eval-terrier 0.5.11 and numpy 2.4.6.
# Behaviour: RR and RR@k of one call follow opposite rules for equal scores. RR, like Success@k and P@k, ranks the
#            greater document id first; RR@k, which another provider computes, ranks the smaller id first.
# Seen:      five pictures with one score. For the caption of img0: RR 0.2, RR@1 1.0, RR@5 1.0, Success@1 0.0. For the
#            caption of img4: RR 1.0, RR@1 0.0, RR@5 0.2, Success@1 1.0.
# Expected:  RR@k is RR with what is below rank k set to 0, so RR@k <= RR; and RR@1, Success@1 and P@1 are one number
#            where one document is relevant. Measures of one call should describe one ranking.
# Matters:   a collapsed model, half precision and repeated pictures make ties. R@1 and MRR@10 of such an evaluation
#            contradict each other, and a cutoff makes MRR larger.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet ir-measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import ir_measures
from ir_measures import RR, P, Success

MEASURES = [RR, RR @ 1, RR @ 5, Success @ 1, P @ 1]
pictures = [f"img{number}" for number in range(5)]
run = {"caption": dict.fromkeys(pictures, 0.5)}
found = {}
for right in pictures:
    values = ir_measures.calc_aggregate(MEASURES, {"caption": {right: 1}}, run)
    found[right] = [round(values[measure], 3) for measure in MEASURES]
    print(f"right picture {right}:", *(f"{measure} {value}" for measure, value in zip(MEASURES, found[right])), sep="  ")
seen = {
    "img0": [0.2, 1.0, 1.0, 0.0, 0.0],
    "img1": [0.25, 0.0, 0.5, 0.0, 0.0],
    "img2": [0.333, 0.0, 0.333, 0.0, 0.0],
    "img3": [0.5, 0.0, 0.25, 0.0, 0.0],
    "img4": [1.0, 0.0, 0.2, 1.0, 1.0],
}
if found != seen:
    sys.exit("CHANGED: this is no longer what ir-measures 0.4.3 did")
PY
