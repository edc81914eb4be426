"""Samples by themselves: what they are called, and that files which belong together are read once."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.samples import samples_of
from zoo.errors import ZooError


def write_idx(folder: Path, train: int, test: int) -> None:
    """Write MNIST's four files of so many pictures, picture n of value n."""
    for part, count, first in (("train", train, 0), ("t10k", test, train)):
        pictures = np.repeat(np.arange(first, first + count, dtype=np.uint8), 9).tobytes()
        head = struct.pack(">4B3I", 0, 0, 8, 3, count, 3, 3)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pictures)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(count))


def test_four_files_of_mnist_are_read_once(tmp_path: Path) -> None:
    write_idx(tmp_path, 5, 3)
    found = list(samples_of([str(tmp_path)], "image"))
    assert [one.name for one in found] == [f"{tmp_path}:{number}" for number in range(8)]
    assert [int(one.read()[0, 0, 0]) for one in found] == list(range(8))


def test_names_tell_folders_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1/x.png", "b/1/x.png"):
        Path(name).parent.mkdir(parents=True)
        Image.new("L", (2, 2)).save(name)
    assert [one.name for one in samples_of(["a", "b/"], "image")] == ["a/1/x.png", "b/1/x.png"]


@pytest.mark.parametrize(("other", "what"), [("b.csv", "tables"), ("b.wav", "sounds"), ("b.png", "images")])
def test_several_kinds_in_one_folder_are_refused(tmp_path: Path, other: str, what: str) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / other).write_text("text\ntwo\n")
    with pytest.raises(ZooError, match=rf"mixes text and {what} \('{other}'\); give a folder of one kind"):
        list(samples_of([str(tmp_path)], "text"))
