"""Any change of a file of ours is refused with one message, or changes nothing; nothing hangs, nothing is executed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import Random

import pytest
from fuzz.attack import attack
from fuzz.readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("VSEZOO_FUZZ", "12"))
"""Mutants of each reader."""

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.slow
def test_altered_files(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    reader = READERS[name]
    original = tmp_path_factory.mktemp("original") / name
    reader.make(original)
    expected = reader.read(original)
    target = Path(tempfile.mkdtemp(dir=original.parent)) / name

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET, derandomize=True, database=None)
    @given(st.integers(0, 2**32))
    def try_one(seed: int) -> None:
        outcome = attack(reader, original, expected, target, Random(seed))
        assert outcome.result != "traceback", outcome
        if reader.covered and outcome.kind == "bytes":
            assert outcome.result != "altered", outcome
        if outcome.result == "refused":
            assert "\x1b" not in outcome.text.replace(str(target), ""), outcome

    try_one()
