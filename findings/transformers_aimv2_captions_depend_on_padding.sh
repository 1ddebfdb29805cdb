#!/usr/bin/env bash
# Package:   transformers 5.24.0 with torch 2.13.0.
# Behaviour: the text tower of Aimv2Model is causal only where a caption of the batch is padded. Where all captions
#            have one length, or one is alone, its tokens attend to later tokens too. So it is with the default
#            attention (sdpa); with eager attention a mask of ones makes it causal, and no mask does not.
# Seen:      two captions of 7 and 4 tokens, noise of deviation 0.5 on new weights. The embedding of the longer, which is
#            never padded, alone and beside the shorter: cosine 0.92 with sdpa, 1.0 with eager. A change of its sixth
#            token alters the five before it where it is alone, and none of them in the batch.
# Expected:  one embedding of a caption whatever it is batched with: CLIPModel of the same sizes has cosine 1.0.
# Matters:   the batch size, the order of captions and the last batch of a data set move their embeddings and so R@k; the
#            queries of a search, which come one by one, are embedded in another way than the captions of the index.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet transformers==5.24.0 torch==2.13.0 numpy==2.4.6
HF_HOME="$work" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import sys

import torch
from transformers import Aimv2Config, Aimv2Model, CLIPConfig, CLIPModel

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
START, END, PAD = 62, 63, 0
TEXT = {"vocab_size": 64, "max_position_embeddings": 20, "bos_token_id": START, "eos_token_id": END, **SIZES}
VISION = {"image_size": 8, "patch_size": 4, **SIZES}
caption = [START, 7, 8, 9, 10, 11, END]
alone = torch.tensor([caption])
beside = torch.tensor([caption, [START, 5, 6, END, PAD, PAD, PAD]])


@torch.no_grad()
def compare(kind, config, attention):
    """Return the cosine of a caption alone and in a batch, and how many earlier tokens see a change, in both."""
    torch.manual_seed(0)
    model = kind(config(text_config=TEXT, vision_config=VISION, projection_dim=16)).eval()
    model.set_attn_implementation(attention)
    for parameter in model.parameters():
        parameter.add_(0.5 * torch.randn(parameter.shape))
    embeddings, seeing = [], []
    for ids in (alone, beside):
        mask = (ids != PAD).long()
        embeddings.append(model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output[0])
        changed = ids.clone()
        changed[0, 5] = 20
        before, after = (model.text_model(input_ids=i, attention_mask=mask)[0][0] for i in (ids, changed))
        seeing.append(int(((before - after).abs().amax(dim=1)[:5] > 1e-4).sum()))
    return round(torch.cosine_similarity(*embeddings, dim=0).item(), 2), *seeing


found = {}
for kind, config in ((Aimv2Model, Aimv2Config), (CLIPModel, CLIPConfig)):
    for attention in ("sdpa", "eager"):
        cosine, before, after = found[kind.__name__, attention] = compare(kind, config, attention)
        print(f"{kind.__name__:10} {attention:5} alone and in a batch: cosine {cosine}", end="  ")
        print(f"of 5 earlier tokens see token 6: alone {before}, in the batch {after}")
differs = found.pop(("Aimv2Model", "sdpa"))
if not (abs(differs[0] - 0.92) < 0.011 and differs[1:] == (5, 0)) or any(values != (1.0, 0, 0) for values in found.values()):
    sys.exit("CHANGED: this is no longer what transformers 5.24.0 did")
PY
