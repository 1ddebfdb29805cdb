"""Vocabularies that contradict themselves, or are none."""

from __future__ import annotations

import json
import os
import pickle
from typing import Any

from hostile_files.corpus import Call, add
from hostile_files.opcodes import plain, text


def words(count: int, **changes: Any) -> dict[str, Any]:
    """Return a vocabulary as SCAN stores it, with some of it changed."""
    value = {
        "word2idx": {f"w{n}": n for n in range(count)},
        "idx2word": {str(n): f"w{n}" for n in range(count)},
        "idx": count,
    }
    return value | changes


def store(value: Any) -> bytes:
    return json.dumps(value).encode()


add("vocabulary", "json-without-word2idx", store({"idx2word": {"0": "a"}, "idx": 1}))
add("vocabulary", "json-without-idx2word", store({"word2idx": {"a": 0}, "idx": 1}))
add("vocabulary", "json-name-twice", b'{"word2idx": {"a": 0, "a": 1}, "idx2word": {"0": "a", "1": "a"}, "idx": 2}')
add("vocabulary", "json-list", store(["a"]))
add("vocabulary", "json-nested", b'{"word2idx":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
add("vocabulary", "json-number", b'{"a": ' + b"9" * 10**6 + b"}")
add("vocabulary", "json-truncated", store(words(50))[:300])
add("vocabulary", "json-no-utf-8", b'{"\xff": 1}')
add("vocabulary", "words-of-lists", store(words(2, word2idx=[1, 2])))
add("vocabulary", "id-gap", store(words(3, word2idx={"w0": 0, "w1": 1, "w3": 3})))
add("vocabulary", "id-twice", store(words(3, word2idx={"w0": 0, "w1": 1, "w2": 1})))
add("vocabulary", "id-negative", store(words(2, word2idx={"w0": 0, "w1": -1})))
add("vocabulary", "id-true", store(words(2, word2idx={"w0": False, "w1": True})))
add("vocabulary", "id-text", store(words(2, word2idx={"w0": "0", "w1": "1"})))
add("vocabulary", "id-float", store(words(2, word2idx={"w0": 0.0, "w1": 1.0})))
add("vocabulary", "inverse-differs", store(words(2, idx2word={"0": "w1", "1": "w0"})))
add("vocabulary", "inverse-longer", store(words(2, idx2word={"0": "w0", "1": "w1", "2": "w2"})))
add("vocabulary", "inverse-shorter", store(words(2, idx2word={"0": "w0"})))
add("vocabulary", "next-id-differs", store(words(10_006, idx=11_353)))
add("vocabulary", "no-words", store(words(0)))
add("vocabulary", "pickled-dictionary-from-5", pickle.dumps({"a": 5, "b": 6}))
add("vocabulary", "pickled-dictionary-of-bytes", pickle.dumps({b"a": 2, b"b": 3}))
add("vocabulary", "pickled-number", pickle.dumps(5))
add("vocabulary", "pickled-options", pickle.dumps({"margin": 0.2, "dim": 1024}, 2))
add("vocabulary", "pickled-record-without-words", plain(b"c__main__\nVocabulary\n)\x81}" + text("idx") + b"K\x01sb"))
add("vocabulary", "pickled-os-system", lambda c: pickle.dumps(Call(os.system, f"touch {c}"), 2))
add("vocabulary", "csv", b"word,id\na,0\n")
