"""Writes TensorFlow checkpoints, for tests: after the format's description, sharing nothing with the reader."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10}


def _bits(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


BYTES = [_bits(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """Byte by byte, as in every textbook."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ BYTES[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""  # zero is left out, as protocol buffers do


def nested(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def entry(kind: int, shape: tuple[int, ...], shard: int, offset: int, size: int, checksum: int) -> bytes:
    """Return a BundleEntryProto."""
    sizes = b"".join(nested(2, number(1, length)) for length in shape)
    fixed = varint(6 << 3 | 5) + struct.pack("<I", checksum)
    return number(1, kind) + nested(2, sizes) + number(3, shard) + number(4, offset) + number(5, size) + fixed


def header(shards: int) -> bytes:
    """Return a BundleHeaderProto."""
    return number(1, shards) + nested(3, number(1, 1))


def block(entries: list[tuple[bytes, bytes]], restart_every: int = 16) -> bytes:
    """Return a block of sorted entries whose keys share prefixes, with its type and checksum."""
    out, restarts, before = bytearray(), [], b""
    for index, (key, value) in enumerate(entries):
        shared = 0
        if index % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    for restart in restarts or [0]:
        out += struct.pack("<I", restart)
    out += struct.pack("<I", len(restarts or [0]))
    content = bytes(out)
    return content + b"\0" + struct.pack("<I", masked(content + b"\0"))


def table(entries: list[tuple[bytes, bytes]], per_block: int = 20) -> bytes:
    """Return a sorted table: data blocks, an empty meta index, an index, a footer."""
    out, handles = b"", []
    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        content = block(part)
        handles.append((part[-1][0], varint(len(out)) + varint(len(content) - 5)))
        out += content
    meta = block([])
    places = varint(len(out)) + varint(len(meta) - 5)
    out += meta
    index = block(handles, restart_every=1)
    places += varint(len(out)) + varint(len(index) - 5)
    return out + index + places.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def write_checkpoint(prefix: Path, tensors: Mapping[str, NDArray[Any]], *, shards: int = 1) -> None:
    """Write ``prefix.index`` and its data files; tensors are dealt out to ``shards`` files."""
    files = [b""] * shards
    entries = [(b"", header(shards))]
    for index, name in enumerate(sorted(tensors)):
        array = np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape)
        data, shard = array.tobytes(), index % shards
        kind = KINDS[array.dtype.name]
        entries.append((name.encode(), entry(kind, array.shape, shard, len(files[shard]), len(data), masked(data))))
        files[shard] += data
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries))
    for shard, content in enumerate(files):
        prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
