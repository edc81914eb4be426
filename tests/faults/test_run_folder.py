"""Faults 8, 9, 10 and 21: full disks, folders that cannot be written, losses that are no numbers, two runs at once."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.faults import processes
from tests.train import small
from zoo.data.base import Batch
from zoo.errors import ZooError
from zoo.train.monitor import Quiet
from zoo.weights import files
from zoo.weights.files import files_below, verify
from zoo.weights.folder import read

ROOT = Path(__file__).resolve().parents[2]


class Disk:
    """A double of the disk with room for so many more bytes."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room
        write = files.write_all

        def limited(descriptor: int, data: memoryview) -> None:
            if len(data) > self.room:
                write(descriptor, data[: self.room])
                self.room = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= len(data)
            write(descriptor, data)

        monkeypatch.setattr(files, "write_all", limited)


@pytest.mark.parametrize("room", [0, 3_000, 20_000, 27_000, 30_000, 38_000, 60_000, 61_500])
def test_a_full_disk_stops_the_run_and_spares_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    out = tmp_path / "out"
    disk = Disk(room, monkeypatch)
    with pytest.raises(ZooError, match=r"cannot save step \d+ .*No space left.*resume=true") as error:
        small.trainer(out, small.settings(save_every=2)).run()
    assert "\n" not in str(error.value)
    assert not [name for name in files_below(out) if ".tmp" in name] if out.exists() else True
    for state in (out / "training").glob("step-*"):
        verify(state)
    disk.room = 1 << 40
    small.trainer(out, small.settings(save_every=2), resume=True).run()
    small.trainer(tmp_path / "alone", small.settings(save_every=2)).run()
    assert processes.digests(out) == processes.digests(tmp_path / "alone")


def test_a_full_disk_under_the_log_costs_one_warning(tmp_path: Path) -> None:
    notes: list[str] = []

    class Listening(Quiet):
        def on_start(self, step: int, steps: int) -> None:
            (tmp_path / "out" / "metrics.jsonl").symlink_to("/dev/full")

        def note(self, text: str) -> None:
            notes.append(text)

    result = small.trainer(tmp_path / "out", monitor=Listening()).run()
    assert result.step == 20
    assert len(notes) == 1
    assert "metrics.jsonl: No space left on device; training goes on" in notes[0]


