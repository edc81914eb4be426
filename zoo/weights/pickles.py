"""A pickle is a program. Here it is not run: its instructions are gone through, and few of them are known.

What ``torch.save`` writes for dictionaries, lists, text, numbers and tensors needs some thirty instructions and a
handful of names. A name in the file is compared with a short list; it is never imported or called. A tensor becomes a
note of where its numbers are. Values of numpy, which training leaves beside weights, are passed over.
"""

from __future__ import annotations

import math
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import torch

MOST_STEPS = 600_000
"""Instructions of a file's pickles; a tensor takes some thirty."""
DEEPEST = 20_000
"""Values that stand on the stack; a dictionary is filled by the thousand."""

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


class RefusedError(Exception):
    """The pickle does something that plain values and tensors do not need; the text says what."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Numbers that tensors share, or a part of them.

    Attributes:
        key: what the file calls them.
        dtype: of one number.
        count: of all numbers under this key.
        first: where the part begins, in numbers.
        length: of the part.
    """

    key: str
    dtype: torch.dtype
    count: int
    first: int
    length: int


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor that begins with number ``offset`` of its storage.

    Attributes:
        storage: holds its numbers.
        offset: where the first one is.
        shape: of the tensor.
        strides: numbers from one entry of each axis to the next, as in torch.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def by_rows(self) -> bool:
        """Whether its numbers stand one after the other, row by row."""
        step, axes = 1, []
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            axes.append(size <= 1 or stride == step)
            step *= size
        return all(axes) or step == 0

    @property
    def span(self) -> int:
        """Numbers from the first to the last one, both included."""
        steps = ((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return 0 if 0 in self.shape else 1 + sum(steps)


@dataclass(frozen=True)
class Name:
    """A name that the pickle asks for: a label to compare, nothing more."""

    module: str
    name: str


class Unread:
    """Stands where the file has a value of numpy's, or bytes."""


def tensor_in(storage: Storage, offset: object, shape: object, stride: object) -> StoredTensor:
    """Return the tensor of a shape and stride in a storage.

    Raises:
        RefusedError: it is impossible, holds a number twice, or lies outside of its storage.
    """
    if not isinstance(shape, tuple) or not isinstance(stride, tuple) or type(offset) is not int:
        raise RefusedError("a tensor is described in an unknown way")
    if len(shape) != len(stride) or len(shape) > 16 or not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedError("a tensor has an impossible shape")
    if not all(type(step) is int and step >= 0 for step in stride):
        raise RefusedError("a tensor has impossible strides")
    tensor = StoredTensor(storage=storage, offset=storage.first + offset, shape=shape, strides=stride)
    if not tensor.by_rows and 0 in stride:
        raise RefusedError("a tensor is not stored row by row")
    if offset < 0 or offset + max(tensor.span, math.prod(shape)) > storage.length:
        raise RefusedError("a tensor lies outside of its storage")
    return tensor


def storage_type(name: object) -> torch.dtype:
    """Return what the numbers of a class of storages are."""
    if isinstance(name, Name) and name in _TYPES:
        return _TYPES[name]
    raise RefusedError("a storage is described in an unknown way")


def described_storage(described: object) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, numbers[, part]).

    A part is (key of its own, first number, numbers), or None for the whole.
    """
    match described:
        case ("storage", kind, str(key), str(), int(count)) | ("storage", kind, str(key), str(), int(count), None):
            first, length = 0, count
        case ("storage", kind, str(key), str(), int(count), (str(), int(first), int(length))):
            pass
        case _:
            raise RefusedError("a storage is described in an unknown way")
    dtype = storage_type(kind)
    if not key.isascii() or not key.isalnum():
        raise RefusedError("a storage has a strange name")
    if min(count, first, length) < 0 or first + length > count:
        raise RefusedError("a part of a storage lies outside of it")
    return Storage(key=key, dtype=dtype, count=count, first=first, length=length)


def _rebuilt(arguments: tuple[Any, ...]) -> StoredTensor:
    """What ``torch._utils._rebuild_tensor_v2`` would make, or before PyTorch 0.4 ``_rebuild_tensor``."""
    match arguments:
        case (Storage() as storage, offset, shape, stride) | (
            Storage() as storage,
            offset,
            shape,
            stride,
            bool(),
            _,
            *_,
        ):
            return tensor_in(storage, offset, shape, stride)
    raise RefusedError("a tensor is described in an unknown way")


def _parameter(arguments: tuple[Any, ...]) -> StoredTensor:
    """What ``torch._utils._rebuild_parameter`` would make."""
    match arguments:
        case (StoredTensor() as tensor, bool(), *_):
            return tensor
    raise RefusedError("a parameter is described in an unknown way")


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """What ``collections.OrderedDict`` would make."""
    if arguments:
        raise RefusedError("a dictionary is made in an unknown way")
    return {}


def _unread(arguments: tuple[Any, ...]) -> Unread:
    return Unread()


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_FUNCTIONS: dict[Name, Callable[[tuple[Any, ...]], Any]] = {
    Name("collections", "OrderedDict"): _ordered,
    Name("torch._utils", "_rebuild_tensor"): _rebuilt,
    Name("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("_codecs", "encode"): _unread,
    Name("numpy", "dtype"): _unread,
    Name("numpy", "ndarray"): _unread,
    **{Name(module, name): _unread for module in _NUMPY for name in ("scalar", "_reconstruct")},
}
_TYPES = {Name("torch", name): dtype for name, dtype in STORAGES.items()}


class PickleReader:
    """Goes through the instructions of pickles that stand one after the other.

    Args:
        persistent: what a persistent id stands for.
    """

    def __init__(self, persistent: Callable[[object], object] = described_storage) -> None:
        self._persistent = persistent
        self._steps = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        """Return the value of the next pickle: dictionaries, lists, tuples, text, numbers, ``StoredTensor``s.

        A value may hold itself. The file is left behind the pickle.

        Args:
            file: in memory, and of limited length.

        Raises:
            RefusedError: the pickle is broken, too long, or asks for anything else.
        """
        self._stack, self._marks, self._memo = [], [], {}
        try:
            for code, argument, _ in pickletools.genops(file):
                self._steps += 1
                if self._steps > MOST_STEPS or len(self._stack) + len(self._marks) > DEEPEST:
                    raise RefusedError("its pickle is longer than that of any model")
                self._step(code.name, argument)
            (result,) = self._stack
        except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError, EOFError):
            raise RefusedError("its pickle is broken") from None
        return result

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        match code:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES":
                stack.append(Unread())
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[code]())
            case "TUPLE":
                stack.append(tuple(self._group()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple([self._pop() for _ in range(int(code[-1]))][::-1]))
            case "APPEND" | "APPENDS":
                self._extend(self._group() if code == "APPENDS" else [self._pop()])
            case "SETITEM" | "SETITEMS":
                self._fill(self._group() if code == "SETITEMS" else [self._pop() for _ in range(2)][::-1])
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._top()
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._top()
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                stack.append(_named(module, name))
            case "STACK_GLOBAL":
                name, module = self._pop(), self._pop()
                stack.append(_named(module, name))
            case "BINPERSID":
                stack.append(self._persistent(self._pop()))
            case "REDUCE":
                arguments, function = self._pop(), self._pop()
                if not isinstance(function, Name) or function not in _FUNCTIONS or not isinstance(arguments, tuple):
                    raise RefusedError("its pickle calls something that makes no tensor")
                stack.append(_FUNCTIONS[function](arguments))
            case "BUILD":
                self._build(self._pop())
            case _:
                raise RefusedError(f"its pickle has the instruction {code}, which no dictionary of tensors needs")

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise RefusedError("its pickle is broken")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _group(self) -> list[Any]:
        """Return what stands above the last mark, and take it and the mark away."""
        at = self._marks.pop()
        group = self._stack[at:]
        del self._stack[at:]
        return group

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise RefusedError("its pickle fills something that is no list")
        target.extend(items)

    def _fill(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise RefusedError("its pickle fills something that is no dictionary")
        for name, value in zip(items[::2], items[1::2], strict=True):
            if type(name) not in (str, int):  # optimisers number their state
                raise RefusedError("a dictionary has a key that is neither text nor a number")
            target[name] = value

    def _build(self, state: object) -> None:
        """Pass over what is noted of a value: the versions of modules, which ``state_dict()`` notes beside tensors."""
        value = self._top()
        versions = isinstance(value, dict) and isinstance(state, dict) and set(state) == {"_metadata"}
        if not versions and not isinstance(value, Unread):
            raise RefusedError("its pickle sets attributes")


def _named(module: object, name: object) -> Name:
    if isinstance(module, str) and isinstance(name, str):
        wanted = Name(module, name)
        if wanted in _FUNCTIONS or wanted in _TYPES:
            return wanted
    raise RefusedError(f"its pickle asks for {f'{module}.{name}'[:80]}, which no dictionary of tensors needs")
