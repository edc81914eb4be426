"""SIGINT and SIGTERM as a flag that the training loop looks at between batches, where it can stop cleanly."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  (it is no error: the run has been saved)
    """A signal stopped the run, which has been saved before this was raised.

    Attributes:
        signal: its number; programs exit with 128 + signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        """Survive the way to another process of the run."""
        return Interrupted, (self.signal,)


class Signals:
    """Remembers the first signal while the block runs; further ones change nothing, so that no save is cut short."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
            self._previous = {number: signal.signal(number, self._remember) for number in _WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number

    def check(self) -> bool:
        """Raise Interrupted if a signal has come, else return False."""
        if self.received is not None:
            raise Interrupted(self.received)
        return False
