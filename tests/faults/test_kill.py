"""Fault 1: kill -9 at any byte and at any operation; what is resumed ends like a run that was left alone."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults import processes
from tests.train import small
from zoo.weights import files
from zoo.weights.folder import read

TRAIN = small.settings(steps=6, save_every=2, evaluate_every=3, average=0.9, patience=5)


def run(out: Path, *, resume: bool = False, **options: object) -> None:
    small.trainer(out, TRAIN, resume=resume, **options).run()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run comes to that nothing disturbs."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    run(out)
    return processes.digests(out)


def assert_recovers(out: Path, alone: dict[str, str]) -> None:
    run(out, resume=True)
    assert processes.digests(out) == alone
    files.verify(out)
    names = set(files.files_below(out))
    assert not [name for name in names if ".tmp" in name or "lock" in name]
    assert len(list((out / "training").iterdir())) == 2


def test_killed_at_fifty_random_bytes(tmp_path: Path, alone: dict[str, str]) -> None:
    total = 0
    write = files.write_all

    def counting(descriptor: int, data: memoryview) -> None:
        nonlocal total
        total += len(data)
        write(descriptor, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "write_all", counting)
        run(tmp_path / "counted")
    assert total > 50_000
    for offset in random.Random(1).sample(range(total), 50):
        out = tmp_path / str(offset)

        def work(out: Path = out, offset: int = offset) -> None:
            processes.die_after_bytes(offset)
            run(out)

        assert processes.finish(processes.start(work)) == -signal.SIGKILL
        assert_recovers(out, alone)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_between_operations_on_the_file_system(tmp_path: Path, alone: dict[str, str], stride: int) -> None:
    number = 1
    while True:
        out = tmp_path / str(number)

        def work(out: Path = out, number: int = number) -> None:
            processes.die_at_operation(number)
            run(out)

        code = processes.finish(processes.start(work))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert_recovers(out, alone)
        number += stride
    assert number > 100  # operations that were tried


def test_killed_twice_in_a_row(tmp_path: Path, alone: dict[str, str]) -> None:
    for first, second in ((40_000, 30_000), (70_000, 9_000), (100_000, 1)):
        out = tmp_path / str(first)

        def work(out: Path = out, offset: int = first) -> None:
            processes.die_after_bytes(offset)
            run(out, resume=True)

        def again(out: Path = out, offset: int = second) -> None:
            processes.die_after_bytes(offset)
            run(out, resume=True)

        assert processes.finish(processes.start(work)) == -signal.SIGKILL
        assert processes.finish(processes.start(again)) == -signal.SIGKILL
        assert_recovers(out, alone)


def test_killed_from_outside_at_random_moments(tmp_path: Path, alone: dict[str, str]) -> None:
    pauses, kills = random.Random(2), 0
    for index in range(10):
        out = tmp_path / str(index)
        child = processes.start(lambda out=out: run(out))
        time.sleep(pauses.uniform(0.01, 0.4))
        os.kill(child, signal.SIGKILL)
        code = processes.finish(child)
        assert code in (-signal.SIGKILL, 0)  # it may have been faster
        kills += code != 0
        assert_recovers(out, alone)
    assert kills


def test_a_checkpoint_cut_off_between_its_files_is_refused_until_the_run_is_resumed(
    tmp_path: Path, alone: dict[str, str]
) -> None:
    out = tmp_path / "out"
    run(out)
    (out / "model.safetensors").write_bytes((out / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model.safetensors does not match.*resume=true"):
        read(out).tensors()
    assert_recovers(out, alone)
    assert read(out).tensors()
