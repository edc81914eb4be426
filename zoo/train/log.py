"""Where the numbers of a run go: metrics.jsonl, and TensorBoard if it is wanted. Neither can stop a training."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.errors import ZooError


class Log:
    """Appends records to ``metrics.jsonl``, a line each; a full disk costs a warning, not the run.

    Args:
        folder: the run's.
        step: updates that are done; curves beyond them belong to updates that will be made again.
        position: bytes of metrics.jsonl that were written by then; the rest is dropped, too.
        warn: told once if writing fails.
        tensorboard: write curves, too.
    """

    def __init__(
        self, folder: Path, *, step: int, position: int, warn: Callable[[str], None], tensorboard: bool
    ) -> None:
        self.path = folder / "metrics.jsonl"
        self.shows = tensorboard
        self._warn = warn
        self._warned = False
        self._curves = _curves(folder / "tensorboard", step) if tensorboard else None
        if self.path.exists() and self.path.stat().st_size > position:
            os.truncate(self.path, position)

    def position(self) -> int:
        """Return the number of bytes written so far, after making them durable where that is possible."""
        try:
            with self.path.open("rb") as file, contextlib.suppress(OSError):
                os.fsync(file.fileno())
            return self.path.stat().st_size
        except OSError:
            return 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Append ``record`` as one line."""
        with self._tolerant():
            _append(self.path, json.dumps(record).encode() + b"\n")
            if self._curves is not None:
                for name, value in record.items():
                    if isinstance(value, int | float) and name not in ("step", "tokens", "seconds"):
                        self._curves.add_scalar(f"{record['split']}/{name}", value, record["step"])

    def hear(self, name: str, samples: Tensor, rate: int, step: int) -> None:
        """Put a player of ``samples`` (time,), in [-1, 1], beside the curves, if there are any."""
        if self._curves is not None:
            with self._tolerant():
                self._curves.add_audio(name, samples[None], step, sample_rate=rate)

    def see(self, name: str, picture: Tensor, step: int) -> None:
        """Put a picture, uint8 (rows, columns, 3), beside the curves, if there are any."""
        if self._curves is not None:
            with self._tolerant():
                self._curves.add_image(name, picture, step, dataformats="HWC")

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warn(f"cannot write to {self.path}: {error.strerror}; training goes on without these records")
            self._warned = True

    def close(self) -> None:
        """Finish the curves."""
        if self._curves is not None:
            try:
                self._curves.close()
            except OSError as error:
                self._warn(f"cannot finish the TensorBoard curves: {error.strerror}")


class NoLog(Log):
    """What a process has that leaves the writing to another."""

    def __init__(self) -> None:
        self.shows = False

    def position(self) -> int:
        return 0

    def add(self, record: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def _append(path: Path, line: bytes) -> None:
    """Append a whole line or nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
        if written < len(line):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _curves(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ZooError("train.tensorboard=true needs TensorBoard: pip install 'tokenzoo[tensorboard]'") from None
    return SummaryWriter(str(folder), purge_step=step + 1)
