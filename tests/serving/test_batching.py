"""Concurrent requests are computed together, and none suffers from another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vsezoo.serving import batching
from vsezoo.serving.batching import Batcher, BusyError
from vsezoo.serving.engine import run_together


class Recorder:
    """Doubles numbers, and notes the batches; the first waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        assert self.go.wait(60)
        return [ValueError(f"no {item}") if item < 0 else 2 * item for item in items]


def run(use: Callable[[Batcher[int, int], Recorder], Coroutine[Any, Any, None]], **limits: int) -> Recorder:
    recorder = Recorder()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(use(Batcher(recorder, executor, **limits), recorder))
    return recorder


async def start(batcher: Batcher[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    """Start to ask for items, and return when they wait or are computed."""
    tasks = [asyncio.create_task(batcher.ask(item)) for item in items]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


def test_what_arrives_while_others_are_computed_is_one_batch() -> None:
    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        first = await start(batcher, [1])
        rest = await start(batcher, [2, 3, 4])
        recorder.go.set()
        assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8]

    assert run(use).batches == [[1], [2, 3, 4]]


def test_clients_that_ask_again_are_one_batch_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PAUSE", 0.1)

    async def ask_twice(batcher: Batcher[int, int], item: int) -> None:
        await batcher.ask(item)
        await asyncio.sleep(item / 1000)
        await batcher.ask(10 * item)

    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        recorder.go.set()
        await asyncio.gather(*(ask_twice(batcher, item) for item in (1, 2, 3)))

    assert run(use).batches == [[1, 2, 3], [10, 20, 30]]


def test_batches_are_bounded() -> None:
    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        tasks = await start(batcher, range(5))
        recorder.go.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]

    assert run(use, most=2).batches == [[0, 1], [2, 3], [4]]


def test_a_failure_is_that_of_its_item() -> None:
    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        recorder.go.set()
        found = await asyncio.gather(batcher.ask(1), batcher.ask(-1), batcher.ask(2), return_exceptions=True)
        assert (found[0], str(found[1]), found[2]) == (2, "no -1", 4)

    assert run(use).batches == [[1, -1, 2]]


def test_who_has_gone_is_left_out() -> None:
    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        first = await start(batcher, [1])
        rest = await start(batcher, [2, 3])
        rest[0].cancel()
        first[0].cancel()  # while it is computed
        recorder.go.set()
        assert await rest[1] == 6
        assert await batcher.ask(4) == 8

    assert run(use).batches == [[1], [3], [4]]


def test_too_many_are_refused() -> None:
    async def use(batcher: Batcher[int, int], recorder: Recorder) -> None:
        tasks = await start(batcher, [1])
        tasks += await start(batcher, [2, 3])
        with pytest.raises(BusyError):
            await batcher.ask(4)
        recorder.go.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6]
        assert await batcher.ask(5) == 10

    run(use, waiting=2)


def test_an_error_of_all_reaches_all() -> None:
    def fail(items: Sequence[int]) -> list[int | Exception]:
        raise RuntimeError("out of memory")

    async def use() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher: Batcher[int, int] = Batcher(fail, executor)
            found = await asyncio.gather(batcher.ask(1), batcher.ask(2), return_exceptions=True)
        assert [str(error) for error in found] == ["out of memory"] * 2

    asyncio.run(use())


def test_items_that_fail_together_are_computed_alone() -> None:
    def divide(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    first, second, third = run_together(divide, [1, 0, 2])
    assert (first, third) == (1, 0.5)
    assert isinstance(second, ZeroDivisionError)
