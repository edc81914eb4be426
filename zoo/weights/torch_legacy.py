"""PyTorch's own files of weights (``pytorch_model.bin``, ``.pt``), read without unpickling them.

Such a file is a zip archive of raw storages and of a pickle that says which tensor is what part of which storage. A
pickle is a program. Here it is not run: a small interpreter goes through its instructions and knows only those that
a dictionary of tensors needs. A name in the file is compared with a short list; it is never imported or called.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ZooError
from zoo.weights.archive import Archive
from zoo.weights.tensors import Place, PlacedSource

PICKLE_LIMIT = 16 << 20
"""Longest pickle (bytes) that is gone through; those of models are below 1 MB."""
MOST_STEPS = 600_000
"""Instructions of a pickle; a tensor takes some thirty."""
DEEPEST = 20_000
"""Values that stand on the stack; a dictionary is filled by the thousand."""
CONVERT = "save the weights as safetensors instead"

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class TorchSource(PlacedSource):
    """The tensors of a dictionary that ``torch.save`` wrote.

    Args:
        path: a file in the zip layout of PyTorch 1.6 and later.

    Raises:
        ZooError: an older layout; a pickle that does more than make a dictionary of tensors; a tensor that is not
            stored row by row or lies outside of its storage; an archive that is not sound.
    """

    def __init__(self, path: Path) -> None:
        _check_kind(path)
        archive = Archive(path)
        pickles = [name for name in archive.sizes if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ZooError(f"{path} is no file of weights by torch.save (no single data.pkl); {CONVERT}")
        root = pickles[0].removesuffix("data.pkl")
        if archive.sizes[pickles[0]] > PICKLE_LIMIT:
            raise ZooError(f"{path}: its pickle is longer than {PICKLE_LIMIT >> 20} MB; {CONVERT}")
        if f"{root}byteorder" in archive.sizes and archive.head(f"{root}byteorder", 8) != b"little":
            raise ZooError(f"{path} was written on a big-endian machine; {CONVERT}")
        try:
            tensors = _Reader().read(archive.head(pickles[0], PICKLE_LIMIT))
        except _RefusedError as reason:
            raise ZooError(f"{path} is refused: {reason}; {CONVERT}") from None
        starts: dict[str, int] = {}
        places = {}
        for name, tensor in tensors.items():
            member = f"{root}data/{tensor.storage.key}"
            size = tensor.storage.count * tensor.storage.dtype.itemsize
            if archive.sizes.get(member) != size or not archive.stored(member):
                raise archive.refuse(f"the storage of tensor {name!r} is not there in full")
            if member not in starts:
                starts[member] = archive.start(member)
            offset = starts[member] + tensor.offset * tensor.storage.dtype.itemsize
            places[name] = Place(path=path, offset=offset, shape=tensor.shape, dtype=tensor.storage.dtype)
        super().__init__(places, path)


def _check_kind(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}") from None
    if begin[:2] != b"PK":
        raise ZooError(f"{path} is a pickle or tar of an old PyTorch, or no file of weights at all; {CONVERT}")


class _RefusedError(Exception):
    """The pickle does something that no dictionary of tensors needs; the text says what."""


@dataclass(frozen=True, kw_only=True)
class _Storage:
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name that the pickle asks for: a label to compare, nothing more."""

    module: str
    name: str


class _Mark:
    """Where on the stack a group of values begins."""


def _rebuilt(arguments: tuple[Any, ...]) -> _Tensor:
    """What ``torch._utils._rebuild_tensor_v2`` would make."""
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(stride), bool(), _, *_):
            pass
        case _:
            raise _RefusedError("a tensor is described in an unknown way")
    if len(shape) != len(stride) or len(shape) > 16 or not all(type(size) is int and size >= 0 for size in shape):
        raise _RefusedError("a tensor has an impossible shape")
    step = 1
    for size, stated in zip(reversed(shape), reversed(stride), strict=True):
        if size > 1 and stated != step and 0 not in shape:
            raise _RefusedError("a tensor is not stored row by row")
        step *= size
    if offset < 0 or offset + math.prod(shape) > storage.count:
        raise _RefusedError("a tensor lies outside of its storage")
    return _Tensor(storage=storage, offset=offset, shape=shape)


