"""Several processes that train one network: the only place that knows of them (and of torch.distributed).

``torchrun --nproc-per-node 2 -m zoo train RECIPE`` starts the same program several times. Each process has all of the
network and takes its rows of every batch; gradients are summed, so that all make the same update. The first process
alone writes and evaluates. A process by itself is ``Ranks``, where nothing of this costs anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from zoo.errors import ZooError
from zoo.train.signals import Interrupted

Result = TypeVar("Result")

SHARED = (ZooError, OSError, Interrupted)
"""Errors that end all processes together, and of which the first alone tells."""
BUCKET = 8 << 20
"""Numbers that are summed at a time."""
PATIENCE = timedelta(days=7)
"""How long a process waits for the others: the first evaluates and downloads alone. One that dies is missed at once."""


class Ranks:
    """The processes of a run, seen from one of them; here it is the only one.

    All of them call these methods in the same order.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
    """

    rank = 0
    count = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, evaluates and speaks."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return the sums of numbers over all processes, exact for whole ones."""
        return list(values)

    def largest(self, value: int) -> int:
        """Return the largest of a whole number of each process."""
        return value

    def gathered(self, values: Sequence[int]) -> list[int]:
        """Return the numbers of all processes, one process after the other."""
        return list(values)

    def sum_in_place(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all processes: the same bits in each of them."""

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""

    def from_first(self, make: Callable[[], Result]) -> Result:
        """Return what the first process makes, which the others wait for; its error is everyone's."""
        return make()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Do the block in every process; if it is refused in one, it is in all, for that one's reason."""
        yield

    @contextlib.contextmanager
    def first_then_others(self) -> Iterator[None]:
        """Do the block in the first process, then, when that is through, in the others; errors as in ``together``."""
        yield


class Several(Ranks):
    """The processes that ``torch.distributed`` has joined."""

    def __init__(self) -> None:
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    def sums(self, values: Sequence[float]) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64)
        with _others_alive():
            distributed.all_reduce(total)
        return [float(value) for value in total]

    def largest(self, value: int) -> int:
        most = torch.tensor(value)
        with _others_alive():
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return int(most)

    def gathered(self, values: Sequence[int]) -> list[int]:
        return [value for each in self._each(list(values)) for value in each]

    def sum_in_place(self, tensors: Iterable[Tensor]) -> None:
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with _others_alive():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            copied = tensor.contiguous()
            with _others_alive():
                distributed.broadcast(copied, 0)
            tensor.copy_(copied)

    def from_first(self, make: Callable[[], Result]) -> Result:
        made: list[Result] = []
        with self.together():
            if self.first:
                made.append(make())
        return self._each(made)[0][0]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except SHARED as caught:
            error = caught
        self._agree(error)

    @contextlib.contextmanager
    def first_then_others(self) -> Iterator[None]:
        if not self.first:
            self._agree(None)  # how the first has fared
        with self.together():
            yield
        if self.first:
            self._agree(None)  # how the others have

    def _agree(self, error: Exception | None) -> None:
        """Raise the error of the first process that has one."""
        if self.largest(error is not None):
            for each in self._each(error):
                if each is not None:
                    raise each

    def _each(self, value: Result) -> list[Result]:
        """Return the value of every process."""
        values = [value] * self.count
        with _others_alive():
            distributed.all_gather_object(values, value)
        return values


def here() -> Ranks:
    """Return the processes of this run."""
    return Several() if distributed.is_available() and distributed.is_initialized() else Ranks()


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun has started, if it has, for the length of the block.

    Only the first of them speaks in the block and goes on behind it; the others end there.

    Raises:
        SystemExit: the end of the others, with the exit code of the first.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "MASTER_ADDR" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    first = here().first
    try:
        with contextlib.nullcontext() if first else _silence():
            yield
    except SHARED:
        if first:
            raise
        raise SystemExit(2) from None
    finally:
        distributed.destroy_process_group()
    if not first:
        raise SystemExit(0)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def _others_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise ZooError(
            "another process of this run has stopped; if it has not said why, torchrun does; resume=true goes on"
        ) from None


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors of one kind together, up to ``BUCKET`` numbers."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(map(Tensor.numel, [*bucket, tensor])) > BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
