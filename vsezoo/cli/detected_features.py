"""`vsezoo features --from`: regions of a detector's files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vsezoo.cli import console
from vsezoo.cli.skipped import print_skipped


def write_files(
    files: Sequence[Path],
    output: Path,
    data: str,
    root: Path | None,
    splits: Sequence[str],
    dtype: str,
    on_bad_image: str,
    *,
    as_json: bool,
) -> None:
    """Write the features and print what was written; see `vsezoo.conversion.detected_features.write_detected`."""
    from vsezoo.cli.bars import show_splits
    from vsezoo.conversion.detected_features import write_detected

    with show_splits() as advance:
        made = write_detected(
            files, output, data, root=root, splits=splits, dtype=dtype, on_bad_image=on_bad_image, advance=advance
        )
    print_skipped({name: reason for one in made.splits for name, reason in one.skipped.items()})
    if made.repeated:
        console.print_warning(f"{made.repeated:,} records repeat an image; the first of each is used.")
    if as_json:
        console.print_json({"output": str(output), **dataclasses.asdict(made)})
        return
    if made.unused:
        console.print_note(f"{made.unused:,} images of the files are in no split of the data.")
    rows = [
        (
            one.split,
            " x ".join(f"{size:,}" for size in one.shape),
            *(f"{count:,}" for count in (one.regions, one.captions, len(one.skipped))),
        )
        for one in made.splits
    ]
    console.print_table(["split", "features", "regions", "captions", "left out"], rows)
