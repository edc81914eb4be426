"""Named tensors in safetensors files: streamed out, checked before anything is read, and read one at a time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.weights.files import write_file

HEADER_LIMIT = 8 << 20
"""Longest header (bytes) that is parsed: some 80,000 tensors. The format itself would allow 100 MB."""

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


class TensorSource(Protocol):
    """Named tensors on disk, of any format: nothing is read before it is asked for, and nothing is kept."""

    @property
    def where(self) -> str:
        """What messages call it: a file or a folder."""

    def names(self) -> Sequence[str]:
        """Return the name of every tensor."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, known without reading it."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read a tensor from disk now, in the type that it is stored in.

        Args:
            name: one of ``names()``.
            start, stop: which entries of the first axis to read, all by default; a tensor without axes is read whole.

        Raises:
            ZooError: the file is no longer what it was when it was opened.
        """


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor's bytes are, little-endian and row by row: ``offset`` counts from the start of the file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class PlacedSource:
    """Tensors whose places in files are known.

    Files are read, not mapped: pages of a mapped file count as memory of the process.

    Args:
        places: where each tensor is, compared with the files' sizes by the caller.
        where: what messages call the source.
    """

    def __init__(self, places: Mapping[str, Place], where: Path) -> None:
        self._places = dict(places)
        self._where = str(where)

    @property
    def where(self) -> str:
        """What messages call it."""
        return self._where

    def names(self) -> Sequence[str]:
        """Return the name of every tensor."""
        return list(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._places[name].shape

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read a tensor, or entries ``start`` to ``stop`` of its first axis; see ``TensorSource``."""
        place = self._places[name]
        first, *rest = place.shape or (1,)
        start, stop, _ = slice(start, stop).indices(first)
        tensor = torch.empty((max(stop - start, 0), *rest), dtype=place.dtype)
        if tensor.numel():
            row = math.prod(rest) * place.dtype.itemsize
            view = tensor.reshape(-1).view(torch.uint8).numpy().data
            try:
                with place.path.open("rb", buffering=0) as file:
                    file.seek(place.offset + start * row)
                    while view:
                        count = file.readinto(view)
                        if not count:
                            raise ZooError(f"{place.path} is cut short in tensor {name!r}; get the file again")
                        view = view[count:]
            except OSError as error:
                raise ZooError(f"{place.path} cannot be read: {error.strerror}") from None
        return tensor if place.shape else tensor.reshape(())


class SafetensorsSource(PlacedSource):
    """The tensors of one safetensors file, or of several that make up one model.

    Args:
        paths: the files; their headers are read and checked here.

    Raises:
        ZooError: a file that is not sound, or a tensor in two of them.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        places: dict[str, Place] = {}
        for path in paths:
            for name, place in _read_layout(path).items():
                if name in places:
                    raise ZooError(f"{path}: tensor {name!r} is also in {places[name].path.name}; get the files again")
                places[name] = place
        super().__init__(places, paths[0] if len(paths) == 1 else paths[0].parent)


def stored_dtype(source: TensorSource) -> torch.dtype:
    """Return bfloat16 if all weights are stored in it, else float32, which holds the others exactly."""
    kinds = {source.read(name, 0, 0).dtype for name in source.names() if source.shape(name)}
    small = {kind for kind in kinds if kind.is_floating_point} == {torch.bfloat16}
    return torch.bfloat16 if small else torch.float32


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write a safetensors file tensor by tensor (no copy of the whole in memory); return its hex sha256.

    Args:
        path: written in place: give it a temporary name.
        tensors: by name; views are fine.
        metadata: for the header.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # widest first keeps all aligned
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    offset = 0
    for name in names:
        tensor = tensors[name]
        size = tensor.numel() * tensor.dtype.itemsize
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def pieces() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for name in names:
            if tensors[name].numel():
                flat = tensors[name].detach().cpu().contiguous().reshape(-1)
                yield flat.view(torch.uint8).numpy().data

    return write_file(path, pieces())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Load a safetensors file whose layout has been checked.

    Raises:
        ZooError: broken file, or a tensor that is not finite (its name is given).
    """
    source = SafetensorsSource([path])
    tensors = {name: source.read(name) for name in source.names()}
    check_finite(tensors, path)
    return tensors


def check_finite(tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Refuse tensors with NaN or infinity, naming the first of them."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ZooError(
                f"{where}: tensor '{name}' has {count} values that are NaN or infinite; get another checkpoint"
            )


def _read_layout(path: Path) -> dict[str, Place]:
    """Return what a safetensors header says, checked against the file before anything is allocated.

    Raises:
        ZooError: the header is cut short, too long or not JSON; a name twice, an unknown dtype, a shape that does not
            fit its bytes; holes, overlaps, or a file that is shorter or longer than its tensors.
    """

    def refuse(reason: str) -> ZooError:
        return ZooError(f"{path} is no sound safetensors file: {reason}; get the file again")

    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if total < 8 or length > total - 8:
                raise refuse("its header is cut short")
            if length > HEADER_LIMIT:
                raise refuse(f"its header is longer than {HEADER_LIMIT >> 20} MB")
            header = json.loads(file.read(length), object_pairs_hook=_unique)
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ZooError):
            raise
        raise refuse(f"its header is not JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(header, dict):
        raise refuse("its header is no JSON object")
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        place = _place(path, entry, 8 + length)
        if place is None:
            raise refuse(f"dtype, shape and offsets of tensor {name!r} do not fit")
        places[name] = place
    end = 8 + length
    for place in sorted(places.values(), key=lambda place: (place.offset, math.prod(place.shape))):
        if place.offset != end:
            raise refuse(f"a hole or an overlap at byte {end - 8 - length}")
        end += math.prod(place.shape) * place.dtype.itemsize
    if end != total:
        raise refuse(f"{total - 8 - length} bytes of tensors where {end - 8 - length} are stated")
    return places


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name stands twice")
    return entries


def _place(path: Path, entry: object, begin: int) -> Place | None:
    """Return what a header entry says, or None if it makes no sense."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return None
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], _DTYPES.get(str(entry["dtype"]))
    whole = all(
        isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
        for values in (shape, offsets)
    )
    if dtype is None or not whole or len(offsets) != 2 or len(shape) > 16:
        return None
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        return None
    return Place(path=path, offset=begin + offsets[0], shape=tuple(shape), dtype=dtype)


def named_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's parameters and saved buffers by name, tied ones once."""
    seen: set[int] = set()
    weights: dict[str, Tensor] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            weights[name] = tensor.detach()
    return weights


@torch.no_grad()
def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Copy ``tensors`` into a network, all or nothing.

    Raises:
        ZooError: one line that lists every missing and unexpected name and every shape that differs.
    """
    weights = named_weights(network)
    problems = [f"missing '{name}'" for name in weights if name not in tensors]
    problems += [f"unexpected '{name}'" for name in tensors if name not in weights]
    problems += [
        f"'{name}' is {tuple(tensors[name].shape)}, not {tuple(weight.shape)}"
        for name, weight in weights.items()
        if name in tensors and tensors[name].shape != weight.shape
    ]
    if problems:
        raise ZooError(f"{where} does not fit this network: {', '.join(problems)}")
    for name, weight in weights.items():
        weight.copy_(tensors[name])


def fingerprint(network: nn.Module) -> str:
    """Return a hex sha256 by which the weights of a network are told from others: of the first numbers of each."""
    total = hashlib.sha256()
    for name, tensor in named_weights(network).items():
        total.update(f"{name} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().flatten()[:1024].float().cpu().numpy().tobytes())
    return total.hexdigest()
