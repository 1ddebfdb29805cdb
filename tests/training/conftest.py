"""What several files of tests of the training begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the data set of `tiny`, which the tests of a file share."""
    return tiny.write_data(tmp_path_factory.mktemp("training") / "data")
