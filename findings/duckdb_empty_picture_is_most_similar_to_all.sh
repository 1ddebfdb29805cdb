#!/usr/bin/env bash
# Package:   duckdb 2.0.1.
# Behaviour: the cosine similarity to a vector of zeros is NaN, and NaN counts as greater than every number. ORDER BY
#            similarity DESC and max_by put the row first for every query. Ordered by array_cosine_distance, or by
#            array_inner_product, the same row is last or ties with the rows at a right angle.
# Seen:      query [1, 0, 0]; rows match [1, 0, 0], other [0, 1, 0], empty [0, 0, 0]. By similarity, descending: empty,
#            match, other. By distance, ascending: match, other, empty. max_by(similarity): empty; min_by(distance):
#            match. WHERE similarity > 0.5 keeps empty and match.
# Expected:  similarity and distance (one minus it) rank alike; a row without a direction is last by both, or NULL,
#            which the order puts last. numpy sorts NaN behind all numbers for the negated score as well.
# Matters:   features of a picture that could not be read are often left as zeros. One such row is the first result of
#            each text query: R@1 counted in SQL becomes zero, and the row passes every threshold.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet duckdb==2.0.1
venv/bin/python - <<'PY'
import sys

import duckdb

base = duckdb.connect()
base.execute("CREATE TABLE pictures (name TEXT, vector FLOAT[3])")
base.execute("INSERT INTO pictures VALUES ('other', [0, 1, 0]), ('empty', [0, 0, 0]), ('match', [1, 0, 0])")
QUERY = "[1, 0, 0]::FLOAT[3]"
SIMILARITY, DISTANCE = f"array_cosine_similarity(vector, {QUERY})", f"array_cosine_distance(vector, {QUERY})"


def ask(sql: str) -> list[str]:
    return [name for (name,) in base.execute(sql).fetchall()]


found = {
    "by similarity, descending": ask(f"SELECT name FROM pictures ORDER BY {SIMILARITY} DESC"),
    "by distance, ascending": ask(f"SELECT name FROM pictures ORDER BY {DISTANCE}"),
    "max_by similarity": ask(f"SELECT max_by(name, {SIMILARITY}) FROM pictures"),
    "min_by distance": ask(f"SELECT min_by(name, {DISTANCE}) FROM pictures"),
    "above 0.5": ask(f"SELECT name FROM pictures WHERE {SIMILARITY} > 0.5 ORDER BY name"),
}
for title, names in found.items():
    print(f"{title}: {', '.join(names)}")
seen = [["empty", "match", "other"], ["match", "other", "empty"], ["empty"], ["match"], ["empty", "match"]]
if list(found.values()) != seen:
    sys.exit("CHANGED: this is no longer what duckdb 2.0.1 did")
PY
