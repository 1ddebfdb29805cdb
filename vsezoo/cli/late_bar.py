"""A progress bar that appears when it is first advanced; rich's are not imported before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsezoo.storage.waiting import Advance


@contextmanager
def show_late(description: str) -> Iterator[Advance]:
    """Show a progress bar from its first advance on, for work that rarely has to be done."""
    with ExitStack() as shown:

        @cache
        def show() -> Advance:
            from vsezoo.cli.bars import show_progress

            return shown.enter_context(show_progress(description))

        yield lambda done, total: show()(done, total)
