"""What keeps results from being compared, and what a reader of the comparison should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vsezoo.comparison.grouping import Group
from vsezoo.comparison.hits import Result
from vsezoo.errors import UsageError

ANYWAY = "--anyway"


def check_groups(groups: Sequence[Group], *, anyway: bool = False) -> tuple[list[list[str]], list[bool]]:
    """Compare what the results of groups are of with that of the first.

    Returns:
        what to note about each group, and whether its queries are those of the first, so that they can be paired.

    Raises:
        UsageError: if data, split, protocol or ground truth differ, unless `anyway`.
    """
    first, notes, paired = groups[0].results[0], [], []
    for group in groups:
        refused = list(dict.fromkeys(text for result in group.results for text in _list_conflicts(first, result)))
        inner = any(True for result in group.results for _ in _list_conflicts(group.results[0], result))
        if refused and (inner or not anyway):
            remedy = "Evaluate all of them on the same data with the same protocol."
            if not inner:
                remedy += f" {ANYWAY} puts them into one table, marked and without a test."
            raise UsageError(
                f"The results of {groups[0].name!r} and {group.name!r} are not of the same evaluation: "
                f"{'; '.join(refused)}.",
                file=group.results[0].file,
                remedy=remedy,
            )
        paired.append(not refused)
        remarks = dict.fromkeys(text for result in group.results for text in _list_remarks(first, result))
        notes.append([*refused, *remarks])
    return notes, paired


def _list_conflicts(first: Result, other: Result) -> Iterator[str]:
    """Yield what makes figures of two results incomparable."""
    for key in ("data", "split", "protocol"):
        ours, theirs = first.evaluation.get(key), other.evaluation.get(key)
        same_queries = first.about["ground_truth"] == other.about["ground_truth"]
        if ours != theirs and not (key != "protocol" and same_queries):  # the same under another name
            yield f"{key} {theirs!r}, not {ours!r}"
    if first.about["ground_truth"] != other.about["ground_truth"]:
        yield "other ids or captions (ground truth)"
    elif first is not other and first.keys != other.keys:
        yield "other queries"


def _list_remarks(first: Result, other: Result) -> Iterator[str]:
    """Yield what may be compared, and should be known."""
    ours, theirs = first.about["images"], other.about["images"]
    if ours.get("extraction") != theirs.get("extraction"):
        yield "features extracted differently"
    elif (ours.get("kind"), ours.get("shape")) != (theirs.get("kind"), theirs.get("shape")):
        yield f"images are {_describe(theirs)}, not {_describe(ours)}"
    elif ours.get("probe_sha256") != theirs.get("probe_sha256"):
        yield "other features of the same shape"
    if first.evaluation["ties"]["rule"] != other.evaluation["ties"]["rule"]:
        yield f"ties ranked by {other.evaluation['ties']['rule']}, not {first.evaluation['ties']['rule']}"
    if other.evaluation["ensemble"]:
        yield f"ensemble of {len(other.evaluation['checkpoints'])} models"


def _describe(images: object) -> str:
    if not isinstance(images, dict):
        return "unknown"
    return f"{images.get('kind')} {'x'.join(map(str, images.get('shape') or ()))}".strip()
