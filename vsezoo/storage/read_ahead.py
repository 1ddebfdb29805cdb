"""Read the next batches while one is computed with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
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
    # Not a `ThreadPool`, which starts three more threads and does not wait for them: glibc keeps what each reading
    # thread has freed, so that memory would grow with each epoch.
    asked: SimpleQueue[tuple[Asked, Future[Content]] | None] = SimpleQueue()
    coming: deque[tuple[Asked, Future[Content]]] = deque()

    def answer() -> None:
        while found := asked.get():
            batch, content = found
            try:
                content.set_result(read(batch))
            except BaseException as error:  # raised when it is due
                content.set_exception(error)
            del found, batch, content  # memory of what was read

    # Daemons: the process does not wait for them after Ctrl-C.
    readers = [Thread(target=answer, daemon=True) for _ in range(threads)]
    try:
        for reader in readers:
            reader.start()
        for batch in batches:
            coming.append((batch, Future()))
            asked.put(coming[-1])
            if len(coming) > threads:
                begun, content = coming.popleft()
                yield begun, content.result()
        while coming:
            begun, content = coming.popleft()
            yield begun, content.result()
    finally:
        for _ in readers:
            asked.put(None)
    for reader in readers:  # not after an error or an interruption, when one may still be reading
        reader.join()
