"""Faults 2 and 3: SIGTERM and SIGINT, and stopping after every step of every kind of run."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import processes
from tests.train import small
from zoo.data.base import Batch
from zoo.train.loop import Interrupted
from zoo.train.monitor import Quiet, Report
from zoo.train.optimizer import AdamW, Muon
from zoo.weights import files


class SlowData(small.CountingData):
    """Rows that take their time, so that a signal comes in the middle."""

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        time.sleep(0.02)
        return super().batch(step=step, size=size, seed=seed)

    def held_out(self, size: int) -> Iterator[Batch]:
        for rows in super().held_out(1):
            time.sleep(0.3)
            yield rows


def stopped_in_time(out: Path, number: int, *, wait_for: str, signals: int = 1, slow_save: bool = False) -> int:
    """Start a run in a child, send it signals once it has come as far as ``wait_for``, and return its exit code."""
    marks = out.parent / f"{out.name}-marks"

    class Marking(SlowData):
        def held_out(self, size: int) -> Iterator[Batch]:
            marks.write_text("evaluating")
            yield from super().held_out(size)

        def batch(self, *, step: int, size: int, seed: int) -> Batch:
            if step == 5:
                marks.write_text("training")
            return super().batch(step=step, size=size, seed=seed)

    def work() -> None:
        write = files.write_all

        def slowly(descriptor: int, data: memoryview) -> None:
            marks.write_text("saving")
            time.sleep(0.05)
            write(descriptor, data)

        if slow_save:
            files.write_all = slowly
        small.trainer(out, small.settings(steps=12, save_every=100, evaluate_every=8), data=Marking()).run()

    child = processes.start(work)
    deadline = time.monotonic() + 60
    while not marks.exists() or marks.read_text() != wait_for:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    began = time.monotonic()
    os.kill(child, number)
    for _ in range(signals - 1):
        time.sleep(0.15)
        os.kill(child, number)
    code = processes.finish(child)
    assert time.monotonic() - began < 10
    return code


@pytest.mark.parametrize(
    ("number", "wait_for", "signals"),
    [
        (signal.SIGTERM, "training", 1),
        (signal.SIGINT, "training", 1),
        (signal.SIGTERM, "evaluating", 1),
        (signal.SIGTERM, "training", 3),
    ],
)
def test_a_signal_saves_and_stops(tmp_path: Path, number: int, wait_for: str, signals: int) -> None:
    out = tmp_path / "out"
    code = stopped_in_time(out, number, wait_for=wait_for, signals=signals, slow_save=signals > 1)
    assert code == 128 + number
    files.verify(out)
    saved = [path.name for path in (out / "training").iterdir()]
    assert len(saved) == 1
    if wait_for == "evaluating":
        assert saved == ["step-00000008"]
    train = small.settings(steps=12, save_every=100, evaluate_every=8)
    small.trainer(out, train, resume=True).run()
    small.trainer(tmp_path / "alone", train).run()
    assert processes.digests(out) == processes.digests(tmp_path / "alone")


class StopAt(Quiet):
    """Sends SIGTERM to this process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, report: Report) -> None:
        if report.step == self.step:
            signal.raise_signal(signal.SIGTERM)


OPTIMIZERS = {"adamw": AdamW(), "muon": Muon()}
FAST = [("adamw", 0.0, 1, 0, 7), ("muon", 0.9, 4, 2, 10), ("adamw", 0.9, 4, 2, 1), ("muon", 0.0, 1, 0, 19)]
ALL = list(itertools.product(OPTIMIZERS, (0.0, 0.9), (1, 4), (0, 2)))


def stop_and_resume(
    folder: Path, optimizer: str, average: float, accumulation: int, workers: int, steps: range
) -> None:
    train = small.settings(
        optimizer=OPTIMIZERS[optimizer],
        average=average,
        accumulation=accumulation,
        workers=workers,
        evaluate_every=4,
        save_every=6,
    )
    small.trainer(folder / "alone", train).run()
    alone = processes.digests(folder / "alone")
    for step in steps:
        out = folder / str(step)
        if step < train.steps:
            with pytest.raises(Interrupted) as stop:
                small.trainer(out, train, monitor=StopAt(step)).run()
            assert stop.value.signal == signal.SIGTERM
        else:
            small.trainer(out, train).run()
        # Other first weights: a resumed run must not depend on them.
        result = small.trainer(out, train, resume=True, network=small.network(99)).run()
        assert (result.step, result.tokens) == (20, 20 * accumulation * 4 * small.CONTEXT)
        assert processes.digests(out) == alone


@pytest.mark.parametrize(("optimizer", "average", "accumulation", "workers", "step"), FAST)
def test_stopped_and_resumed(
    tmp_path: Path, optimizer: str, average: float, accumulation: int, workers: int, step: int
) -> None:
    stop_and_resume(tmp_path, optimizer, average, accumulation, workers, range(step, step + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "average", "accumulation", "workers"), ALL)
def test_stopped_after_every_step(
    tmp_path: Path, optimizer: str, average: float, accumulation: int, workers: int
) -> None:
    stop_and_resume(tmp_path, optimizer, average, accumulation, workers, range(1, 21))


def test_patience_survives_a_stop(tmp_path: Path) -> None:
    train = small.settings(steps=40, learning_rate=5e-1, evaluate_every=2, patience=4, clip=0.0)
    alone = small.trainer(tmp_path / "alone", train).run()
    assert alone.step < 40
    with pytest.raises(Interrupted):
        small.trainer(tmp_path / "out", train, monitor=StopAt(alone.step - 1)).run()
    assert small.trainer(tmp_path / "out", train, resume=True).run().metrics == alone.metrics
    assert processes.digests(tmp_path / "out") == processes.digests(tmp_path / "alone")
