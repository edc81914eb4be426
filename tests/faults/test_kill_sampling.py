"""Faults 1 and 2 for music: ``kill -9`` and SIGTERM lose nothing, and a run that goes on ends in the same samples."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faults.processes import die_after_bytes, finish, start
from tests.stack.parts import RATE, save
from zoo.cli.main import main
from zoo.stack import journal as journals
from zoo.stack.journal import MISSING, Journal

WORDS = [
    "artist=flute",
    "genre=hymn",
    "lyrics=do re mi fa so la ti do",
    f"seconds={40 * 8 / RATE}",
    "count=2",
    "device=cpu",
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save(tmp_path_factory.mktemp("stack"))


def generate(stack: Path, out: Path, *words: str) -> int:
    return main(["generate", str(stack), *WORDS, f"out={out}", *words])


def result(out: Path) -> dict[str, bytes]:
    with np.load(out / "codes.npz") as arrays:
        codes = {name: arrays[name].tobytes() for name in arrays.files}
    return codes | {name: (out / name).read_bytes() for name in ("000.wav", "001.wav", "level_2/001.wav")}


def test_killed_at_random_moments(stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "WRITE", 0.0)  # every step is written, so that there is something to go on from
    assert generate(stack, tmp_path / "whole") == 0
    whole, chance = result(tmp_path / "whole"), random.Random(1)
    for number in range(3):
        out, kills = tmp_path / str(number), 0
        while True:
            limit = chance.randrange(300, 9000)

            def work(out: Path = out, limit: int = limit) -> None:
                die_after_bytes(limit)
                os._exit(generate(stack, out, "resume=true"))

            code = finish(start(work))
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
            assert kills < 40
        assert kills
        assert result(out) == whole


def test_terminated(stack: Path, tmp_path: Path) -> None:
    assert generate(stack, tmp_path / "whole") == 0
    out = tmp_path / "stopped"
    child = start(lambda: os._exit(generate(stack, out)))
    until = time.monotonic() + 60
    while not list(out.glob("sampling/level_*.codes")) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    assert finish(child) in (143, 0)
    assert generate(stack, out, "resume=true") == 0
    assert result(out) == result(tmp_path / "whole")


def test_other_settings_are_refused(stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(stack, tmp_path / "a") == 0
    assert generate(stack, tmp_path / "a", "resume=true", "temperature=0.5") == 2
    assert "was drawn with temperature=None, not [0.5]" in capsys.readouterr().err
    assert generate(stack, tmp_path / "a") == 2
    assert "add resume=true, overwrite=true" in capsys.readouterr().err


def test_damaged_alignments_are_looked_for_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({}, {})
        journal.keep_alignments(2, [torch.rand(40, 9)])
        path = tmp_path / "sampling" / "level_2.alignment.npz"
        data = path.read_bytes()
        assert journal.alignments(2) is not None
        for place in range(0, len(data), 7):
            for damaged in (data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]):
                path.write_bytes(damaged)
                kept = journal.alignments(2)  # raises nothing
                assert kept is None or len(kept) <= 1


def test_a_damaged_record_and_what_follows_it_are_drawn_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({}, {})
        for position in range(9):
            journal.add(2, [0, 1], [position, position], [position, 10 + position])
            if position in (3, 6):
                journal.flush()
    path = tmp_path / "sampling" / "level_2.codes"
    data = path.read_bytes()
    for cut in (1, 30, len(data) - 1):
        path.write_bytes(data[:cut])
        codes = Journal(tmp_path).read(2, 2, 12)
        known = codes != MISSING
        assert torch.equal(codes[known], (torch.arange(12) + torch.tensor([[0], [10]]))[known])
        assert len(path.read_bytes()) <= cut
    flipped = bytearray(data)
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    assert int((Journal(tmp_path).read(2, 2, 12)[1] != MISSING).sum()) == 7
