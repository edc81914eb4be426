"""NumPy's files of arrays (``.npy``, ``.npz``), read in place. Arrays of Python objects are pickles, and refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.weights.archive import Archive
from zoo.weights.tensors import Place, PlacedSource

HEADER_LIMIT = 4096
"""Longest header (bytes) that is looked at; those of plain arrays have 118."""
_HEADER = re.compile(r"\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([\dL, ]*)\), ?\} *\n?")
_DTYPES = {
    "<f8": torch.float64,
    "<f4": torch.float32,
    "<f2": torch.float16,
    "<i8": torch.int64,
    "<i4": torch.int32,
    "<i2": torch.int16,
    "|i1": torch.int8,
    "|u1": torch.uint8,
    "|b1": torch.bool,
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a ``.npy`` file begins with.

    Attributes:
        length: bytes before the numbers.
        shape: of the array, stored row by row.
        dtype: of the numbers, little-endian.
    """

    length: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes that the whole file must have."""
        return self.length + math.prod(self.shape) * self.dtype.itemsize


def read_header(begin: bytes, where: str) -> Header:
    """Return what the first ``HEADER_LIMIT`` bytes of a ``.npy`` file say.

    Args:
        begin: those bytes.
        where: what messages call the file.

    Raises:
        ZooError: no ``.npy`` file, a header that is broken or too long, or an array that is not plain numbers by rows.
    """

    def refuse(reason: str) -> ZooError:
        return ZooError(f"{where} is no sound array of numbers: {reason}; get the file again")

    if begin[:6] != b"\x93NUMPY" or len(begin) < 12 or begin[6] not in (1, 2):
        raise refuse("it does not begin as .npy files do")
    first = 10 if begin[6] == 1 else 12
    length = first + int.from_bytes(begin[8:first], "little")
    if length > len(begin):
        raise refuse("its header is cut short or too long")
    match = _HEADER.fullmatch(begin[first:length].decode("latin-1"))
    if match is None:
        raise refuse("its header does not describe a plain array")
    kind, by_columns, sizes = match.groups()
    if kind not in _DTYPES:
        raise refuse(f"numbers of type {kind[:20]!r} are not read" + (" (it is a pickle)" if "O" in kind else ""))
    numbers = [part.strip().rstrip("L") for part in sizes.split(",")]
    if not all(re.fullmatch(r"\d{1,14}|", number) for number in numbers) or len(numbers) > 16:
        raise refuse("its shape is impossible")
    shape = tuple(int(number) for number in numbers if number)
    if by_columns == "True" and len(shape) > 1:
        raise refuse("it is stored column by column")
    return Header(length=length, shape=shape, dtype=_DTYPES[kind])


class NpzSource(PlacedSource):
    """The arrays of one ``.npz`` file, by their names without ``.npy``.

    Args:
        path: the file.

    Raises:
        ZooError: an archive or an array that is not sound.
    """

    def __init__(self, path: Path) -> None:
        self._archive = Archive(path)
        places = {}
        for member, size in self._archive.sizes.items():
            where = f"{path}: member {member!r}"
            if not member.endswith(".npy"):
                raise ZooError(f"{where} is no array; get a file as numpy.savez writes them")
            header = read_header(self._archive.head(member, HEADER_LIMIT), where)
            if header.size != size:
                raise ZooError(f"{where} has {size} bytes, not the {header.size} of its shape; get the file again")
            start = self._archive.start(member)
            name = member.removesuffix(".npy")
            places[name] = Place(path=path, offset=start + header.length, shape=header.shape, dtype=header.dtype)
        self._members = {member.removesuffix(".npy"): member for member in self._archive.sizes}
        super().__init__(places, path)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read a tensor, or a part; see ``TensorSource``. Packed members are unpacked on the way."""
        member = self._members[name]
        if self._archive.stored(member):
            return super().read(name, start, stop)
        place = self._places[name]
        first, *rest = place.shape or (1,)
        start, stop, _ = slice(start, stop).indices(first)
        tensor = torch.empty((max(stop - start, 0), *rest), dtype=place.dtype)
        row = math.prod(rest) * place.dtype.itemsize
        # The header stands before the first row; its length is what the member has beyond its numbers.
        length = self._archive.sizes[member] - first * row
        _copy(self._archive.pieces(member), length + start * row, tensor)
        return tensor if place.shape else tensor.reshape(())


def _copy(pieces: Iterator[bytes], begin: int, target: Tensor) -> None:
    """Fill ``target`` with the bytes from ``begin`` on; the rest is gone through for its checksum."""
    view = target.reshape(-1).view(torch.uint8).numpy() if target.numel() else np.empty(0, dtype=np.uint8)
    at = -begin
    for piece in pieces:
        start, stop = max(at, 0), min(at + len(piece), len(view))
        if start < stop:
            view[start:stop] = np.frombuffer(piece, dtype=np.uint8)[start - at : stop - at]
        at += len(piece)


class FlatSource:
    """Arrays that were laid out flat one after the other, and the whole cut into files (GPT-1's ``params_N.npy``).

    Args:
        paths: the files, in order.
        shapes: name and shape of every array, in order.

    Raises:
        ZooError: a file that is not sound, not flat or of another type, or files that hold more or fewer numbers.
    """

    def __init__(self, paths: Sequence[Path], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.where = str(paths[0].parent)
        self._places: list[tuple[int, Place]] = []  # position of a file's first number, and the file
        count = 0
        for path in paths:
            place = _flat(path)
            if place.dtype != (self._places[0][1].dtype if self._places else place.dtype):
                raise ZooError(f"{path} holds numbers of another type than {paths[0].name}; get the files again")
            self._places.append((count, place))
            count += place.shape[0]
        self._shapes = dict(shapes)
        self._starts: dict[str, int] = {}
        end = 0
        for name, shape in self._shapes.items():
            self._starts[name] = end
            end += math.prod(shape)
        if end != count:
            raise ZooError(f"{self.where}: the .npy files hold {count} numbers, not the {end} of the stated shapes")

    def names(self) -> Sequence[str]:
        """Return the name of every array."""
        return list(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self._shapes[name]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read an array, or entries ``start`` to ``stop`` of its first axis; see ``TensorSource``."""
        first, *rest = self._shapes[name] or (1,)
        start, stop, _ = slice(start, stop).indices(first)
        row = math.prod(rest)
        shape = (max(stop - start, 0), *rest)
        tensor = torch.cat(list(self._parts(self._starts[name] + start * row, math.prod(shape))))
        return tensor.reshape(shape if self._shapes[name] else ())

    def _parts(self, begin: int, count: int) -> Iterator[Tensor]:
        """Yield the ``count`` numbers from ``begin`` on, file by file."""
        yield torch.empty(0, dtype=self._places[0][1].dtype)
        for first, place in self._places:
            start, stop = max(begin - first, 0), min(begin + count - first, place.shape[0])
            if start < stop:
                yield PlacedSource({"": place}, place.path).read("", start, stop)


def _flat(path: Path) -> Place:
    """Return the place of a ``.npy`` file's numbers, which stand in one axis."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = read_header(file.read(HEADER_LIMIT), str(path))
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}") from None
    if header.size != size or len(header.shape) != 1:
        raise ZooError(f"{path} is not flat or is cut short: its shape is {header.shape}, its size {size} bytes")
    return Place(path=path, offset=header.length, shape=header.shape, dtype=header.dtype)