SMALL_DISK = """
import sys
from pathlib import Path
from tests.train import small
from zoo.errors import ZooError
try:
    small.trainer(Path(sys.argv[1]) / "out", small.settings(steps=400, save_every=1, log_every=1), resume=True).run()
except ZooError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_real_disk_of_one_megabyte(tmp_path: Path) -> None:
    """The disk is filled up beside the run; afterwards the states on it are whole."""
    mounted = f"mount -t tmpfs -o size=1m none {tmp_path} && head -c 940000 /dev/zero > {tmp_path}/ballast"
    command = f"{mounted} && {sys.executable} -c '{SMALL_DISK}' {tmp_path} && cp -r {tmp_path}/out {tmp_path}-copy"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    states = list(Path(f"{tmp_path}-copy/training").glob("*"))
    assert states
    for state in states:
        verify(state)


def test_a_folder_that_cannot_be_made_fails_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match=r"cannot write to .*file/out: Not a directory; choose another folder with out="):
        small.trainer(tmp_path / "file" / "out", data=Untouchable()).run()


class Untouchable(small.CountingData):
    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        raise AssertionError("a step was made")


def test_a_folder_without_permission_fails_before_the_first_step(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    said = tmp_path / "said"
    said.touch()
    said.chmod(0o666)
    for folder in [tmp_path, *tmp_path.parents[:3]]:
        folder.chmod(folder.stat().st_mode | 0o055)
    closed.chmod(0o555)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            small.trainer(closed, data=Untouchable()).run()
        except ZooError as error:
            said.write_text(str(error))

    assert processes.finish(processes.start(work)) == 0
    assert said.read_text() == f"cannot write to {closed}: Permission denied; choose another folder with out=DIR"
    assert not list(closed.iterdir())


class Spoiling(nn.Module):
    """A network whose logits, or whose gradients, turn into NaN in a given forward pass."""

    def __init__(self, inner: nn.Module, at: int, *, gradient_only: bool = False) -> None:
        super().__init__()
        self.inner, self.at, self.calls, self.gradient_only = inner, at, 0, gradient_only

    def forward(self, ids: Tensor, **options: Any) -> Tensor:
        logits: Tensor = self.inner(ids, **options)
        if self.training:
            self.calls += 1
            if self.calls == self.at and self.gradient_only:
                logits.register_hook(lambda gradient: gradient * float("nan"))
            elif self.calls == self.at:
                logits = logits + float("nan")
        return logits


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_loss_that_is_no_number_stops_before_the_update(
    tmp_path: Path, gradient_only: bool, accumulation: int
) -> None:
    train = small.settings(save_every=5, accumulation=accumulation)
    at = 7 * accumulation + min(2, accumulation)  # in update 8
    network = Spoiling(small.network(), at, gradient_only=gradient_only)
    with pytest.raises(ZooError, match="stopped before update 8") as error:
        small.trainer(tmp_path / "out", train, network=network).run()
    numbers = range(at - 1, at) if not gradient_only else range(7 * accumulation, 8 * accumulation)
    rows = [
        row for number in numbers for row in small.CountingData().batch(step=number, size=4, seed=0).indices.tolist()
    ]
    assert f"the rows at {', '.join(map(str, rows))};" in str(error.value)
    assert "\n" not in str(error.value)
    seventh = Spoiling(small.network(), -1)
    small.trainer(tmp_path / "seven", dataclasses.replace(train, steps=7), network=seventh).run()
    saved, wanted = read(tmp_path / "out"), read(tmp_path / "seven")
    assert saved.card["steps"] == 7
    # Both runs are still warming up at step 7, so that their number of steps makes no difference.
    assert all(torch.equal(saved.tensors()[name], tensor) for name, tensor in wanted.tensors().items())


def test_a_loss_that_is_no_number_at_once_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(
        ZooError, match=r"before update 1: the loss is nan on the rows at .*nothing has been trained yet"
    ):
        small.trainer(tmp_path / "out", network=Spoiling(small.network(), 1)).run()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert small.trainer(tmp_path / "out").run().step == 20


class Slow(small.CountingData):
    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        time.sleep(0.05)
        return super().batch(step=step, size=size, seed=seed)


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path, options: dict[str, bool]) -> None:
    out = tmp_path / "out"
    child = processes.start(lambda: small.trainer(out, small.settings(steps=1000), data=Slow()).run())
    try:
        deadline = time.monotonic() + 60
        while not (out / "metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = files_below(out / "training")
        with pytest.raises(ZooError, match=rf"out is in use by process {child}; wait for it, or choose another out="):
            small.trainer(out, **options).run()
        assert set(before) <= set(files_below(out / "training"))
    finally:
        os.kill(child, signal.SIGKILL)
        processes.finish(child)
    assert (out / ".lock").read_text().strip() == str(child)  # its lock counts for nothing now
    assert small.trainer(out, resume=True).run().step == 20


def test_what_is_in_a_folder_is_touched_only_if_somebody_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small.trainer(out, small.settings(steps=5)).run()
    before = {name: (out / name).read_bytes() for name in files_below(out)}
    with pytest.raises(ZooError, match=r"is not empty; add resume=true .* overwrite=true .* another out=DIR"):
        small.trainer(out).run()
    with pytest.raises(ZooError, match="contradict"):
        small.trainer(out, resume=True, overwrite=True).run()
    assert before == {name: (out / name).read_bytes() for name in files_below(out)}
    small.trainer(out, small.settings(steps=5), overwrite=True, seed=1).run()
    assert before["model.safetensors"] != (out / "model.safetensors").read_bytes()
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 5]


def test_overwrite_never_deletes_what_no_run_wrote(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ZooError, match="holds files but no run"):
        small.trainer(tmp_path, overwrite=True).run()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_checkpoint_without_a_training_state_is_not_resumed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small.trainer(out, small.settings(steps=5)).run()
    shutil.rmtree(out / "training")
    with pytest.raises(ZooError, match="without a training state; go on from its weights with init="):
        small.trainer(out, resume=True).run()
    load = read(out).tensors()
    assert load
