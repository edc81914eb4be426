"""Attention of one new position a row over a cache on a CPU: two sums over rows of memory, at the memory's speed.

torch's fused attention is made for many queries: with one, it reads a float32 cache at half of the memory's speed and a
bfloat16 one at a fifteenth. A weighted sum of values is what ``embedding_bag`` computes: rows of a table times weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from zoo.transformer.patterns import Pattern


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the layers with one attention pattern need to know of one step; ``of`` works it out.

    Attributes:
        slot: of the cache, into which the new key is put; None if no later query sees it.
        slots: of the cache, that the new query sees.
        table: int32 (batch * heads * slots seen,), where they lie in a cache that is folded to (batch * heads * slots).
        begins: int32 (batch * heads,), where each head's part of ``table`` begins.
    """

    slot: int | None
    slots: slice
    table: Tensor
    begins: Tensor

    @classmethod
    def of(cls, pattern: Pattern, position: int, shape: torch.Size) -> Seen:
        """Return it for the id at ``position`` and a cache of ``shape`` (batch, heads, slots, head_width)."""
        batch, heads, size, _ = shape
        slot, slots = int(pattern.slot(torch.tensor(position))), pattern.read(position)
        places = torch.arange(size, dtype=torch.int32)[slots]
        firsts = torch.arange(0, batch * heads * size, size, dtype=torch.int32)
        return cls(
            slot=slot if slot < size else None,
            slots=slots,
            table=(firsts[:, None] + places).flatten(),
            begins=torch.arange(batch * heads, dtype=torch.int32) * len(places),
        )


def attend(query: Tensor, keys: Tensor, values: Tensor, seen: Seen) -> Tensor:
    """Return softmax(q k / sqrt(head_width)) v, (batch, heads * head_width); zeros where nothing is seen.

    Args:
        query: (batch, heads, head_width).
        keys, values: (batch, key_value_heads, slots, head_width), contiguous.
        seen: which slots the queries see.
    """
    batch, heads, slots, width = keys.shape
    if not len(seen.table):
        return torch.zeros_like(query).flatten(1)
    if query.shape[1] != heads:  # several queries a key: matrix products, at which torch is good
        near, values = keys[:, :, seen.slots], values[:, :, seen.slots]
        return functional.scaled_dot_product_attention(query[:, :, None], near, values, enable_gqa=True).flatten(1)
    column = (query * width**-0.5).reshape(batch * heads, 1, width).transpose(1, 2)
    weights = torch.bmm(keys.view(batch * heads, slots, width)[:, seen.slots], column)[:, :, 0].softmax(dim=1)
    rows = values.view(batch * heads * slots, width)
    return torch.embedding_bag(rows, seen.table, seen.begins, False, 0, False, weights.flatten())[0].view(batch, -1)
