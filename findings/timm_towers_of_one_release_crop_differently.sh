#!/usr/bin/env bash
# Package:   timm 1.0.31 and open_clip_torch 3.3.0, with torch 2.14.1, torchvision 0.29.1 and pillow 13.0.0.
# Behaviour: the evaluation transform that timm resolves for the image tower of a dual encoder is not that of the dual
#            encoder for OpenAI's base models and most of SigLIP: it has the crop_pct 0.9 of ImageNet classifiers. The
#            towers of OpenAI's large models and LAION's ViT-B-16 have 1.0, as in open_clip.
# Seen:      columns that are left of a picture of 640 x 320 pixels, in percent of its width. OpenAI ViT-B-16: 27 to 73
#            in timm, 25 to 75 in open_clip; ViT-L-14, and LAION's ViT-B-16: 25 to 75 in both. SigLIP and SigLIP 2
#            ViT-B-16: 27 to 73 in timm, 0 to 100 in open_clip, which squashes the picture as in their training.
# Expected:  one picture for one release of weights. The packages share maintainers, and both name the repository
#            timm/vit_base_patch16_clip_224.openai for the first tower.
# Matters:   features extracted with timm are of a narrower picture than the text tower was trained with. For SigLIP more
#            than half of a wide picture is gone, and what captions say of its sides with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet timm==1.0.31 open_clip_torch==3.3.0 torch==2.14.1 torchvision==0.29.1 \
  pillow==13.0.0 numpy==2.4.6
HF_HOME="$work" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys

import numpy as np
import open_clip
import timm
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

NARROW, HALF, ALL = (27, 73), (25, 75), (0, 100)
SEEN = {
    ("vit_base_patch16_clip_224.openai", "ViT-B-16", "openai"): (NARROW, HALF),
    ("vit_large_patch14_clip_224.openai", "ViT-L-14", "openai"): (HALF, HALF),
    ("vit_base_patch16_clip_224.laion2b", "ViT-B-16", "laion2b_s34b_b88k"): (HALF, HALF),
    ("vit_base_patch16_siglip_224.webli", "ViT-B-16-SigLIP", "webli"): (NARROW, ALL),
    ("vit_base_patch16_siglip_224.v2_webli", "ViT-B-16-SigLIP2", "webli"): (NARROW, ALL),
}
# A ramp from black on the left to white on the right: the grey of a pixel tells its column.
grey = np.tile(np.linspace(0, 255, 640), (320, 1)).round().astype(np.uint8)
picture = Image.fromarray(np.stack([grey] * 3, axis=2))


def look(transform, mean, std):
    """Return the first and the last column that a transform leaves, in percent of the width."""
    row = transform(picture)[0, 112] * std[0] + mean[0]
    return round(row[0].item() * 100), round(row[-1].item() * 100)


changed = False
for (tower, model, weights), seen in SEEN.items():
    in_timm = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(tower).to_dict())
    in_open_clip = open_clip.get_pretrained_cfg(model, weights)
    fields = {name: in_open_clip[name] for name in ("mean", "std", "interpolation", "resize_mode")}
    transforms = [
        timm.data.create_transform(**in_timm, is_training=False),
        image_transform_v2(PreprocessCfg(size=224, **fields), is_train=False),
    ]
    left = tuple(look(transform, fields["mean"], fields["std"]) for transform in transforms)
    print(f"{tower:37} timm {left[0]} crop_pct {in_timm['crop_pct']}  open_clip {left[1]} {fields['resize_mode']}")
    changed |= left != seen
if changed:
    sys.exit("CHANGED: this is no longer what timm 1.0.31 and open_clip_torch 3.3.0 did")
PY
