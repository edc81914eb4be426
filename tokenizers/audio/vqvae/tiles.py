"""Convolutions over time on a processor, a tile of rows at a time, so that what is made is used while it is in a cache.

Sounds here are rows of features, (time, width). A convolution then is a few matrix products of shifted rows: nothing is
unfolded, reordered or padded. Applied to whole sounds, each product would read and write all of the memory; applied
tile by tile it runs at the speed of the arithmetic. ``Taps`` is one convolution and ``Residual`` a row of residual
blocks, forwards and backwards. Autocast makes no difference to either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd import Function
from torch.autograd.function import once_differentiable

CACHED = 1 << 19
"""Bytes of a tile of rows; a few of them fit into a core's second cache."""

Block = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of a residual block: taps (3, width, hidden), their bias, the way back (hidden, width), its bias."""


def tiles(time: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of stretches of ``time`` rows of ``width`` numbers."""
    rows = max(64, CACHED // (4 * width))
    for begin in range(0, time, rows):
        yield begin, min(begin + rows, time)


def add_taps(
    out: Tensor, rows: Tensor, taps: Sequence[Tensor], offsets: Sequence[int], begin: int, end: int, first: int = 0
) -> None:
    """Add ``rows[t + offset] @ tap`` for each tap to ``out[t - first]``, for t from ``begin`` to ``end``.

    Rows that there are none of count as zeros.
    """
    for tap, offset in zip(taps, offsets, strict=True):
        low, high = max(begin, -offset), min(end, len(rows) - offset)
        if low < high:
            out[low - first : high - first].addmm_(rows[low + offset : high + offset], tap)


def add_tap_gradients(
    out: Sequence[Tensor], rows: Tensor, gradient: Tensor, offsets: Sequence[int], begin: int, end: int
) -> None:
    """Add to ``out`` the gradients of the taps, of rows of the result from ``begin`` to ``end``."""
    for tap, offset in zip(out, offsets, strict=True):
        low, high = max(begin, -offset), min(end, len(rows) - offset)
        if low < high:
            tap.addmm_(rows[low + offset : high + offset].t(), gradient[low:high])


class Taps(Function):
    """``result[t] = bias + sum of inputs[t + offset] @ tap``: a convolution of any kernel, over any rows."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, inputs: Tensor, taps: Tensor, bias: Tensor, offsets: tuple[int, ...], time: int) -> Tensor:
        """Return (batch, time, outputs) of ``inputs`` (batch, rows, width) and ``taps`` (taps, width, outputs)."""
        ctx.save_for_backward(inputs, taps)
        ctx.offsets = offsets
        result = inputs.new_empty(len(inputs), time, taps.shape[2])
        for rows, out in zip(inputs, result, strict=True):
            for begin, end in tiles(time, max(taps.shape[1:])):
                out[begin:end] = bias
                add_taps(out, rows, taps.unbind(), offsets, begin, end)
        return result

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return the gradients of inputs, taps and bias."""
        inputs, taps = ctx.saved_tensors
        gradient = gradient.contiguous()
        widest = max(taps.shape[1:])
        taps_gradient = torch.zeros_like(taps)
        inputs_gradient = torch.zeros_like(inputs) if ctx.needs_input_grad[0] else None
        transposed, back = taps.transpose(1, 2).unbind(), [-offset for offset in ctx.offsets]
        for index, (rows, change) in enumerate(zip(inputs, gradient, strict=True)):
            for begin, end in tiles(len(change), widest):
                add_tap_gradients(taps_gradient.unbind(), rows, change, ctx.offsets, begin, end)
            if inputs_gradient is not None:
                for begin, end in tiles(len(rows), widest):
                    add_taps(inputs_gradient[index], change, transposed, back, begin, end)
        return inputs_gradient, taps_gradient, gradient.sum((0, 1)), None, None


class Residual(Function):
    """Residual blocks in a row, each ``x + relu(sum of relu(x)[t + offset] @ tap + bias) @ way_back + its bias``."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, inputs: Tensor, dilations: tuple[int, ...], *weights: Tensor) -> Tensor:
        """Return (batch, time, width) of ``inputs`` of that shape; ``weights`` are those of each ``Block`` in turn."""
        blocks = _blocks(weights)
        result = inputs.clone(memory_format=torch.contiguous_format)
        kept = [result.new_empty(*result.shape[:2], width) for taps, *_ in blocks for width in taps.shape[1:]]
        for index, states in enumerate(result):
            read, hidden = [each[index] for each in kept[::2]], [each[index] for each in kept[1::2]]
            torch.clamp_min(states, 0, out=read[0])
            for block, dilation in enumerate(dilations):
                _block(states, read[block : block + 2], hidden[block], blocks[block], dilation)
        ctx.dilations = dilations
        ctx.save_for_backward(*weights, *kept)
        return result

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return the gradients of inputs and weights."""
        count = 4 * len(ctx.dilations)
        weights, kept = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        found = [torch.zeros_like(weight) for weight in weights]
        changes = _blocks(found)
        for index, change in enumerate(gradient):
            for block, dilation in reversed(list(enumerate(ctx.dilations))):
                read, hidden = kept[2 * block][index], kept[2 * block + 1][index]
                _block_backward(change, read, hidden, _blocks(weights)[block], changes[block], dilation)
        return gradient, None, *found


def apply_residual(states: Tensor, dilations: Sequence[int], *weights: Tensor) -> Tensor:
    """Do what ``Residual`` does in place, on (batch, time, width), keeping nothing for gradients; return ``states``."""
    blocks = _blocks(weights)
    with torch.autocast("cpu", enabled=False):
        for rows in states:
            read = [rows.clamp_min(0), torch.empty_like(rows)]
            for block, dilation in zip(blocks, dilations, strict=True):
                _block(rows, read, None, block, dilation)
                read.reverse()
    return states


def _blocks(weights: Sequence[Tensor]) -> list[Block]:
    return [(weights[at], weights[at + 1], weights[at + 2], weights[at + 3]) for at in range(0, len(weights), 4)]


def _block(states: Tensor, read: Sequence[Tensor], hidden: Tensor | None, block: Block, dilation: int) -> None:
    """Add what a block makes of ``read[0]``, the positive part of ``states``, to ``states`` (time, width).

    Args:
        states: changed in place.
        read: the positive part of ``states``, and where that of the new ones goes, if there are more blocks.
        hidden: (time, hidden) where what is inside the block is kept, None for nowhere.
        block: its weights.
        dilation: of its taps.
    """
    taps, bias, back, back_bias = block
    positive = read[0]
    for begin, end in tiles(len(states), max(taps.shape[1:])):
        inner = states.new_empty(end - begin, taps.shape[2]) if hidden is None else hidden[begin:end]
        torch.mm(positive[begin:end], taps[1], out=inner)
        add_taps(inner, positive, (taps[0], taps[2]), (-dilation, dilation), begin, end, begin)
        inner.add_(bias).relu_()  # the bias last: small sums first lose the least
        stretch = states[begin:end]
        stretch += torch.addmm(back_bias, inner, back)
        if len(read) == 2:
            torch.clamp_min(stretch, 0, out=read[1][begin:end])


def _block_backward(change: Tensor, read: Tensor, hidden: Tensor, block: Block, found: Block, dilation: int) -> None:
    """Turn ``change``, the gradient of a block's result (time, width), into that of its input; add those of weights.

    Args:
        change: changed in place.
        read: positive part of the block's input.
        hidden: what was inside the block.
        block: its weights.
        found: where the gradients of the weights are added.
        dilation: of its taps.
    """
    taps, _, back, _ = block
    offsets = (-dilation, 0, dilation)
    widest = max(taps.shape[1:])
    inner = torch.empty_like(hidden)
    for begin, end in tiles(len(change), widest):
        stretch, within, kept = change[begin:end], inner[begin:end], hidden[begin:end]
        torch.mm(stretch, back.t(), out=within)
        _where_positive(within, kept)
        ones = stretch.new_ones(end - begin)
        found[1].addmv_(within.t(), ones)
        found[2].addmm_(kept.t(), stretch)
        found[3].addmv_(stretch.t(), ones)
        add_tap_gradients(found[0].unbind(), read, inner, offsets, begin, end)
    transposed = taps.transpose(1, 2)
    for begin, end in tiles(len(change), widest):
        passed = torch.mm(inner[begin:end], transposed[1])
        add_taps(passed, inner, (transposed[0], transposed[2]), (dilation, -dilation), begin, end, begin)
        _where_positive(passed, read[begin:end])
        change[begin:end] += passed


def _where_positive(gradient: Tensor, result: Tensor) -> None:
    """Set ``gradient`` to zero where ``result``, of a rectifier, is."""
    torch.ops.aten.threshold_backward.grad_input(gradient, result, 0, grad_input=gradient)
