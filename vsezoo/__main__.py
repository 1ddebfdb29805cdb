"""The script `vsezoo` and `python -m vsezoo`, for launchers that start modules: the command line."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line."""
    gc.disable()  # what is imported here stays: looking for garbage in it takes a tenth of the start
    from vsezoo.cli import main as run

    gc.freeze()  # later searches leave it out
    gc.enable()
    run(prog_name="vsezoo")


if __name__ == "__main__":
    main()
