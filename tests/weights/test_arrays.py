"""NumPy's files: read in place, whole or in part, packed or not; objects and lies are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.weights.arrays import HEADER_LIMIT, FlatSource, NpzSource, read_header

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "model/wte": np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32),
    "half": np.arange(6, dtype=np.float16).reshape(1, 2, 3),
    "zeros": np.zeros((300, 400), dtype=np.float32),
    "scalar": np.array(3, dtype=np.int64),
    "none": np.zeros((0, 3), dtype=np.float64),
    "flat": np.arange(4, dtype=np.uint8),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_arrays(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "x.npz", **ARRAYS)
    source = NpzSource(tmp_path / "x.npz")
    assert sorted(source.names()) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert source.shape(name) == array.shape
        assert np.array_equal(source.read(name).numpy(), array)
        if array.ndim:
            assert np.array_equal(source.read(name, 1, 3).numpy(), array[1:3])


@given(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"]))
def test_headers(shape: list[int], kind: str) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros(shape, dtype=kind))
    header = read_header(stream.getvalue()[:HEADER_LIMIT], "x.npy")
    assert header.shape == tuple(shape)
    assert header.size == len(stream.getvalue())


def npy(header: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"", "does not begin as .npy files do"),
        (b"\x93NUMPY\x03\x00\x00\x00\x00\x00", "does not begin as .npy files do"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }")[:40], "cut short or too long"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "cut short or too long"),
        (
            npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"),
            r"type '\|O' are not read \(it is a pickle\)",
        ),
        (npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"), "type '>f4' are not read"),
        (npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }"), "type '<c8' are not read"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }"), "no plain array|not describe"),
        (npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }"), "column by column"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"), "not describe a plain array"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2 2,), }"), "shape is impossible"),
        (npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9' * 30},), }}"), "shape is impossible"),
        (npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'1, ' * 40}), }}"), "shape is impossible"),
        (npy("__import__('os').system('x')"), "not describe a plain array"),
        (npy("(" * 3000), "not describe a plain array"),
    ],
)
def test_headers_that_are_refused(begin: bytes, message: str) -> None:
    with pytest.raises(ZooError, match=f"^x.npy is no sound array of numbers: .*{message}"):
        read_header(begin, "x.npy")


def test_members_that_are_no_arrays_or_not_of_their_size(tmp_path: Path) -> None:
    whole = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }") + bytes(8)
    for name, content, message in (
        ("x.npy", whole[:-1], "bytes, not the"),
        ("x.npy", whole + b"\0", "bytes, not the"),
        ("x.txt", whole, "is no array"),
    ):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(ZooError, match=message):
            NpzSource(tmp_path / "x.npz")


def test_flat_files(tmp_path: Path) -> None:
    numbers = np.arange(100, dtype=np.float32)
    paths = [tmp_path / f"params_{index}.npy" for index in range(10)]
    for path, part in zip(paths, np.array_split(numbers, 10), strict=True):
        np.save(path, part)
    shapes = {"a": (3, 5), "b": (), "c": (0, 2), "d": (84,)}
    source = FlatSource(paths, shapes)
    assert np.array_equal(source.read("a").numpy(), numbers[:15].reshape(3, 5))
    assert np.array_equal(source.read("a", 1, 3).numpy(), numbers[5:15].reshape(2, 5))
    assert source.read("b").item() == 15
    assert source.read("c").shape == (0, 2)
    assert np.array_equal(source.read("d").numpy(), numbers[16:])
    with pytest.raises(ZooError, match="hold 100 numbers, not the 101 of the stated shapes"):
        FlatSource(paths, {**shapes, "e": ()})
    np.save(paths[3], numbers[30:40].astype(np.float64))
    with pytest.raises(ZooError, match=r"params_3\.npy holds numbers of another type"):
        FlatSource(paths, shapes)
    np.save(paths[3], numbers[30:40].reshape(2, 5))
    with pytest.raises(ZooError, match=r"params_3\.npy is not flat"):
        FlatSource(paths, shapes)
    paths[3].unlink()
    with pytest.raises(ZooError, match=r"params_3\.npy cannot be read: No such file"):
        FlatSource(paths, shapes)
