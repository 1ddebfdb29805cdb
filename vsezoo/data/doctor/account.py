"""Findings from the account of a picture data set: randomly assigned splits, skipped files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vsezoo.data.doctor.report import Finding
from vsezoo.data.pictures.account import UNLISTED
from vsezoo.data.pictures.layouts.registered import ORDER, list_recognised
from vsezoo.data.pictures.splits import DRAWN, REMEDY_DRAWN
from vsezoo.data.pictures.walk import APPLE_DOUBLE, CONVERT, HIDDEN, IN_SYSTEM
from vsezoo.errors import list_names, pluralise

NAMED = 4
CONTAINED = ("texts", "parquet")
"""Layouts whose files may belong to another one: the texts and figures that img2dataset writes beside its shards."""


def report_account(account: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield findings about the assignment of splits and about unusable files.

    Files that no list names are a separate finding, which shows them.
    """
    if account.get("rule") == DRAWN:
        yield Finding("note", None, f"The splits are {DRAWN}.", REMEDY_DRAWN, account["file"])
    if account.get("unread"):
        unread, is_one = list_names(account["unread"], NAMED), len(account["unread"]) == 1
        what = f"{unread} also look{'s' * is_one} like a table of captions, and {'is' if is_one else 'are'} not read."
        remedy = "Write all captions into one table, or move the others to another folder."
        if account["layout"] == "texts":
            what = f"Pictures have more than one text, of which one is read: {unread} are not."
            remedy = "Write all captions of a picture into one text, each on a line of its own."
        yield Finding("warning", None, what, remedy, account["file"])
    if others := _find_others(account):
        what = f"The folder also has files of the layout {', '.join(others)}: they are not read."
        remedy = f"If they are what you mean, move the files of the layout {account['layout']} to another folder."
        yield Finding("note", None, what, remedy, account["folder"])
    for reason, count in account.get("left_out", {}).items():
        if reason == UNLISTED:
            continue
        level, remedy = "warning", "Give each image a name of its own."
        if reason in (APPLE_DOUBLE, HIDDEN) or reason.startswith(IN_SYSTEM.partition("{")[0]):
            level, remedy = "note", "Nothing, if you left them out on purpose."
        elif CONVERT in reason:
            remedy = "Convert them to JPEG, for example with `magick mogrify -format jpg FILE`."
        text = f"{pluralise(count, 'image file')} left out: {reason}."
        yield Finding(level, None, text, remedy, account["folder"], (), count)


def _find_others(account: Mapping[str, Any]) -> list[str]:
    """Return the other layouts that the folder has."""
    layout, folder = account.get("layout"), Path(account.get("folder", ""))
    if layout not in ORDER or not folder.is_dir():
        return []
    others = list_recognised(folder, Path(account["file"]))  # which also looks like a table, as results.csv does
    return [name for name in others if name != layout and name not in CONTAINED]
