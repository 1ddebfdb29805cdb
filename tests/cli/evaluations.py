"""`vsezoo eval` in this process. No tests in here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from vsezoo.cli import main


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def evaluate(*arguments: str | Path) -> dict[str, Any]:
    """Return what `--json` prints."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    for one in found.get("evaluations", [found]):
        account = one.pop("account")
        assert (account["images"], account["layout"]) == (one["images"], "features")
    return found
