#!/usr/bin/env bash
# Package:   datasets 5.2.0 (Hugging Face), with_format("numpy"), with numpy 2.4.6 and pyarrow 26.0.1.
# Behaviour: a float64 column comes as float64 where one row is read, and as float32 where the column, a slice or a
#            batch is read. `filter` sees the rounded value, even with a function of one row. The schema says float64
#            throughout, and without the format all values are float64.
# Seen:      scores 0.5, 0.500000001, 0.4: row 1 is 0.500000001; the column is [0.5, 0.5, 0.4] and its argmax 0. The
#            filter score > 0.5 keeps 1 row without the format and no row with it.
# Expected:  the stored type, as the formats "pandas" and "arrow" give, and one type for a row and a column. The format
#            decides the container of the values, not which rows a filter keeps.
# Matters:   similarities that were averaged over an ensemble are float64. Kept in a dataset they get ties, hard
#            negatives above a threshold are dropped, and the best picture of a query becomes the first of those tied.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet datasets==5.2.0 numpy==2.4.6 pyarrow==26.0.1 pandas==2.3.3
HF_HOME="$work" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys

import numpy as np
from datasets import Dataset, disable_progress_bars

disable_progress_bars()
plain = Dataset.from_dict({"score": [0.5, 0.5 + 1e-9, 0.4]})
arrays = plain.with_format("numpy")
found = {
    "type in the schema": arrays.features["score"].dtype,
    "type of a row": arrays[1]["score"].dtype.name,
    "type of the column": arrays["score"][:].dtype.name,
    "type with pandas": plain.with_format("pandas")[:]["score"].dtype.name,
    "row 1": float(arrays[1]["score"]),
    "row 1 of the column": float(arrays["score"][:][1]),
    "argmax without the format": int(np.argmax(plain["score"][:])),
    "argmax of the column": int(np.argmax(arrays["score"][:])),
    "rows kept without the format": len(plain.filter(lambda row: row["score"] > 0.5)),
    "rows kept with it": len(arrays.filter(lambda row: row["score"] > 0.5)),
}
for title, value in found.items():
    print(f"{title}: {value}")
seen = ["float64", "float64", "float32", "float64", 0.500000001, 0.5, 1, 0, 1, 0]
if list(found.values()) != seen:
    sys.exit("CHANGED: this is no longer what datasets 5.2.0 did")
PY
