"""Sound files with some bytes changed: each is read or refused, and nothing else."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files.torch_files import ROW, ZIPPED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vsezoo.conversion.arrays import read_npz
from vsezoo.conversion.pickles import read_pickle
from vsezoo.conversion.torch_files import read_torch
from vsezoo.errors import CheckpointError


def make_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, W=np.arange(30.0), b=np.ones(3, ">f2"))
    return stream.getvalue()


VALUE = {"W": np.arange(4, dtype=">f4"), "ids": [1, {2, 3}], "score": np.float64(2), "words": ("a", b"b")}
SOUND = {
    "archive": (read_torch, ZIPPED),
    "row": (read_torch, ROW),
    "npz": (read_npz, make_npz()),
    "protocol-0": (read_pickle, pickle.dumps(VALUE, 0)),
    "protocol-2": (read_pickle, pickle.dumps(VALUE, 2)),
    "protocol-5": (read_pickle, pickle.dumps(VALUE, 5)),
}
opcodes = st.sampled_from(list(b"Rb\x81.(tuse0\x94\x85q")) | st.integers(0, 255)
changes = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 8), st.lists(opcodes, max_size=8)), max_size=5)


@pytest.mark.slow
@pytest.mark.parametrize("form", SOUND)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes)
def test_damage_is_refused_or_harmless(form: str, changes: list[Any], tmp_path: Path) -> None:
    read, content = SOUND[form]
    for place, removed, added in changes:
        place %= len(content)
        content = content[:place] + bytes(added) + content[place + removed :]
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    caught = None
    try:
        read(path)
    except CheckpointError as error:
        caught = error
    if caught is not None:
        assert changes, "the sound file is read"
        assert caught.file == str(path)
        assert caught.remedy
        assert len(str(caught).splitlines()) == 2
