"""Read the next batches while one is computed with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import TypeVar

Asked = TypeVar("Asked")
Content = TypeVar("Content")


def read_ahead(
    read: Callable[[Asked], Content], batches: Iterable[Asked], threads: int = 1
) -> Iterator[tuple[Asked, Content]]:
    """Yield each batch with what `read` returns for it, in order.

    An error of `read` is raised when its batch is due.

    Args:
        read: called in several threads at once, if there are any.
        batches: what to read.
        threads: their number, which is also that of batches which are read or being read at a time.
    """
    with ThreadPool(threads) as readers:  # its threads do not keep the process alive after Ctrl-C
        coming: deque[tuple[Asked, AsyncResult[Content]]] = deque()
        for batch in batches:
            coming.append((batch, readers.apply_async(read, (batch,))))
            if len(coming) > threads:
                begun, content = coming.popleft()
                yield begun, content.get()
        for begun, content in coming:
            yield begun, content.get()
