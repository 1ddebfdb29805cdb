"""Compute what concurrent requests ask for in batches, in one thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from vsezoo.errors import VsezooError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST = 64
"""Number of items computed at a time."""
WAITING = 1024
"""Number of items that may wait."""
PAUSE = 0.004
"""Seconds without a new request that end such a wait."""


class BusyError(VsezooError):
    """More requests are waiting than the service accepts."""

    def __init__(self) -> None:
        super().__init__("The service is busy.", remedy="Try again in a second.")


class Batcher(Generic[Item, Outcome]):
    """Hands whatever has arrived while the thread was computing to it, together.

    So a single request never waits for others, and the more there are, the larger the batches. After a batch of
    several, the next one waits while requests keep arriving: clients that have just been answered ask again.

    Args:
        compute: returns the outcome of each item, an exception for one that has none.
        executor: its thread. Several batchers may share it.
        most: number of items computed at a time.
        waiting: number of items that may wait.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Outcome | Exception]],
        executor: Executor,
        most: int = MOST,
        waiting: int = WAITING,
    ) -> None:
        self._compute, self._executor, self._most, self._limit = compute, executor, most, waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._work: asyncio.Task[None] | None = None
        self._last = 0

    async def ask(self, item: Item) -> Outcome:
        """Return the outcome of an item.

        Raises:
            BusyError: when too many items are waiting.
            Exception: what `compute` gave for the item.
        """
        if len(self._waiting) >= self._limit:
            raise BusyError
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run())
        return await future

    async def _gather(self) -> None:
        """Wait for the requests that belong to a batch."""
        await asyncio.sleep(0)  # those that have been received by now
        seen = 0 if self._last > 1 else self._most
        while seen < len(self._waiting) < self._most:
            seen = len(self._waiting)
            await asyncio.sleep(PAUSE)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._gather()
            batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
            while self._waiting and len(batch) < self._most:
                item, future = self._waiting.popleft()
                if not future.done():  # its client may have gone
                    batch.append((item, future))
            self._last = len(batch)
            if not batch:
                continue
            outcomes: Sequence[Outcome | Exception]
            try:
                outcomes = await loop.run_in_executor(self._executor, self._compute, [item for item, _ in batch])
            except Exception as error:
                outcomes = [error] * len(batch)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
