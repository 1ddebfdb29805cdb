#!/usr/bin/env bash
# Package:   pycocotools 2.0.11 (COCO, on a file of captions), with numpy 2.4.6.
# Behaviour: getImgIds(imgIds=...) goes through a set: the ids come in another order than they were given in, and an id
#            that the file does not have is returned as if it had. Without arguments the order is that of the file.
#            getAnnIds keeps the order of the ids, and leaves out images that are not there.
# Seen:      ids 522418, 391895, 64, 9 and 777, which is not in the file: getImgIds gives 64, 9, 777, 522418, 391895;
#            getAnnIds gives the captions of 522418, 391895, 64, 9 in this order.
# Expected:  the ids given, in their order, less those that are not in the file: a filter, like its neighbour.
# Matters:   the order of images and the order of captions are what ties the rows of a feature file to its captions.
#            Features written in the order of getImgIds and captions in that of getAnnIds, for one list of test ids,
#            belong to different pictures, and the count is off by those that are missing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pycocotools==2.0.11 numpy==2.4.6
venv/bin/python - <<'PY'
import contextlib
import io
import json
import sys
from pathlib import Path

from pycocotools.coco import COCO

held = [391895, 9, 522418, 64]
captions = [
    {"id": 10 * place + number, "image_id": image, "caption": f"caption {number} of image {image}"}
    for place, image in enumerate(held)
    for number in range(2)
]
images = [{"id": image, "file_name": f"{image:012}.jpg"} for image in held]
Path("captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO("captions.json")
asked = [522418, 391895, 64, 9, 777]
found = coco.getImgIds(imgIds=asked)
of_captions = list(dict.fromkeys(caption["image_id"] for caption in coco.loadAnns(coco.getAnnIds(imgIds=asked))))
print("in the file:               ", coco.getImgIds())
print("asked for:                 ", asked)
print("getImgIds:                 ", found)
print("images of getAnnIds:       ", of_captions)
if coco.getImgIds() != held or found != [64, 9, 777, 522418, 391895] or of_captions != asked[:4]:
    sys.exit("CHANGED: this is no longer what pycocotools 2.0.11 did")
PY
