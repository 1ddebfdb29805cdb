#!/usr/bin/env bash
# Package:   transformers 5.24.0 and clip-anytorch 2.6.0 (OpenAI's code), with ftfy 6.3.1 and regex 2026.11.19.
# Behaviour: CLIPTokenizer, built from CLIP's own vocabulary, does not clean a caption as CLIP does: typographic
#            apostrophes and quotes are not made plain, HTML entities not decoded, ligatures not split.
# Seen:      "a man’s hat" has 4 tokens in CLIP, those of "a man's hat", and 6 in transformers, with "’" as two tokens
#            that are parts of bytes; "salt &amp; pepper" has 3 and 5; "a “red” ball" 5 and 7; the "fi" of "fish" as one
#            sign gives 1 token and 4. Captions of plain letters and accents are the same in both.
# Expected:  one sequence for one vocabulary. Versions of transformers before 5 did clean with ftfy in CLIPTokenizer,
#            where it was installed.
# Matters:   captions typed on phones, and alternative texts of web pages, are full of these signs. Their embeddings
#            differ from those of CLIP with the same weights, and R@k of the two packages with them. A caption
#            also loses its last words sooner at 77 tokens.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet transformers==5.24.0 ftfy==6.3.1 regex==2026.11.19 numpy==2.4.6
venv/bin/python -m pip install --quiet --no-deps clip-anytorch==2.6.0
HF_HOME="$work" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import importlib.util
import json
import sys
from importlib.metadata import distribution

from transformers import CLIPTokenizer

# The module alone, since the package itself needs PyTorch.
path = distribution("clip-anytorch").locate_file("clip/simple_tokenizer.py")
spec = importlib.util.spec_from_file_location("simple_tokenizer", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
original = module.SimpleTokenizer()

with open("vocab.json", "w") as file:
    json.dump(original.encoder, file)
with open("merges.txt", "w") as file:
    file.write("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in original.bpe_ranks))
tokenizer = CLIPTokenizer.from_pretrained(".")

SEEN = {
    "a man's hat": (4, 4),
    "a man\u2019s hat": (4, 6),
    "a \u201cred\u201d ball": (5, 7),
    "salt & pepper": (3, 3),
    "salt &amp; pepper": (3, 5),
    "fish": (1, 1),
    "\ufb01sh": (1, 4),
    "Two DOGS at a caf\u00e9, 25 \u00b0C": None,
}
changed = False
for caption, seen in SEEN.items():
    ours, theirs = original.encode(caption), tokenizer(caption, add_special_tokens=False)["input_ids"]
    print(f"{caption:28} CLIP {len(ours)} {ours}  transformers {len(theirs)} {theirs}")
    plain = seen is None or seen[0] == seen[1]
    changed |= (ours == theirs) != plain or (seen is not None and (len(ours), len(theirs)) != seen)
if changed or original.encode("a man\u2019s hat") != original.encode("a man's hat"):
    sys.exit("CHANGED: this is no longer what transformers 5.24.0 and clip-anytorch 2.6.0 did")
PY
