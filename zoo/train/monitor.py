"""What people see while a network trains: a progress bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@dataclass(frozen=True, kw_only=True)
class Report:
    """One update.

    Attributes:
        step: updates so far.
        steps: updates in all.
        loss: nats per predicted id of this update's rows.
        learning_rate: of this update.
        tokens_per_second: since the last report.
        unit: what the tokens are called.
        also: what else there is to tell, e.g. how a codebook is used.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    unit: str = "tokens"
    also: str = ""


class Monitor(Protocol):
    """Hears what happens in a training run."""

    def on_start(self, step: int, steps: int) -> None:
        """The run begins after ``step`` completed updates."""

    def on_step(self, report: Report) -> None:
        """An update is done (told every ``log_every`` updates)."""

    def on_evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        """The held-out part has been evaluated."""

    def on_save(self, step: int) -> None:
        """A checkpoint is complete."""

    def note(self, text: str) -> None:
        """Something people should read."""

    def on_end(self) -> None:
        """The run is over, for whatever reason."""


class Quiet:
    """Says nothing."""

    def on_start(self, step: int, steps: int) -> None: ...

    def on_step(self, report: Report) -> None: ...

    def on_evaluation(self, step: int, metrics: Mapping[str, Any]) -> None: ...

    def on_save(self, step: int) -> None: ...

    def note(self, text: str) -> None: ...

    def on_end(self) -> None: ...


class Lines:
    """A line on stderr every ``seconds`` and after each evaluation: for log files.

    Args:
        heading: what to say first, once it is known that the run begins.
        seconds: between lines.
    """

    def __init__(self, heading: str = "", *, seconds: float = 10.0) -> None:
        self.heading, self.seconds = heading, seconds
        self._last = 0.0

    def on_start(self, step: int, steps: int) -> None:
        if self.heading:
            self.note(self.heading)
        self.note(f"training from step {step} to {steps}" if step else f"training for {steps} steps")

    def on_step(self, report: Report) -> None:
        if time.monotonic() - self._last >= self.seconds:
            self._last = time.monotonic()
            self.note(
                f"step {report.step}/{report.steps}  loss {report.loss:.4f}  rate {report.learning_rate:.2e}  "
                f"{report.tokens_per_second:,.0f} {report.unit}/s{'  ' * bool(report.also)}{report.also}"
            )

    def on_evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        self.note(f"step {step}  held-out: {describe(metrics)}")

    def on_save(self, step: int) -> None: ...

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def on_end(self) -> None: ...


class Bar:
    """A progress bar on stderr: losses, tokens per second, time left.

    Args:
        heading: what to say first, once it is known that the run begins.
    """

    def __init__(self, heading: str = "") -> None:
        self.heading = heading
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[held_out]}"),
            TextColumn("{task.fields[also]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=4,
        )
        self._task = TaskID(0)
        self._loss: float | None = None

    def on_start(self, step: int, steps: int) -> None:
        if self.heading:
            print(self.heading, file=sys.stderr, flush=True)  # it has its own bold and dim
        self._task = self.progress.add_task("", total=steps, completed=step, loss="", held_out="", speed="", also="")
        self.progress.start()

    def on_step(self, report: Report) -> None:
        self._loss = report.loss if self._loss is None else 0.9 * self._loss + 0.1 * report.loss
        speed = f"{report.tokens_per_second:,.0f} {report.unit}/s"
        self.progress.update(
            self._task, completed=report.step, loss=f"loss {self._loss:.3f}", speed=speed, also=report.also
        )

    def on_evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        self.progress.update(self._task, held_out=f"held-out {metrics['loss']:.3f}")
        self.console.print(f"step {step}  held-out: {describe(metrics)}", highlight=False, soft_wrap=True)

    def on_save(self, step: int) -> None: ...

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def on_end(self) -> None:
        self.progress.stop()


def monitor(heading: str = "") -> Monitor:
    """Return the monitor that suits stderr: a bar in a terminal, lines elsewhere; both say ``heading`` first."""
    return Bar(heading) if sys.stderr.isatty() else Lines(heading)


def describe(metrics: Mapping[str, Any]) -> str:
    """Return numbers as ``loss 1.234  bits_per_byte 1.8``."""
    shown = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return "  ".join(
        f"{name} {str(value).lower() if isinstance(value, bool) else format(value, '.4g')}"
        for name, value in shown.items()
    )
