#!/usr/bin/env bash
# Package:   beir 2.2.0 (DenseRetrievalExactSearch, EvaluateRetrieval), with sentence-transformers 6.2.0, torch 2.13.0,
#            pytrec-eval-terrier 0.5.11 and numpy 2.4.6.
# Behaviour: a document whose id is the id of the query is left out of the query's results. evaluate has an option for
#            it, ignore_identical_ids; the exact search does it as well, always, and has no option.
# Seen:      eight captions with ids "0" to "7", eight pictures with ids "0" to "7", a model that gives each caption the
#            vector of its own picture. Recall@1, Recall@5 and nDCG@5 are 0.0, also with ignore_identical_ids=False. With
#            the captions called "c0" to "c7", all are 1.0.
# Expected:  1.0: ids of queries and of documents are keys of two dictionaries, and which picture is right is said by
#            qrels alone, which names it here. At the least, the option that ends the rule should end it.
# Matters:   the rule is for texts that are searched with texts among them. Captions and pictures numbered by row share
#            their ids without being one thing, and what is left out is the right answer. A recall of 0.0 is seen; less so
#            where ids agree for some pairs, or with wrong pictures, whose absence raises recall. The one line about it is
#            of level INFO, and evaluate's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet beir==2.2.0 sentence-transformers==6.2.0 torch==2.13.0 \
    pytrec-eval-terrier==0.5.11 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys

import torch
from beir.retrieval.evaluation import EvaluateRetrieval
from beir.retrieval.search.dense import DenseRetrievalExactSearch

COUNT = 8


class Perfect:
    """The vector of a picture, and of its caption, is the picture's own direction."""

    def encode_queries(self, queries: list[str], **options: object) -> torch.Tensor:
        return torch.eye(COUNT)[[int(text) for text in queries]]

    def encode_corpus(self, corpus: list[dict[str, str]], **options: object) -> torch.Tensor:
        return torch.eye(COUNT)[[int(picture["text"]) for picture in corpus]]


pictures = {str(number): {"title": "", "text": str(number)} for number in range(COUNT)}
found = {}
for prefix in ("", "c"):
    captions = {f"{prefix}{number}": str(number) for number in range(COUNT)}
    right = {f"{prefix}{number}": {str(number): 1} for number in range(COUNT)}
    for ignore in (True, False):
        retriever = EvaluateRetrieval(DenseRetrievalExactSearch(Perfect()), k_values=[1, 5], score_function="dot")
        results = retriever.retrieve(pictures, captions)
        ndcg, _, recall, _ = retriever.evaluate(right, results, [1, 5], ignore_identical_ids=ignore)
        values = [recall["Recall@1"], recall["Recall@5"], ndcg["NDCG@5"]]
        found[prefix, ignore] = values
        print(f"captions {prefix}0 to {prefix}7, ignore_identical_ids={ignore}: R@1, R@5, nDCG@5 {values}")
if found != {(prefix, ignore): [1.0 if prefix else 0.0] * 3 for prefix in ("", "c") for ignore in (True, False)}:
    sys.exit("CHANGED: this is no longer what beir 2.2.0 did")
PY
