"""Read the next batch while one is computed with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from typing import TypeVar

Asked = TypeVar("Asked")
Content = TypeVar("Content")


def read_ahead(read: Callable[[Asked], Content], batches: Iterable[Asked]) -> Iterator[tuple[Asked, Content]]:
    """Yield each batch with what `read` returns for it. One more batch at most is read or being read at a time.

    An error of `read` is raised when its batch is due.
    """
    with ThreadPool(1) as reader:  # its thread does not keep the process alive after Ctrl-C
        coming = None
        for batch in batches:
            begun = batch, reader.apply_async(read, (batch,))
            if coming is not None:
                yield coming[0], coming[1].get()
            coming = begun
        if coming is not None:
            yield coming[0], coming[1].get()
