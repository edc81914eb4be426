"""TensorFlow's checkpoints: what is written is what is read; what is broken is refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.weights import tensorflow_files as files
from zoo.errors import ZooError
from zoo.weights.crc32c import crc32c, masked
from zoo.weights.tensorflow import TensorflowSource


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(0)
    some: dict[str, np.ndarray[Any, Any]] = {
        f"model/h{layer}/attn/w": draw.normal(size=(2, 3)).astype(np.float32) for layer in range(60)
    }
    kinds = ("float64", "int32", "uint8", "int16", "int8", "int64", "bool")
    some |= {f"kinds/{kind}": draw.integers(0, 2, size=(2, 1, 2)).astype(kind) for kind in kinds}
    return some | {"scalar": np.array(7.5, dtype=np.float32), "none": np.zeros((0, 3), dtype=np.float32)}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    files.write_checkpoint(tmp_path / "x.ckpt", arrays(), shards=3)
    return tmp_path / "x.ckpt.index"


def test_what_is_written_is_what_is_read(index: Path) -> None:
    source, expected = TensorflowSource(index), arrays()
    assert sorted(source.names()) == sorted(expected)
    for name, array in expected.items():
        assert source.shape(name) == array.shape
        assert np.array_equal(source.read(name).numpy(), array)
        assert str(source.read(name).dtype) == f"torch.{array.dtype}"
    assert torch.equal(source.read("kinds/int8", 1, 2), source.read("kinds/int8")[1:2])


@given(st.binary(max_size=5000), st.integers(0, 5000))
def test_checksums(data: bytes, cut: int) -> None:
    assert crc32c(data) == files.crc32c(data)
    assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)
    assert masked(crc32c(data)) == files.masked(data)


def test_checksum_of_published_vectors_and_long_data() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    long = np.random.default_rng(1).integers(0, 256, 3_000_001, dtype=np.uint8)
    assert crc32c(long) == crc32c(long[1_000_000:], crc32c(long[:1_000_000]))
    assert crc32c(long[:200_001]) == files.crc32c(long[:200_001].tobytes())


def test_changed_numbers_do_not_match_their_checksum(index: Path) -> None:
    data = index.with_name("x.ckpt.data-00001-of-00003")
    content = bytearray(data.read_bytes())
    content[5] ^= 1
    data.write_bytes(content)
    source = TensorflowSource(index)
    wrong = []
    for name in source.names():
        try:
            source.read(name)
        except ZooError as error:
            wrong.append((name, str(error)))
    ((name, message),) = wrong
    assert f"the bytes of '{name}' do not match their checksum" in message


def test_every_cut_of_the_index_is_refused(index: Path) -> None:
    content = index.read_bytes()
    for length in range(0, len(content), 37):
        index.write_bytes(content[:length])
        with pytest.raises(ZooError, match=r"is no sound TensorFlow checkpoint"):
            TensorflowSource(index)


def test_every_changed_byte_of_the_index_is_found(index: Path) -> None:
    """All of it is under a checksum but for the footer, and the unused block."""
    content, expected = index.read_bytes(), TensorflowSource(index).names()
    refused = []
    for at in range(0, len(content), 11):
        index.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        try:
            assert TensorflowSource(index).names() == expected
        except ZooError as error:
            refused.append(str(error))
    assert len(refused) >= len(range(0, len(content) - 80, 11))
    assert "\n" not in "".join(refused)


def test_missing_or_short_data_files_are_named(index: Path) -> None:
    data = index.with_name("x.ckpt.data-00002-of-00003")
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    with pytest.raises(ZooError, match="lies outside of its data file"):
        TensorflowSource(index)
    data.unlink()
    with pytest.raises(ZooError, match=r"data-00002-of-00003 is missing"):
        TensorflowSource(index)


ONE = (1, (2, 2), 0, 0, 16, 0)
"""Kind, shape, shard, offset, size and checksum of a sound entry."""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({1: (1 << 40, 1 << 40)}, "type, shape and size"),
        ({1: (1 << 62, 4)}, "shape of tensor 'x' is impossible"),
        ({1: (1,) * 17}, "shape of tensor 'x' is impossible"),
        ({1: ((1 << 64) - 1, 4)}, "shape of tensor 'x' is impossible"),  # -1 as TensorFlow writes it
        ({2: 9}, "lies outside of its data file"),
        ({2: (1 << 64) - 1}, "type, shape and size"),
        ({3: 1 << 40}, "lies outside of its data file"),
        ({3: (1 << 64) - 16}, "type, shape and size"),
        ({4: 12}, "type, shape and size"),
        ({4: 1 << 60}, "type, shape and size"),
    ],
)
def test_impossible_entries(tmp_path: Path, changed: dict[int, Any], message: str) -> None:
    values = [changed.get(place, value) for place, value in enumerate(ONE)]
    write_index(tmp_path, [(b"", files.header(1)), (b"x", files.entry(*values))])
    with pytest.raises(ZooError, match=message):
        TensorflowSource(tmp_path / "x.index")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([(b"x", files.entry(*ONE))], "no header"),
        ([(b"", files.header(0))], "states 0 data files"),
        ([(b"", files.header(1 << 30))], "states 1073741824 data files"),
        ([(b"", files.header(1) + files.number(2, 1))], "big-endian"),
        ([(b"", files.header(1)), (b"x", b"\xff" * 12)], "too long"),
        ([(b"", files.header(1)), (b"x", b"\x0b")], "unknown form"),
        ([(b"", files.header(1)), (b"x", files.nested(2, b"ab")[:-1])], "cut short"),
        ([(b"", files.header(1)), (b"x", files.entry(*ONE) + files.nested(7, b""))], "saved in slices"),
        ([(b"", files.header(1)), (b"x", files.entry(*ONE)), (b"x", files.entry(*ONE))], "stands twice"),
        ([(b"", files.header(1)), (b"../\xff", files.entry(*ONE))], "no plain text"),
        ([(b"", files.header(1)), (b"n" * 2000, files.entry(*ONE))], "too long"),
        ([(b"", files.header(1)), (b"x", files.nested(2, files.nested(2, b"\x08" + b"\x80" * 11)))], "too long"),
    ],
)
def test_impossible_tables(tmp_path: Path, entries: list[tuple[bytes, bytes]], message: str) -> None:
    write_index(tmp_path, entries)
    with pytest.raises(ZooError, match=message):
        TensorflowSource(tmp_path / "x.index")


def test_blocks_beyond_the_file_and_packed_blocks(tmp_path: Path) -> None:
    content = files.table([(b"", files.header(1))])
    for place in (files.varint(1 << 40), files.varint(len(content))):
        footer = (files.varint(0) * 2 + place + files.varint(20)).ljust(40, b"\0") + content[-8:]
        (tmp_path / "x.index").write_bytes(content[:-48] + footer)
        with pytest.raises(ZooError, match="a block lies outside of the file"):
            TensorflowSource(tmp_path / "x.index")
    packed = bytearray(content)
    packed[len(files.block([(b"", files.header(1))])) - 5] = 1  # the type of the first block: snappy
    (tmp_path / "x.index").write_bytes(packed)
    with pytest.raises(ZooError, match="it is compressed"):
        TensorflowSource(tmp_path / "x.index")


def write_index(folder: Path, entries: list[tuple[bytes, bytes]]) -> None:
    (folder / "x.index").write_bytes(files.table(entries))
    (folder / "x.data-00000-of-00001").write_bytes(bytes(16))
