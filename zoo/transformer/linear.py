"""A linear layer that reads its weights at the memory's speed when a sampler brings few rows.

Drawing ids one by one multiplies one row, or a handful, by every matrix: all that counts is how fast it is read. On a
CPU, torch's general product reaches a third of the memory's speed for one float32 row; the same product as a batch of
smaller ones, over a view of the same weights, reaches nearly all of it. For more rows oneDNN's own layout does best,
and for one bfloat16 row FBGEMM's, of float16: copies of the weights, which a sampler asks for by ``pack`` where they
pay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.memory import available_bytes

Rows = Callable[[Tensor], Tensor]
"""(rows, in) -> (rows, out)."""

PARTS = 8
"""Parts of a matrix that are multiplied side by side: enough for the threads, each still long."""
VIEW_ROWS = 2
"""Up to so many float32 rows, a view is as fast as a copy in oneDNN's layout."""
HALF_ROWS = 2
"""Up to so many bfloat16 rows, a copy in FBGEMM's layout is faster than one in oneDNN's."""
HALF = (2.0**-14, 65504.0)
"""The smallest float16 with all its digits, and the largest."""
PACKED_ROWS = 32
"""Up to so many rows, a copy is faster than torch's general product."""
LEAST_STEPS = 16
"""Ids to be drawn below which a copy does not pay."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A copy of a matrix in a layout of its own.

    Attributes:
        multiply: (rows, in) -> (rows, out), without the bias.
        rows: for which it is the fastest way, at most.
        source: where the matrix lay, and how often it had been changed, when the copy was made.
    """

    multiply: Rows
    rows: int
    source: tuple[int, int]

    def of(self, weight: Tensor) -> bool:
        """Return whether this still is a copy of ``weight``."""
        return self.source == state_of(weight)


def state_of(tensor: Tensor) -> tuple[int, int]:
    """Return where ``tensor`` lies and how often it has been changed, as far as torch counts that."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def pack(weight: Tensor, rows: int, before: Packed | None) -> Packed | None:
    """Return a copy of ``weight`` (out, in) for ``rows`` rows, ``before`` if it is one, None where none is faster."""
    if before is not None and before.of(weight) and rows <= before.rows:
        return before
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.bfloat16):
        return None
    if rows <= HALF_ROWS and weight.dtype is torch.bfloat16 and _fits_half(weight):
        return Packed(multiply=_half(weight), rows=HALF_ROWS, source=state_of(weight))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch gives it no hints
        return None
    copy = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), PACKED_ROWS // 2)
    multiply = torch.ops.mkldnn._linear_pointwise
    return Packed(
        multiply=lambda x: cast(Tensor, multiply(x, copy, None, "none", [], "")),
        rows=PACKED_ROWS,
        source=state_of(weight),
    )


def _fits_half(weight: Tensor) -> bool:
    """Return whether FBGEMM is there, and float16 holds these numbers: it has more digits, but a smaller range.

    Numbers too small for it are off by at most 2^-25, which beside the largest is less than bfloat16's own rounding.
    """
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        return False
    least, most = HALF
    return least <= float(weight.detach().abs().max()) <= most


def _half(weight: Tensor) -> Rows:
    copy = torch.ops.quantized.linear_prepack_fp16(weight.detach().float(), None)
    multiply = torch.ops.quantized.linear_dynamic_fp16
    return lambda x: cast(Tensor, multiply(x.float(), copy).to(x.dtype))


def drawing(x: Tensor) -> bool:
    """Return whether ``x`` (..., width) is a handful of rows on a CPU, from which nothing is learned."""
    rows = x.numel() // x.shape[-1]
    return rows <= PACKED_ROWS and x.is_cpu and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, packed: Packed | None) -> Tensor:
    """Return ``x @ weight.T + bias``, (..., in) -> (..., out), in the fastest way that is known for few rows."""
    if not drawing(x):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    return product(weight, bias, packed, len(rows))(rows).view(*x.shape[:-1], -1)


def product(weight: Tensor, bias: Tensor | None, packed: Packed | None, rows: int) -> Rows:
    """Return the fastest ``x -> x @ weight.T + bias`` for ``rows`` rows from which nothing is learned, on a CPU."""
    if rows <= VIEW_ROWS and weight.dtype is torch.float32:
        return _by_parts(weight, bias, rows)
    if packed is not None and rows <= packed.rows and packed.of(weight):
        multiply = packed.multiply
        return multiply if bias is None else lambda x: multiply(x) + bias
    return lambda x: functional.linear(x, weight, bias)


def _by_parts(weight: Tensor, bias: Tensor | None, rows: int) -> Rows:
    """Return a batched product over ``PARTS`` views of the matrix, and what is left of it."""
    out, width = weight.shape
    even = out - out % PARTS
    parts, rest = weight[:even].view(PARTS, even // PARTS, width), weight[even:] if even < out else None

    def multiply(x: Tensor) -> Tensor:
        # One row is a transposed view, too: with its strides MKL is four times as fast as with a plain column's.
        result = torch.bmm(parts, x.as_strided((PARTS, width, rows), (0, x.stride(1), x.stride(0))))
        result = result.view(1, even) if rows == 1 else result.view(even, rows).t()
        if rest is not None:
            result = torch.cat((result, functional.linear(x, rest)), dim=1)
        return result if bias is None else result + bias

    return multiply


class Linear(nn.Linear):
    """``nn.Linear`` with the same numbers and the same state, faster for few rows on a CPU where nothing is learned."""

    packed: Packed | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias, self.packed)

    def planned(self, rows: int) -> Rows:
        """Return what ``forward`` does to ``rows`` rows from which nothing is learned, as a function alone."""
        return product(self.weight, self.bias, self.packed, rows)

    def pack(self, rows: int) -> None:
        """Copy the weights into the layout that is fastest for so many rows, where there is one."""
        self.packed = pack(self.weight, rows, self.packed)


@runtime_checkable
class Packs(Protocol):
    """A network, or a part of one, that can copy its matrices for drawing."""

    def pack(self, rows: int) -> None:
        """Make or keep the copy that is fastest for so many rows."""


def pack_for_drawing(network: nn.Module, rows: int, steps: int) -> None:
    """Copy the matrices of ``network`` where drawing ``steps`` ids for ``rows`` rows gains by it.

    A copy costs as much as a few steps, and as much memory as the weights: it is not made where it does not leave half
    of the memory free, nor for the view's few float32 rows.
    """
    weight = next(network.parameters(), None)
    if weight is None or steps < LEAST_STEPS or not pays(rows, weight.device, weight.dtype):
        return
    size, room = sum(each.numel() * each.element_size() for each in network.parameters()), available_bytes()
    if room is None or 2 * size > room:
        return
    pack_all(network, rows)


def pays(rows: int, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether many steps for so many rows gain by a copy of matrices of ``dtype``."""
    return device.type == "cpu" and (VIEW_ROWS if dtype is torch.float32 else 0) < rows <= PACKED_ROWS


def pack_all(module: nn.Module, rows: int) -> None:
    """Copy the matrices of a network into the layout that is fastest for so many rows."""
    if isinstance(module, Packs):
        module.pack(rows)
        return
    for part in module.children():
        pack_all(part, rows)
