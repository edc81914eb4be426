"""Named tensors in safetensors files: streamed out, checked before anything is loaded, and put into a network."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
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
_SIZES = {name: dtype.itemsize for dtype, name in _NAMES.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file tensor by tensor (no copy of the whole in memory); return its hex sha256."""
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # widest first keeps all aligned
    header: dict[str, Any] = {}
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


def read_tensors(path: Path, *, finite: bool = True) -> dict[str, Tensor]:
    """Load a safetensors file whose layout has been checked.

    Args:
        path: the file.
        finite: refuse NaN and infinity.

    Raises:
        ZooError: broken file, or a tensor that is not finite (its name is given).
    """
    check_layout(path)
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (this is no dict)
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ZooError(f"{path} cannot be loaded: {str(error).splitlines()[0]}; get the file again") from None
    if finite:
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


def check_layout(path: Path) -> None:
    """Check a safetensors header against the file before anything is allocated.

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
    spans = []
    for name, entry in header.items():
        span = _span(entry)
        if span is None:
            raise refuse(f"dtype, shape and offsets of tensor {name!r} do not fit")
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise refuse(f"a hole or an overlap at byte {end}")
        end = stop
    if end != total - 8 - length:
        raise refuse(f"{total - 8 - length} bytes of tensors where {end} are stated")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name stands twice")
    return entries


def _span(entry: object) -> tuple[int, int] | None:
    """Return a header entry's [start, stop), or None if the entry makes no sense."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return None
    shape, offsets, size = entry["shape"], entry["data_offsets"], _SIZES.get(str(entry["dtype"]))
    whole = all(
        isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
        for values in (shape, offsets)
    )
    if size is None or not whole or len(offsets) != 2 or len(shape) > 16:
        return None
    return (offsets[0], offsets[1]) if offsets[1] - offsets[0] == math.prod(shape) * size else None


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
