"""Reading ahead: order, errors, how many threads, and how long contents are kept."""

from __future__ import annotations

import threading
import weakref

import pytest

from vsezoo.storage.read_ahead import read_ahead


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_batch_comes_with_its_content_in_order(threads: int, count: int) -> None:
    there = threading.enumerate()
    assert list(read_ahead(lambda batch: -batch, range(count), threads)) == [(each, -each) for each in range(count)]
    assert threading.enumerate() == there


@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_an_error_is_raised_when_its_batch_is_due(error: type[BaseException]) -> None:
    def read(batch: int) -> int:
        if batch == 1:
            raise error
        return batch

    coming = read_ahead(read, range(3))
    assert next(coming) == (0, 0)
    with pytest.raises(error):
        next(coming)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_thread_is_started_but_those_that_read(threads: int) -> None:
    there = set(threading.enumerate())
    coming = read_ahead(lambda batch: batch, range(9), threads)
    next(coming)
    started = set(threading.enumerate()) - there
    assert len(started) == threads
    assert all(thread.daemon for thread in started)
    coming.close()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


def test_what_was_read_is_not_kept() -> None:
    class Content:
        pass

    coming = read_ahead(lambda batch: Content(), range(4))
    seen = [weakref.ref(content) for _, content in (next(coming), next(coming))]
    next(coming)
    assert seen[0]() is None
    coming.close()
