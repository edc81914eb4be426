"""One more id for every row of a cache on a CPU: what the modules compute, without what calling modules costs.

Drawing ids one by one is little arithmetic in many small operations, and what surrounds them (modules that call
modules, attributes, views made anew) took a third of the time. A ``Plan`` is made once for a cache: a function for each
layer, bound to its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from zoo.transformer.block import Block
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.compiled import CompiledPlan
from zoo.transformer.linear import state_of
from zoo.transformer.route import Call


def plan(blocks: Iterable[Block], caches: Sequence[LayerCache | MemoryCache], rows: int) -> Plan | CompiledPlan:
    """Return the fastest way through ``blocks`` with the ``caches`` of ``rows`` rows."""
    blocks = list(blocks)
    return CompiledPlan.of(blocks, caches, rows) or Plan(blocks, caches, rows)


class Plan:
    """How a step passes through ``blocks`` with the ``caches`` of ``rows`` rows."""

    def __init__(self, blocks: Iterable[Block], caches: Sequence[LayerCache | MemoryCache], rows: int) -> None:
        blocks = list(blocks)
        self._weights = [weight for block in blocks for weight in block.parameters()]
        self._source = self._now()
        self._layers = [block.planned(cache, rows) for block, cache in zip(blocks, caches, strict=True)]

    def holds(self) -> bool:
        """Return whether the weights are still those that the plan was made for."""
        return self._source == self._now()

    def _now(self) -> list[tuple[int, int]]:
        return [state_of(weight) for weight in self._weights]

    def step(self, x: Tensor, call: Call) -> Tensor:
        """(rows, width) -> (rows, width); the caches get the new keys and values. ``call.route`` must be a ``Step``."""
        for layer in self._layers:
            x = layer(x, call)
        return x


def plannable(x: Tensor) -> bool:
    """Return whether a step from ``x`` is for a plan: on a CPU or GPU, in plain numbers, and nothing is learned."""
    kind = x.device.type
    return kind in ("cpu", "cuda") and not torch.is_grad_enabled() and not torch.is_autocast_enabled(kind)
