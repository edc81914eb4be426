"""CIFAR-10 as its authors publish it for other languages: plain bytes in a tar file. Krizhevsky 2009, appendix.

The archive is read from end to end and nothing of it is ever written. The Python version of the same pictures, which
torchvision fetches, is pickled; this one is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from einops import rearrange

from zoo.data.files import DataFile, open_bytes
from zoo.data.records import Image
from zoo.errors import ZooError

SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD = 1 + CHANNELS * SIDE * SIDE
"""Bytes of a picture: its class, then all its reds, greens and blues, row by row."""
TRAIN = re.compile(r"data_batch_[1-9]\.bin")
TEST = "test_batch.bin"
NAMES = "batches.meta.txt"
"""Lists the classes, one a line."""
LARGEST = 10_000 * RECORD
"""Bytes of a file of pictures."""
MEMBERS = 100
SKIPPED = 1 << 20
"""Bytes of any other member, such as the archive's readme."""
BLOCK = 512
"""What a tar file consists of."""
FILE, FOLDER, EXTENDED = (b"0", b"\0"), b"5", (b"x", b"g")
"""Kinds of members; what extends a header is passed over, since none of this data set needs it."""


def read_cifar(files: Sequence[DataFile], path: str) -> tuple[list[Image], list[list[str]]]:
    """Return the pictures (count, 32, 32, 3) and class names, both of the training and of the test part.

    Args:
        files: one archive, gzipped or not, or the files of an unpacked one.
        path: as the user wrote it, for messages.

    Raises:
        ZooError: not CIFAR-10, a damaged archive, or one with members that lead elsewhere, stand twice or are links.
    """
    packed = len(files) == 1 and files[0].kind == "archive"
    members = dict(_packed(files[0].path) if packed else _unpacked(files))
    train = [members[name] for name in sorted(members) if TRAIN.fullmatch(name)]
    if not train or TEST not in members:
        raise ZooError(f"{path}: no data_batch_1.bin and {TEST} there; expected CIFAR-10's binary version")
    names = _class_names(members[NAMES], path) if NAMES in members else [str(index) for index in range(CLASSES)]
    images: list[Image] = []
    labels: list[list[str]] = []
    for part in (b"".join(train), members[TEST]):
        if not part or len(part) % RECORD:
            raise ZooError(f"{path}: {len(part)} bytes are no pictures of {RECORD} each; get CIFAR-10's binary version")
        records = np.frombuffer(part, dtype=np.uint8).reshape(-1, RECORD)
        if records[:, 0].max() >= CLASSES:
            raise ZooError(f"{path}: class {records[:, 0].max()} of 0 to 9; expected CIFAR-10's binary version")
        images.append(rearrange(records[:, 1:], "n (c h w) -> n h w c", c=CHANNELS, h=SIDE))
        labels.append([names[index] for index in records[:, 0].tolist()])
    return images, labels


def _unpacked(files: Sequence[DataFile]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        name = file.name.rsplit("/", 1)[-1]
        if limit := _limit(name):
            with open_bytes(file.path) as stream:
                content = stream.read(limit + 1)
            if len(content) > limit:
                raise ZooError(f"{file.path}: more than {limit:,} bytes; expected CIFAR-10's binary version")
            yield name, content


def _packed(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield those members of a tar file that belong to the data set, none of them larger than it can be."""
    seen: set[str] = set()
    with open_bytes(path) as stream:
        while (header := stream.read(BLOCK)).strip(b"\0"):
            name, kind, size = _header(header, path)
            if kind in FILE:
                if name in seen or len(seen) == MEMBERS:
                    raise _unsound(path, f"{name!r} stands twice" if name in seen else "it has too many members")
                seen.add(name)
            short = name.rsplit("/", 1)[-1]
            limit = _limit(short) if kind in FILE else 0
            if size > (limit or SKIPPED):
                raise _unsound(path, f"{name!r} has {size:,} bytes")
            content = stream.read(size + -size % BLOCK)
            if len(content) < size:
                raise _unsound(path, "it is cut short")
            if limit:
                yield short, content[:size]


def _header(block: bytes, path: Path) -> tuple[str, bytes, int]:
    """Return name, kind and size of a member: POSIX.1-1988, of which GNU's and later ones are extensions."""
    name = block[:100].split(b"\0")[0].decode("latin-1")
    kind, numbers = block[156:157], [field.strip(b" \0") for field in (block[124:136], block[148:156])]
    if len(block) < BLOCK or not all(re.fullmatch(rb"[0-7]{1,11}", number) for number in numbers):
        raise _unsound(path, "it has something in it that is no member")
    size, checksum = (int(number, 8) for number in numbers)
    if sum(block[:148]) + 8 * ord(" ") + sum(block[156:]) != checksum:
        raise _unsound(path, "a member's checksum is wrong")
    if not re.fullmatch(r"[\x20-\x7e]{1,100}", name) or re.match(r"/|\\|[A-Za-z]:", name):
        raise _unsound(path, f"the name {name!r} is no plain relative path")
    if ".." in re.split(r"[/\\]", name):
        raise _unsound(path, f"the name {name!r} leads out of the archive")
    if kind not in (*FILE, FOLDER, *EXTENDED):
        raise _unsound(path, f"{name!r} is a link, a device or the like")
    return name, kind, size


def _limit(name: str) -> int:
    """Return the most bytes that a file of this name can have, 0 for one that is not of the data set."""
    return LARGEST if TRAIN.fullmatch(name) or name == TEST else 4096 * (name == NAMES)


def _class_names(listed: bytes, path: str) -> list[str]:
    names = listed.decode("latin-1").split()
    if len(set(names)) != CLASSES or not all(re.fullmatch(r"[a-z]{1,40}", name) for name in names):
        raise ZooError(f"{path}: {NAMES} does not list {CLASSES} classes; expected CIFAR-10's binary version")
    return names


def _unsound(path: Path, reason: str) -> ZooError:
    return ZooError(f"{path} is no sound tar file of pictures: {reason}; get the file again")
