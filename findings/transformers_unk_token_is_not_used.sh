#!/usr/bin/env bash
# Package:   transformers 5.24.0 (PreTrainedTokenizerFast) around a tokenizers 0.23.3 BPE tokenizer; no torch.
# Behaviour: unk_token given to the wrapper sets unk_token and unk_token_id, but not the unknown token of the BPE model
#            inside. Characters that the model has no piece for vanish, without a message; a caption of such characters
#            alone has no ids. Of the other kinds of model, trained and wrapped by the same lines, WordPiece uses the
#            token, and WordLevel and Unigram raise.
# Seen:      BPE trained on "a dog runs" and "two dogs run", unk_token="[UNK]" with id 0: "a zebra runs" is a, r, a,
#            runs; "vvv dog" and "zzz dog" have the ids of "dog"; "zzz" has none. WordPiece: a, [UNK], runs. WordLevel
#            and Unigram: an exception each.
# Expected:  the id 0 for what is unknown, as an argument of that name promises, or an exception.
# Matters:   a vocabulary trained on the captions of one dataset meets the characters of another. Captions that differ
#            get equal ids, and so equal embeddings and ties in recall; a batch of such captions alone is empty.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet transformers==5.24.0 tokenizers==0.23.3
HF_HOME="$work" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def train(model: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(getattr(models, model)())
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    name = "Bpe" if model == "BPE" else model
    trainer = getattr(trainers, f"{name}Trainer")(vocab_size=60, special_tokens=["[UNK]"], show_progress=False)
    inner.train_from_iterator(["a dog runs", "two dogs run"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")


def encode(tokenizer: PreTrainedTokenizerFast, caption: str) -> object:
    try:
        return tokenizer.convert_ids_to_tokens(tokenizer(caption)["input_ids"])
    except Exception as error:  # the library raises plain ones
        return f"{type(error).__name__}: {error}"


bpe = train("BPE")
found = {caption: encode(bpe, caption) for caption in ("a zebra runs", "vvv dog", "zzz dog", "dog", "zzz")}
print("unk_token_id of the BPE tokenizer:", bpe.unk_token_id)
for caption, tokens in found.items():
    print(f"BPE, {caption!r}: {tokens}")
others = {model: encode(train(model), "a zebra runs") for model in ("WordLevel", "WordPiece", "Unigram")}
for model, answer in others.items():
    print(f"{model}, 'a zebra runs': {answer}")
if (
    bpe.unk_token_id != 0
    or list(found.values()) != [["a", "r", "a", "runs"], ["dog"], ["dog"], ["dog"], []]
    or others["WordPiece"] != ["a", "[UNK]", "runs"]
    or not all(str(others[model]).startswith("Exception") for model in ("WordLevel", "Unigram"))
):
    sys.exit("CHANGED: this is no longer what transformers 5.24.0 and tokenizers 0.23.3 did")
PY
