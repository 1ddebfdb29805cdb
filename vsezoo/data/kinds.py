"""The forms of image that files hold and models take, and the errors where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vsezoo.errors import DataError

FORMS = {
    "vector": "features of one vector for each image, (images, F)",
    "regions": "features of several regions for each image, (images, regions, F)",
    "picture": "pictures",
}
"""How a message calls the kinds of image."""


@contextmanager
def name_source(source: str) -> Iterator[None]:
    """Let a message about images say where they come from, if it does not; an empty source is not known."""
    try:
        yield
    except DataError as error:
        if error.file is not None or not source:
            raise
        raise DataError(error.problem, file=source, remedy=error.remedy) from None


def require_kind(file: str, kind: str, kinds: Sequence[str]) -> None:
    """Refuse a file of images of another kind than a model takes.

    Raises:
        DataError: which says what to do.
    """
    if kind not in kinds:
        raise DataError(
            f"this model takes {' or '.join(FORMS[kind] for kind in kinds)}, not {FORMS[kind]}.",
            file=file,
            remedy="Make features of the pictures with `vsezoo features`, as those were made that it was trained on."
            if kind == "picture"
            else "Name an image of a data set, or a file of what the model takes.",
        )
