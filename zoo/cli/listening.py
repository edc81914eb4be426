"""How far a run of several levels is: a bar a level in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from zoo.cli.terminal import colourful, say

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from zoo.stack.run import Progress

EVERY, OFTEN = 10.0, 0.1
"""Seconds between lines of a log, and between changes of a bar."""


class Listening:
    """Shows progress; a context.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._level: int | None = None
        self._begun = self._shown = 0.0
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Listening:
        if not self._quiet and colourful(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("level {task.fields[level]}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f} of {task.total:,.0f} ids  {task.fields[speed]:,.0f}/s"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def hear(self, progress: Progress) -> None:
        """Show it, if there is something new to see."""
        if self._quiet:
            return
        now = time.monotonic()
        if progress.level != self._level:
            self._level, self._begun, self._shown = progress.level, now, now
            if self._bars is not None:
                self._task = self._bars.add_task("", total=progress.total, level=progress.level, speed=0.0)
            elif progress.earlier:
                say(f"level {progress.level}: {progress.earlier:,} of {progress.total:,} ids were drawn before")
        last = progress.done >= progress.total
        if now - self._shown < (EVERY if self._bars is None else OFTEN) and not last:
            return
        self._shown = now
        speed = max(progress.done - progress.earlier, 1) / max(now - self._begun, 1e-6)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=progress.done, speed=speed)
        elif not last:
            left = (progress.total - progress.done) / speed
            share = progress.done / progress.total
            say(
                f"level {progress.level}: {progress.done:,} of {progress.total:,} ids ({share:.0%}), {speed:,.0f}/s, "
                f"{_time(left)} left"
            )

    def say(self, text: str) -> None:
        """Show a line."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            say(text)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
