#!/usr/bin/env bash
# Package:   huggingface_hub 2.4.0 (EvalResult, ModelCardData, ModelCard).
# Behaviour: results of one task, dataset type and split become one entry of the model-index, whatever their dataset
#            name and dataset arguments are. The entry takes name and arguments of the first result. A card that has
#            two entries is read rightly, and loses the second as soon as it is written.
# Seen:      R@1 64.6 of "COCO 1K" (args protocol: folds) and 41.3 of "COCO 5K" (args protocol: all), both of type
#            coco and split test: after writing, "COCO 1K" with protocol folds has two values of R@1.
# Expected:  two entries, as the format has a name and arguments for each, or an error. The class compares results by
#            all of these fields elsewhere (is_equal_except_value).
# Matters:   COCO is reported on one split by two protocols, the mean of five folds of 1,000 pictures and all 5,000.
#            Changing the licence of a card is enough to turn the harder figure into a second one of the easier test.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet huggingface_hub==2.4.0
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys

from huggingface_hub import ModelCard

CARD = """---
license: unknown
model-index:
- name: VSE++
  results:
  - task: {type: image-text-retrieval}
    dataset: {type: coco, name: COCO 1K, split: test, args: {protocol: folds}}
    metrics: [{type: recall_at_1, value: 64.6}]
  - task: {type: image-text-retrieval}
    dataset: {type: coco, name: COCO 5K, split: test, args: {protocol: all}}
    metrics: [{type: recall_at_1, value: 41.3}]
---
# A model
"""


def list_results(card: ModelCard) -> list[tuple[str, str, float]]:
    return [(r.dataset_name, r.dataset_args["protocol"], r.metric_value) for r in card.data.eval_results]


card = ModelCard(CARD)
read = list_results(card)
card.data.license = "mit"
card.save("README.md")
written = list_results(ModelCard.load("README.md"))
equal = card.data.eval_results[0].is_equal_except_value(card.data.eval_results[1])
print("read:   ", read)
print("written:", written)
print("the two results are equal except for their value:", equal)
if (
    read != [("COCO 1K", "folds", 64.6), ("COCO 5K", "all", 41.3)]
    or written != [("COCO 1K", "folds", 64.6), ("COCO 1K", "folds", 41.3)]
    or equal
):
    sys.exit("CHANGED: this is no longer what huggingface_hub 2.4.0 did")
PY
