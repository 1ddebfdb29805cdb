#!/usr/bin/env bash
# Package:   embedding-reader 1.8.1 (the reader of clip-retrieval and autofaiss), with numpy 2.4.6, pandas 2.3.3 and
#            pyarrow 26.0.1; file_format="parquet_npy".
# Behaviour: embeddings and captions are paired by the place of their file in the sorted listing, not by the number in
#            its name. If one folder lacks a shard, each later shard of embeddings gets the captions of another shard,
#            and embeddings at the end are left out. There is no error as long as the shards have as many rows.
# Seen:      embeddings 0, 1, 2 and captions 0, 2, two rows each: the embeddings of shard 1 come with the captions of
#            shard 2, and those of shard 2 do not come at all; `count` is 4.
# Expected:  files paired by their number, or an error for folders of three and of two files. A shard without its
#            partner is what an interrupted copy leaves, and both folders hold names that say what belongs together.
# Matters:   every picture from the gap on has the caption of another one. All shapes fit; only recall tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet embedding-reader==1.8.1 numpy==2.4.6 pandas==2.3.3 pyarrow==26.0.1
venv/bin/python - <<'PY'
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from embedding_reader import EmbeddingReader


def read(name: str, embeddings: list[int], captions: list[int]) -> list[tuple[int, str]]:
    vectors, texts = Path(name, "img_emb"), Path(name, "metadata")
    vectors.mkdir(parents=True)
    texts.mkdir()
    for shard in embeddings:
        np.save(vectors / f"img_emb_{shard}.npy", np.full((2, 4), shard, np.float32))
    for shard in captions:
        rows = pd.DataFrame({"caption": [f"shard {shard}, row {row}" for row in range(2)]})
        rows.to_parquet(texts / f"metadata_{shard}.parquet")
    reader = EmbeddingReader(
        embeddings_folder=str(vectors), metadata_folder=str(texts), meta_columns=["caption"], file_format="parquet_npy"
    )
    return [
        (int(vector[0]), caption)
        for found, table in reader(batch_size=10, start=0, end=reader.count, show_progress=False)
        for vector, caption in zip(found, table["caption"], strict=True)
    ]


whole = read("whole", [0, 1, 2], [0, 1, 2])
gap = read("gap", [0, 1, 2], [0, 2])
for title, pairs in (("nothing missing", whole), ("captions of shard 1 missing", gap)):
    print(f"{title}:", *(f"  embedding of shard {shard}: {caption!r}" for shard, caption in pairs), sep="\n")
right = [(shard, f"shard {shard}, row {row}") for shard in range(3) for row in range(2)]
seen = [(0, "shard 0, row 0"), (0, "shard 0, row 1"), (1, "shard 2, row 0"), (1, "shard 2, row 1")]
if whole != right or gap != seen:
    sys.exit("CHANGED: this is no longer what embedding-reader 1.8.1 did")
PY
