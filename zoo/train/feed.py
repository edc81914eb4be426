"""Batches in the order of the run, made when asked for or by threads ahead of time: the same ones either way."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from zoo.data.base import Batch, SampleBatch, SampleData, TokenData
from zoo.errors import ZooError
from zoo.train.ranks import Ranks


class Feed:
    """Micro-batches of one run. A batch is a function of its number, so a resumed run needs no saved position.

    Args:
        data: where they come from.
        size: rows in a micro-batch.
        seed: of the run.
        first: number of the first micro-batch that will be asked for.
        end: number after the last one.
        workers: threads that work ahead; 0 for none.
        ranks: the processes of the run, each of which takes its rows of every micro-batch.

    Attributes:
        waited: seconds that all calls of ``take`` took.
    """

    def __init__(
        self,
        data: TokenData | SampleData,
        *,
        size: int,
        seed: int,
        first: int,
        end: int,
        workers: int,
        ranks: Ranks,
    ) -> None:
        if size < ranks.count:
            raise ZooError(f"train.batch={size} has no row for each of {ranks.count} processes; give it more")
        self.data, self.size, self.seed, self.end, self.ranks = data, size, seed, end, ranks
        self.waited = 0.0
        self._next = first
        self._ahead: deque[Future[Batch | SampleBatch]] = deque()
        self._depth = 2 * workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="batches") if workers else None

    def take(self) -> Batch | SampleBatch:
        """Return the next micro-batch."""
        began = time.monotonic()
        batch = self._take()
        self.waited += time.monotonic() - began
        return batch

    def _take(self) -> Batch | SampleBatch:
        if self._threads is None:
            batch = self._make(self._next)
            self._next += 1
            return batch
        while len(self._ahead) < self._depth and self._next < self.end:
            self._ahead.append(self._threads.submit(self._make, self._next))
            self._next += 1
        return self._ahead.popleft().result()

    def close(self) -> None:
        """Stop the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def _make(self, number: int) -> Batch | SampleBatch:
        rows = self.data.batch(step=number, size=self.size, seed=self.seed)
        return rows.part(self.ranks.rank, self.ranks.count)
