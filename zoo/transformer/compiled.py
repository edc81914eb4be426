"""A step of all layers as one call of compiled C++ (``step.cpp``), on machines that have a compiler.

Called one by one, the operations of a step cost more than what they compute, at one row most of all, and torch reads
bfloat16 weights at a fraction of the memory's speed. Where there is no compiler, or a network is of another shape,
torch's operations take the steps (``zoo.transformer.drawing.Plan``), with the same numbers up to rounding.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import cast, get_args

import torch
from torch import Tensor, nn

from zoo.transformer import native
from zoo.transformer.attention import SelfAttention
from zoo.transformer.block import Block, PreNormBlock
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.feedforward import ActivationName, FeedForward, GatedFeedForward, activation
from zoo.transformer.linear import PACKED_ROWS, Linear
from zoo.transformer.norm import PlannedLayerNorm, PlannedRMSNorm
from zoo.transformer.one_query import Seen
from zoo.transformer.patterns import Pattern
from zoo.transformer.route import Call, Step


def made_for(blocks: Sequence[Block]) -> native.Native | None:
    """Return the compiled functions if they can take steps through ``blocks``, else None."""
    weights = [weight for block in blocks for weight in block.parameters()]
    return made_for_kind(blocks) if all(weight.is_cpu and weight.is_contiguous() for weight in weights) else None


def made_for_kind(blocks: Sequence[Block]) -> native.Native | None:
    """Return the compiled functions if they could take steps through ``blocks`` whose weights were on the CPU."""
    kind = blocks[0].feedforward_norm.weight.dtype if blocks else None
    if kind not in native.KINDS or not all(_plain(block) for block in blocks):
        return None
    if not all(weight.dtype is kind for block in blocks for weight in block.parameters()):
        return None
    functions = native.load()
    if functions is None or any(width % functions.lanes for block in blocks for width in _widths(block)):
        return None
    return functions


def _plain(block: Block) -> bool:
    attention, feedforward = block.attention, block.feedforward
    if type(block) is not PreNormBlock or type(attention) is not SelfAttention:
        return False
    projections = (attention.input, attention.output, feedforward.input, feedforward.output)
    return all(type(each) is Linear for each in projections)  # an adapter would be passed over


def _widths(block: Block) -> Iterator[int]:
    attention, feedforward = cast(SelfAttention, block.attention), block.feedforward
    yield from (attention.head_width, feedforward.input.in_features, feedforward.output.in_features)


class CompiledPlan:
    """How a step passes through ``blocks`` with the ``caches`` of ``rows`` rows, in one call."""

    def __init__(
        self, functions: native.Native, blocks: Sequence[Block], caches: Sequence[LayerCache], rows: int
    ) -> None:
        self._weights = [weight for block in blocks for weight in block.parameters()]
        self._source = self._now()
        self._shape = _shape(blocks, caches, rows)
        patterns: dict[tuple[Pattern, torch.Size], native.Seen] = {}
        for cache in caches:
            patterns.setdefault((cache.pattern, cache.keys.shape), native.Seen())
        self._patterns = patterns
        layers = [
            _layer(block, cache, patterns[cache.pattern, cache.keys.shape])
            for block, cache in zip(blocks, caches, strict=True)
        ]
        self._layers = (native.Layer * len(layers))(*layers)
        self._scratch = functions.scratch(self._shape, torch.get_num_threads())
        self._step = functions.step(self._weights[0].dtype)
        self._caches = caches  # their memory must stay

    @classmethod
    def of(cls, blocks: Sequence[Block], caches: Sequence[LayerCache | MemoryCache], rows: int) -> CompiledPlan | None:
        """Return a plan if there is a compiler, the blocks are of its kind, and the rows a handful; else None."""
        functions = made_for(blocks) if rows <= PACKED_ROWS else None
        own = [cache for cache in caches if isinstance(cache, LayerCache)]
        return None if functions is None else cls(functions, blocks, own, rows)

    def holds(self) -> bool:
        """Return whether the weights still lie where they lay; they may have changed there."""
        return self._source == self._now()

    def _now(self) -> list[int]:
        return [torch.get_num_threads(), *(weight.data_ptr() for weight in self._weights)]

    def step(self, x: Tensor, call: Call) -> Tensor:
        """(rows, width) -> (rows, width); the caches get the new keys and values. ``call.route`` must be a ``Step``."""
        assert isinstance(call.route, Step)
        for (pattern, shape), seen in self._patterns.items():
            _see(seen, call.route.seen(pattern, shape))
        result = torch.empty(x.shape, dtype=torch.float32).copy_(x)
        angles = [None, None] if call.angles is None else [each.contiguous() for each in call.angles]
        cosines, sines = (None if each is None else each.data_ptr() for each in angles)
        self._step(
            ctypes.addressof(self._shape),
            ctypes.addressof(self._layers),
            result.data_ptr(),
            cosines,
            sines,
            self._scratch.data_ptr(),
            self._source[0],
        )
        return result.to(x.dtype)


def _shape(blocks: Sequence[Block], caches: Sequence[LayerCache], rows: int) -> native.Shape:
    first = blocks[0]
    attention, feedforward = cast(SelfAttention, first.attention), first.feedforward
    return native.Shape(
        depth=len(blocks),
        rows=rows,
        width=feedforward.input.in_features,
        heads=attention.heads,
        key_heads=attention.key_value_heads,
        head_width=attention.head_width,
        hidden=feedforward.output.in_features,
        activation=_activation(feedforward),
        gated=isinstance(feedforward, GatedFeedForward),
        mean=not isinstance(first.attention_norm, PlannedRMSNorm),
        slots=max(cache.keys.shape[2] for cache in caches),
        eps=first.attention_norm.eps or 0.0,
    )


def _activation(feedforward: FeedForward) -> int:
    names = get_args(ActivationName)
    return next(place for place, name in enumerate(names) if activation(name) is feedforward.activate)


def _layer(block: Block, cache: LayerCache, seen: native.Seen) -> native.Layer:
    attention, feedforward = cast(SelfAttention, block.attention), block.feedforward
    return native.Layer(
        before=_norm(block.attention_norm),
        between=_norm(block.feedforward_norm),
        input=_product(attention.input),
        output=_product(attention.output),
        first=_product(feedforward.input),
        second=_product(feedforward.output),
        keys=cache.keys.data_ptr(),
        values=cache.values.data_ptr(),
        slots=cache.keys.shape[2],
        seen=ctypes.pointer(seen),
    )


def _norm(norm: PlannedLayerNorm | PlannedRMSNorm) -> native.Norm:
    bias = norm.bias if isinstance(norm, PlannedLayerNorm) else None
    return native.Norm(gain=norm.weight.data_ptr(), bias=_address(bias))


def _product(linear: nn.Linear) -> native.Product:
    return native.Product(weight=_address(linear.weight), bias=_address(linear.bias))


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _see(seen: native.Seen, now: Seen) -> None:
    seen.slot = -1 if now.slot is None else now.slot
    seen.start, seen.count, seen.stride = now.slots.start, now.count, now.slots.step
