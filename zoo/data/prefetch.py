"""Batches prepared ahead by threads: the same batches in the same order, whatever their number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from zoo.errors import ZooError

T = TypeVar("T")
AHEAD = 2
"""Items that each worker may be ahead."""


class Prefetch(Generic[T]):
    """Iterates over ``make(first), …, make(last - 1)``, made ahead of need; use it in a ``with`` statement.

    ``make`` must be a function of its argument only, and is called from several threads at once.

    Args:
        make: returns the item of a step.
        first: first step.
        last: step after the last one.
        workers: threads; 0 makes every item when it is asked for.

    Raises:
        ZooError: ``workers`` is negative. What ``make`` raises comes out where its item would have.
    """

    def __init__(self, make: Callable[[int], T], *, first: int, last: int, workers: int) -> None:
        if workers < 0:
            raise ZooError(f"workers must be 0 or more, got {workers}")
        self._make = make
        self._steps = range(first, last)
        self._ahead = workers * AHEAD
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="zoo-data") if workers else None

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what has not been started and wait for what has."""
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[T]:
        if not self._pool:
            yield from map(self._make, self._steps)
            return
        waiting: deque[Future[T]] = deque()
        for step in self._steps:
            waiting.append(self._pool.submit(self._make, step))
            if len(waiting) > self._ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
