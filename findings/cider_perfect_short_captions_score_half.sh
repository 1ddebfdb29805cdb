#!/usr/bin/env bash
# Package:   pycocoevalcap 1.2 (Cider, the CIDEr-D that captioning papers report), with numpy 2.4.6, pycocotools 2.0.11.
# Behaviour: the value of a caption is the mean over 1- to 4-grams times ten, also where a caption is too short to have
#            4-grams. A caption that equals its reference gets ten only from four words on. With a single picture every
#            value is zero, since the weight of a word is the logarithm of the number of pictures over those it is in.
# Seen:      captions that are their own references: four words and more 10.0, three words 7.5, two words 5.0, one word
#            2.5; the same eight-word caption alone in the evaluation 0.0.
# Expected:  the maximum for a caption that equals its reference, or 4-grams left out of the mean where there are none,
#            and an error for one picture. BLEU has a brevity penalty for the same reason, which compares with the
#            reference; this one does not.
# Matters:   class names, tags and terse captions are scored against a ceiling that their length sets; a mean over
#            pictures then ranks models by the length of their captions. A script tried on one picture shows zero.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pycocoevalcap==1.2 pycocotools==2.0.11 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

from pycocoevalcap.cider.cider import Cider

captions = [
    "a brown dog runs along the wet beach",
    "two children play chess",
    "cats sleep indoors",
    "horses gallop",
    "sunset",
]
equal = {number: [caption] for number, caption in enumerate(captions)}
_, values = Cider().compute_score(equal, equal)
alone, _ = Cider().compute_score({0: captions[:1]}, {0: captions[:1]})
found = [round(float(value), 6) for value in [*values, alone]]
for caption, value in zip([*captions, f"{captions[0]} (the only picture)"], found, strict=True):
    print(f"{value:5.2f}  {caption}")
if found != [10.0, 10.0, 7.5, 5.0, 2.5, 0.0]:
    sys.exit("CHANGED: this is no longer what pycocoevalcap 1.2 did")
PY
