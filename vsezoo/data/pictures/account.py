"""The account of a picture data set: pictures used and left out, and the splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vsezoo.data.pictures.columns import ImageColumns
from vsezoo.data.pictures.find import find_files
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing
from vsezoo.data.pictures.walk import walk_pictures
from vsezoo.errors import pluralise

UNLISTED = "named by no list"


def take_account(listing: Listing) -> dict[str, Any]:
    """Count the pictures of a data set.

    Returns:
        JSON values: `folder`, `layout`, `file` (the list), `rule` (how the splits were assigned), `splits` (`images`
        and `captions` of each), `images` (number of picture files, including those in archives), `used` (in a split),
        `left_out` (numbers of the others by reason; `used` and `left_out` add up to all), `absent` (listed pictures
        without a file), `empty_captions`, `captions_cut` (beyond the first five of an image) if there are any, and
        `summary`, all of this in one line.
    """
    columns, images = _divide(listing)
    wanted = [image.name for image in images if image.place is None]
    found = iter(find_files(listing.folder, wanted))
    files = [image.place.file if image.place else next(found) for image in images]
    packed = sum(image.place is not None and bool(image.place.member) for image in images)
    used = {
        file for image, file in zip(images, files, strict=True) if file and not (image.place and image.place.member)
    }
    there = {one.file: one.reason for one in walk_pictures(listing.folder)}
    others = {file: reason or UNLISTED for file, reason in there.items() if file not in used}
    # A list may write the path of a file in another way, such as one that leads over a link.
    if others and (elsewhere := used - there.keys()):
        targets = {os.path.realpath(file) for file in elsewhere}
        others = {file: reason for file, reason in others.items() if os.path.realpath(file) not in targets}
    left_out = Counter(listing.left_out) + Counter(others.values())
    count = packed + len(used) + sum(map(len, columns))
    account = {
        "folder": listing.address or str(listing.folder),
        "layout": listing.layout,
        "file": str(listing.file),
        "rule": listing.rule,
        "splits": {
            name: {"images": len(split), "captions": _count_captions(split)}
            for name, split in sorted(listing.splits.items(), key=_rank)
        },
        "images": count + left_out.total(),
        "used": count,
        "left_out": dict(left_out),
        "absent": files.count(None),
        "empty_captions": sum(not caption for image in images for caption in image.captions)
        + sum(len(split.empty) for split in columns),
    }
    account |= {"bad_rows": len(listing.bad)} if listing.bad else {}
    account |= {"captions_cut": listing.cut} if listing.cut else {}
    account |= {"unread": list(listing.unread)} if listing.unread else {}
    return {**account, "summary": _summarise(account)}


def _divide(listing: Listing) -> tuple[list[ImageColumns], list[CaptionedImage]]:
    """Return the splits that are columns, whose pictures lie in archives, and the images of the others."""
    columns, images = list[ImageColumns](), list[CaptionedImage]()
    for split in listing.splits.values():
        if isinstance(split, ImageColumns):
            columns.append(split)
        else:
            images.extend(split)
    return columns, images


def _count_captions(split: Sequence[CaptionedImage]) -> int:
    return len(split.captions) if isinstance(split, ImageColumns) else sum(len(image.captions) for image in split)


def _rank(split: tuple[str, Any]) -> tuple[int, str]:
    name = split[0]
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _summarise(account: Mapping[str, Any]) -> str:
    splits = ", ".join(f"{name} {figures['images']:,}" for name, figures in account["splits"].items())
    rule = f", {account['rule']}" if account["rule"] else ""
    layout = f" ({account['layout']})" if account["layout"] else ""
    captions = sum(figures["captions"] for figures in account["splits"].values())
    counts = f"{pluralise(account['used'], 'image')}, {pluralise(captions, 'caption')}"
    parts = [f"{account['folder']}{layout}: {counts}: {splits}{rule}."]
    if account["left_out"]:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in account["left_out"].items())
        parts.append(f"{account['images'] - account['used']:,} more image files left out: {reasons}.")
    if account["absent"]:
        parts.append(f"{account['absent']:,} images of the list are absent.")
    if account.get("bad_rows"):
        parts.append(f"{account['bad_rows']:,} bad rows of the list.")
    if account["empty_captions"]:
        parts.append(f"{account['empty_captions']:,} captions are empty.")
    if account.get("captions_cut"):
        parts.append(f"{account['captions_cut']:,} captions left out: the first five of an image are used.")
    if account.get("unread"):
        parts.append(f"Not read, since another is: {', '.join(account['unread'])}.")
    return " ".join(parts)