def _parameter(arguments: tuple[Any, ...]) -> _Tensor:
    """What ``torch._utils._rebuild_parameter`` would make."""
    match arguments:
        case (_Tensor() as tensor, bool(), *_):
            return tensor
    raise _RefusedError("a parameter is described in an unknown way")


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """What ``collections.OrderedDict`` would make."""
    if arguments:
        raise _RefusedError("a dictionary is made in an unknown way")
    return {}


_FUNCTIONS: dict[_Name, Callable[[tuple[Any, ...]], Any]] = {
    _Name("collections", "OrderedDict"): _ordered,
    _Name("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    _Name("torch._utils", "_rebuild_parameter"): _parameter,
}
_TYPES = {_Name("torch", name): dtype for name, dtype in STORAGES.items()}


class _Reader:
    """Goes through the instructions of one pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> dict[str, _Tensor]:
        """Return the tensors by name.

        Raises:
            _RefusedError: the pickle is broken, or is no dictionary of tensors.
        """
        try:
            for count, (code, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
                if count >= MOST_STEPS or len(self._stack) > DEEPEST:
                    raise _RefusedError("its pickle is longer than that of any model")
                self._step(code.name, argument)
            (result,) = self._stack
        except _RefusedError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError, EOFError):
            raise _RefusedError("its pickle is broken") from None
        if not isinstance(result, dict) or not result:
            raise _RefusedError("it holds no dictionary of tensors")
        for name, tensor in result.items():
            if not isinstance(name, str) or not isinstance(tensor, _Tensor):
                raise _RefusedError(f"{str(name)[:80]!r} is no tensor in a dictionary of tensors")
        return result

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        match code:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                stack.append(_Mark())
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[code]())
            case "TUPLE":
                stack.append(tuple(self._group()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._fold(int(code[-1]))
            case "SETITEM" | "SETITEMS":
                items = self._group() if code == "SETITEMS" else [self._pop() for _ in range(2)][::-1]
                self._fill(items)
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._top()
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._top()
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                stack.append(self._named(module, name))
            case "STACK_GLOBAL":
                name, module = self._pop(), self._pop()
                stack.append(self._named(module, name))
            case "BINPERSID":
                stack.append(self._storage(self._pop()))
            case "REDUCE":
                arguments, function = self._pop(), self._pop()
                if not isinstance(function, _Name) or function not in _FUNCTIONS or not isinstance(arguments, tuple):
                    raise _RefusedError("its pickle calls something that makes no tensor")
                stack.append(_FUNCTIONS[function](arguments))
            case "BUILD":  # the versions of modules, which state_dict() notes beside the tensors
                notes = self._pop()
                if not isinstance(self._top(), dict) or not isinstance(notes, dict) or set(notes) != {"_metadata"}:
                    raise _RefusedError("its pickle sets attributes")
            case _:
                raise _RefusedError(f"its pickle has the instruction {code}, which no dictionary of tensors needs")

    def _top(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], _Mark):
            raise _RefusedError("its pickle is broken")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _group(self) -> list[Any]:
        """Return what stands above the last mark, and take it and the mark away."""
        marks = [index for index, value in enumerate(self._stack) if isinstance(value, _Mark)]
        if not marks:
            raise _RefusedError("its pickle is broken")
        at = marks[-1]
        group = self._stack[at + 1 :]
        del self._stack[at:]
        return group

    def _fold(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def _fill(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise _RefusedError("its pickle fills something that is no dictionary")
        for name, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(name, str):
                raise _RefusedError("a dictionary has a key that is no text")
            target[name] = value

    @staticmethod
    def _named(module: object, name: object) -> _Name:
        if isinstance(module, str) and isinstance(name, str):
            wanted = _Name(module, name)
            if wanted in _FUNCTIONS or wanted in _TYPES:
                return wanted
        raise _RefusedError(f"its pickle asks for {f'{module}.{name}'[:80]}, which no dictionary of tensors needs")

    @staticmethod
    def _storage(described: object) -> _Storage:
        """Return the storage that a persistent id describes: ("storage", type, key, device, numbers)."""
        match described:
            case ("storage", _Name() as kind, str(key), str(), int(count)) if kind in _TYPES and count >= 0:
                if not key.isascii() or not key.isalnum():
                    raise _RefusedError("a storage has a strange name")
                return _Storage(key=key, dtype=_TYPES[kind], count=count)
        raise _RefusedError("a storage is described in an unknown way")
