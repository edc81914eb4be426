"""How a call passes through a block: kept in memory for the gradient, or computed again when the gradient needs it.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost: a layer's input in memory, another forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.transformer.block import Block
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.route import Call

Through = Callable[[Block, Tensor, Call, LayerCache | MemoryCache | None], Tensor]
"""(block, x (batch, time, width), call, cache) -> (batch, time, width)."""


@runtime_checkable
class Blocks(Protocol):
    """A module that passes through its blocks by ``through``."""

    through: Through


def kept(block: Block, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
    """Pass through a block; all that its gradient needs stays in memory."""
    return cast(Tensor, block(x, call, cache))


def recomputed(block: Block, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
    """Pass through a block of which only the input stays in memory; the same numbers, dropout included."""
    if cache is not None or not torch.is_grad_enabled():
        return kept(block, x, call, cache)
    return cast(Tensor, checkpoint(block, x, call, None, use_reentrant=False))


def recompute(network: nn.Module) -> None:
    """Let every transformer in ``network`` compute its blocks again for gradients."""
    for module in network.modules():
        if isinstance(module, Blocks):
            module.through = recomputed
