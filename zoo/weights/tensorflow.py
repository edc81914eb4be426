"""TensorFlow's checkpoints (``NAME.index`` beside ``NAME.data-00000-of-00001``), read without TensorFlow.

The index is a sorted table as in LevelDB: blocks of entries whose keys share prefixes, an index block, a footer. Its
values are protocol buffers that say where in the data files a tensor's bytes stand. Nothing in a file is believed
before it has been compared with the file's size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.weights.crc32c import crc32c, masked
from zoo.weights.tensors import Place, PlacedSource

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
INDEX_LIMIT = 2 << 20
"""Longest index file (bytes) that is read; GPT-2's have some 30 kB."""
MOST_TENSORS = 10_000
LONGEST_NAME = 1024
CHUNK = 4 << 20

DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}
"""TensorFlow's numbers of the types that are read (``DataType`` in types.proto)."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What the index says of a tensor."""

    dtype: torch.dtype | None
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class _BrokenError(Exception):
    """The index says something impossible; the text says what."""


class TensorflowSource(PlacedSource):
    """The variables of one checkpoint, by their names; what is not made of numbers is left out.

    Args:
        index: the ``.index`` file.

    Raises:
        ZooError: a file that is missing, cut short or impossible in itself.
    """

    def __init__(self, index: Path) -> None:
        places: dict[str, Place] = {}
        try:
            self._entries, shards = _read_index(_content(index))
            stem = index.name.removesuffix(".index")
            files = [index.with_name(f"{stem}.data-{shard:05d}-of-{shards:05d}") for shard in range(shards)]
            sizes = [_size(path) for path in files]
            for name, entry in self._entries.items():
                if entry.shard >= shards or entry.offset + entry.size > sizes[entry.shard]:
                    raise _BrokenError(f"tensor {name!r} lies outside of its data file, which may be cut short")
                if entry.dtype is not None:
                    places[name] = Place(
                        path=files[entry.shard], offset=entry.offset, shape=entry.shape, dtype=entry.dtype
                    )
        except _BrokenError as reason:
            raise ZooError(f"{index} is no sound TensorFlow checkpoint: {reason}; get its files again") from None
        super().__init__(places, index)
        self._checked: set[str] = set()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read a tensor, or a part; see ``TensorSource``. Its checksum is compared the first time.

        Raises:
            ZooError: the bytes are not those that were written.
        """
        if name not in self._checked:
            self._check(name)
        return super().read(name, start, stop)

    def _check(self, name: str) -> None:
        """Compare the checksum of a tensor's bytes."""
        place, entry = self._places[name], self._entries[name]
        crc, left = 0, entry.size
        with place.path.open("rb") as file:
            file.seek(place.offset)
            while left and (piece := file.read(min(left, CHUNK))):
                crc, left = crc32c(piece, crc), left - len(piece)
        if left or masked(crc) != entry.checksum:
            raise ZooError(f"{place.path}: the bytes of '{name}' do not match their checksum; get the file again")
        self._checked.add(name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise ZooError(f"{path} is missing: a TensorFlow checkpoint is an .index and its .data files") from None


def _content(index: Path) -> bytes:
    try:
        with index.open("rb") as file:
            content = file.read(INDEX_LIMIT + 1)
    except OSError as error:
        raise ZooError(f"{index} cannot be read: {error.strerror}") from None
    if len(content) > INDEX_LIMIT:
        raise ZooError(f"{index} is longer than {INDEX_LIMIT >> 20} MB: this is no index of a TensorFlow checkpoint")
    return content


def _read_index(content: bytes) -> tuple[dict[str, _Entry], int]:
    """Return every variable's entry, and the number of data files."""
    if len(content) < FOOTER or int.from_bytes(content[-8:], "little") != MAGIC:
        raise _BrokenError("its end is not that of an index file")
    footer = _Bytes(content[-FOOTER:-8])
    footer.varint(), footer.varint()  # where a block of no interest to us stands
    entries: dict[str, _Entry] = {}
    shards = 0
    for _, handle in _block(content, footer.varint(), footer.varint()):
        place = _Bytes(handle)
        for key, value in _block(content, place.varint(), place.varint()):
            if not key:
                shards = _header(value)
                continue
            name = _text(key)
            if name in entries:
                raise _BrokenError(f"the name {name!r} stands twice")
            if len(entries) >= MOST_TENSORS:
                raise _BrokenError(f"it has more than {MOST_TENSORS:,} tensors")
            entries[name] = _entry(name, value)
    if not shards:
        raise _BrokenError("it has no header")
    return entries, shards


def _block(content: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) entries of the block at ``start``."""
    end = start + size
    if end + 5 > len(content) - FOOTER or size < 4:
        raise _BrokenError("a block lies outside of the file")
    if content[end] != 0:
        raise _BrokenError("it is compressed, which TensorFlow never does to checkpoints")
    if masked(crc32c(content[start : end + 1])) != int.from_bytes(content[end + 1 : end + 5], "little"):
        raise _BrokenError("a block does not match its checksum")
    restarts = 4 * (int.from_bytes(content[end - 4 : end], "little") + 1)
    if restarts > size:
        raise _BrokenError("a block's list of restarts is longer than the block")
    entries = _Bytes(content[start : end - restarts])
    key = b""
    while entries.left:
        shared, own, length = entries.varint(), entries.varint(), entries.varint()
        if shared > len(key) or shared + own > LONGEST_NAME:
            raise _BrokenError("a name is impossible or too long")
        key = key[:shared] + entries.take(own)
        yield key, entries.take(length)


class _Bytes:
    """Bytes that are read from their beginning, never past their end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _BrokenError("it is cut short")
        self._at += count
        return self._content[self._at - count : self._at]

    def varint(self) -> int:
        """Return a number of up to 64 bits, seven a byte, the lowest first."""
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise _BrokenError("a number is too long")

    def fields(self) -> Iterator[tuple[int, int | bytes]]:
        """Yield a protocol buffer's (number, value): whole numbers, or bytes for what is nested."""
        while self.left:
            tag = self.varint()
            match tag & 7:
                case 0:
                    yield tag >> 3, self.varint()
                case 1:
                    yield tag >> 3, int.from_bytes(self.take(8), "little")
                case 2:
                    yield tag >> 3, self.take(self.varint())
                case 5:
                    yield tag >> 3, int.from_bytes(self.take(4), "little")
                case _:
                    raise _BrokenError("a field has an unknown form")


def _header(value: bytes) -> int:
    """Return the number of data files from a BundleHeaderProto."""
    fields = dict(_Bytes(value).fields())
    shards = fields.get(1, 0)
    if fields.get(2, 0) != 0:
        raise _BrokenError("it was written on a big-endian machine")
    if not isinstance(shards, int) or not 1 <= shards <= 1024:
        raise _BrokenError(f"it states {shards!r} data files")
    return shards


def _entry(name: str, value: bytes) -> _Entry:
    """Return what a BundleEntryProto says."""
    fields: dict[int, int | bytes] = {}
    for number, content in _Bytes(value).fields():
        if number == 7:
            raise _BrokenError(f"tensor {name!r} is saved in slices, which are not read")
        fields[number] = content
    kind, shape = fields.get(1, 0), fields.get(2, b"")
    numbers = [fields.get(number, 0) for number in (3, 4, 5, 6)]
    if not isinstance(kind, int) or not isinstance(shape, bytes):
        raise _BrokenError(f"the entry of tensor {name!r} is impossible")
    shard, offset, size, checksum = (number if isinstance(number, int) else 1 << 63 for number in numbers)
    sizes = _shape(name, shape)
    dtype = DTYPES.get(kind)
    if max(shard, offset, size, checksum) >= 1 << 62 or (dtype and math.prod(sizes) * dtype.itemsize != size):
        raise _BrokenError(f"type, shape and size of tensor {name!r} do not fit")
    return _Entry(dtype=dtype, shape=sizes, shard=shard, offset=offset, size=size, checksum=checksum)


def _shape(name: str, value: bytes) -> tuple[int, ...]:
    """Return the sizes in a TensorShapeProto."""
    sizes: list[int] = []
    for number, content in _Bytes(value).fields():
        if number == 2 and isinstance(content, bytes):
            size = dict(_Bytes(content).fields()).get(1, 0)
            if not isinstance(size, int) or size >= 1 << 48 or len(sizes) >= 16:
                raise _BrokenError(f"the shape of tensor {name!r} is impossible")
            sizes.append(size)
    return tuple(sizes)


def _text(key: bytes) -> str:
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not re.fullmatch(r"[\x20-\x7e]+", name):
        raise _BrokenError("a name is no plain text")
    return name
