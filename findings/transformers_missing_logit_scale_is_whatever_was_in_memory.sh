#!/usr/bin/env bash
# Package:   transformers 5.24.0 with torch 2.13.0 and safetensors 0.8.0.
# Behaviour: CLIPModel.from_pretrained on weights without logit_scale leaves that parameter as it was allocated: the
#            model has whatever number stood in the memory. Only the list of missing keys tells; the other parameters
#            that a file lacks are drawn, and SiglipModel gives its logit_scale the value of a new model.
# Seen:      three loads of one folder in one process: 0.0097, 7.3e-15 and 7.3e-15; in the next: 0.0, -5.5e+13 and
#            1.2e-38. A new model has 2.6592, as its configuration says (logit_scale_init_value).
# Expected:  2.6592 each time, or an exception.
# Matters:   files of two towers that were trained apart, or exported for their embeddings, have no scale. Scores are
#            cosines times exp(logit_scale): 1, 0 or infinite here instead of 14.3, and another at each start, so that
#            zero-shot probabilities are all equal or NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet transformers==5.24.0 torch==2.13.0 safetensors==0.8.0 numpy==2.4.6
HF_HOME="$work" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import sys

from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT, VISION = {"vocab_size": 64, **TOWER}, {"image_size": 8, "patch_size": 4, **TOWER}


def load_without_scale(model, name):
    """Return the scale of a new model, and those of three loads of its weights without a scale."""
    model.save_pretrained(name)
    tensors = load_file(f"{name}/model.safetensors")
    del tensors["logit_scale"]
    save_file(tensors, f"{name}/model.safetensors", metadata={"format": "pt"})
    loaded = [type(model).from_pretrained(name).logit_scale for _ in range(3)]
    return model.logit_scale.item(), [scale.item() for scale in loaded]


clip = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16))
siglip = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))
new, seen = load_without_scale(clip, "clip")
print("CLIPModel: new", new, "configured", clip.config.logit_scale_init_value, "loaded without logit_scale", seen)
siglip_new, siglip_seen = load_without_scale(siglip, "siglip")
print("SiglipModel: new", siglip_new, "loaded without logit_scale", siglip_seen)
if abs(new - 2.6592) > 1e-4 or any(abs(scale - new) < 1e-3 for scale in seen) or len(set(siglip_seen)) != 1:
    sys.exit("CHANGED: this is no longer what transformers 5.24.0 did")
PY
