"""``step.cpp``, compiled for this processor when it is first needed, and kept in ``zoo.paths.home()``."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.paths import home

SOURCE = Path(__file__).with_name("step.cpp")
COMPILERS = ("g++", "c++", "clang++")
OPTIONS = ("-std=c++17", "-O2", "-march=native", "-fopenmp", "-fPIC", "-shared")
PATIENCE = 120
"""Seconds after which a compiler is given up; it takes three."""


class Norm(ctypes.Structure):
    """Addresses of a norm's gain and offset."""

    _fields_ = (("gain", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class Product(ctypes.Structure):
    """Addresses of a matrix (outputs, inputs) and its bias."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class Matrix(ctypes.Structure):
    """Addresses of a matrix (outputs, inputs) and its bias, and its shape."""

    _fields_ = (*Product._fields_, ("inputs", ctypes.c_int64), ("outputs", ctypes.c_int64))


class Seen(ctypes.Structure):
    """Where a new key goes, -1 for nowhere, and the slots that the query sees."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("slot", "start", "count", "stride"))


class Layer(ctypes.Structure):
    """Addresses of a block's weights and of its cache."""

    _fields_ = (
        ("before", Norm),
        ("between", Norm),
        ("input", Product),
        ("output", Product),
        ("first", Product),
        ("second", Product),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("slots", ctypes.c_int64),
        ("seen", ctypes.POINTER(Seen)),
    )


class Shape(ctypes.Structure):
    """What all layers share; ``mean`` says whether norms remove it, ``slots`` are those of the longest cache."""

    _fields_ = (
        ("depth", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("key_heads", ctypes.c_int64),
        ("head_width", ctypes.c_int64),
        ("hidden", ctypes.c_int64),
        ("activation", ctypes.c_int64),
        ("gated", ctypes.c_int64),
        ("mean", ctypes.c_int64),
        ("slots", ctypes.c_int64),
        ("eps", ctypes.c_float),
    )


KINDS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""Numbers that weights and caches may be."""


class Native:
    """The compiled functions.

    Attributes:
        lanes: numbers of a vector register; every width must be a multiple of it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.lanes: int = library.lanes()

    def scratch(self, shape: Shape, threads: int) -> Tensor:
        """Return memory for a step of ``shape``."""
        size = self._library.scratch_size
        size.restype = ctypes.c_int64
        return torch.empty(size(ctypes.byref(shape), threads))

    def step(self, dtype: torch.dtype) -> Callable[..., None]:
        """Return the function that takes a step through all layers."""
        pointers = [ctypes.c_void_p] * 6
        return self._function(f"step_{KINDS[dtype]}", [*pointers, ctypes.c_int])

    def multiply(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """Return ``x -> x @ weight.T`` for few rows of ``weight`` (outputs, inputs) where it lies."""
        outputs, inputs = weight.shape
        matrix = Matrix(weight=weight.data_ptr(), bias=None, inputs=inputs, outputs=outputs)
        arguments = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        function = self._function(f"multiply_{KINDS[weight.dtype]}", arguments)

        def multiply(x: Tensor) -> Tensor:
            given, result = x.float().contiguous(), torch.empty(len(x), outputs)
            address = ctypes.addressof(matrix)
            function(given.data_ptr(), len(x), address, result.data_ptr(), torch.get_num_threads())
            return result.to(x.dtype)

        return multiply

    def _function(self, name: str, arguments: Sequence[Any]) -> Callable[..., None]:
        function = self._library[name]  # one of its own at each call
        function.argtypes, function.restype = arguments, None
        return function


@functools.cache
def load() -> Native | None:
    """Return the compiled functions, None where there is no compiler that can make them."""
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        path = home() / "native" / f"step-{_fingerprint(compiler)}.so"
        if not path.is_file():
            _compile(compiler, path)
        return Native(ctypes.CDLL(str(path)))
    except (OSError, ZooError, subprocess.SubprocessError):
        return None


def _compiler() -> list[str] | None:
    """Return the command of the compiler: ``$CXX``, else the first that is installed."""
    stated = shlex.split(os.environ.get("CXX", ""))
    if stated:
        return stated if shutil.which(stated[0]) else None
    return next(([name] for name in COMPILERS if shutil.which(name)), None)


def _fingerprint(compiler: list[str]) -> str:
    """Return what a compiled file depends on, as a name: a home folder can be that of several machines."""
    parts = [SOURCE.read_text(encoding="utf-8"), *compiler, *OPTIONS, platform.platform(), platform.machine()]
    with contextlib.suppress(OSError):  # not Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        parts += sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: list[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        command = [*compiler, *OPTIONS, "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
        made.replace(path)
