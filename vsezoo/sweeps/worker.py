"""The process of one run of a sweep."""

from __future__ import annotations

import sys
from typing import Any

from vsezoo.errors import VsezooError
from vsezoo.sweeps.running import do_run


def main(task: dict[str, Any]) -> None:
    """Do a run; exit with the code of its error, after printing it."""
    try:
        do_run(task)
    except VsezooError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
