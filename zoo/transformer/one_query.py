"""Attention of one new position a row over a cache on a CPU: two sums over rows of memory, at the memory's speed.

torch's fused attention is made for many queries: with one, it reads a float32 cache at half of the memory's speed and a
bfloat16 one at a fifteenth. A weighted sum of values is what ``embedding_bag`` computes: rows of a table times weights.
So are the scores, of keys that lie feature by feature (``Tiles``), which pays in bfloat16; in float32 a batched product
is as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from zoo.transformer.linear import state_of
from zoo.transformer.patterns import Pattern

TILE = 64
"""Positions whose keys lie together."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the layers with one attention pattern need to know of one step; ``of`` works it out.

    Attributes:
        heads: of all rows of the batch together.
        size: slots of the cache.
        width: features of a head.
        slot: into which the new key is put; None if no later query sees it.
        slots: that the new query sees.
    """

    heads: int
    size: int
    width: int
    slot: int | None
    slots: slice

    @classmethod
    def of(cls, pattern: Pattern, position: int, shape: torch.Size) -> Seen:
        """Return it for the id at ``position`` and a cache of ``shape`` (batch, heads, slots, head_width)."""
        batch, heads, size, width = shape
        slot, slots = int(pattern.slot(torch.tensor(position))), pattern.read(position)
        return cls(
            heads=batch * heads,
            size=size,
            width=width,
            slot=slot if slot < size else None,
            slots=slice(*slots.indices(size)),
        )

    @property
    def count(self) -> int:
        """How many slots the query sees."""
        return len(range(self.slots.start, self.slots.stop, self.slots.step))

    @cached_property
    def values(self) -> tuple[Tensor, Tensor]:
        """Rows of values folded to (heads * slots, width) that are summed, and where each head's begin."""
        places = torch.arange(self.slots.start, self.slots.stop, self.slots.step, dtype=torch.int32)
        return _table(self.heads, self.size, places)

    @cached_property
    def tiles(self) -> slice:
        """Tiles that hold the slots."""
        return slice(self.slots.start // TILE, -(-self.slots.stop // TILE))

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor]:
        """Rows of tiled keys folded to (heads * tiles * width, TILE) that are summed, and where each tile's begin."""
        features = torch.arange(self.tiles.start * self.width, self.tiles.stop * self.width, dtype=torch.int32)
        rows, _ = _table(self.heads, -(-self.size // TILE) * self.width, features)
        return rows, torch.arange(0, len(rows), self.width, dtype=torch.int32)


def _table(heads: int, size: int, places: Tensor) -> tuple[Tensor, Tensor]:
    firsts = torch.arange(0, heads * size, size, dtype=torch.int32)[:, None]
    return (firsts + places).flatten(), torch.arange(heads, dtype=torch.int32) * len(places)


class Tiles:
    """A second copy of a cache's keys, (batch * heads, tiles, head_width, TILE), kept up to date as steps are taken."""

    @classmethod
    def of(cls, pattern: Pattern, keys: Tensor, query_heads: int) -> Tiles | None:
        """Return them where they pay: in bfloat16, with a head of keys for each of queries, and no slots left out."""
        pays = keys.dtype is torch.bfloat16 and keys.shape[1] == query_heads and pattern.read(0).step in (None, 1)
        return cls(keys) if pays else None

    def __init__(self, keys: Tensor) -> None:
        self._copy(keys)

    def _copy(self, keys: Tensor) -> None:
        padded = functional.pad(keys, (0, 0, 0, -keys.shape[2] % TILE))
        self._tiles = rearrange(padded, "b h (n t) d -> (b h) n d t", t=TILE).contiguous()
        self._state = state_of(keys)

    def write(self, keys: Tensor, key: Tensor, slot: int) -> None:
        """Put ``key`` (batch, heads, head_width) into ``slot`` of ``keys``, and into the copy of them."""
        known = self._state == state_of(keys)
        keys.select(2, slot).copy_(key)
        if known:
            self._tiles[:, slot // TILE, :, slot % TILE] = key.flatten(0, 1)
            self._state = state_of(keys)
        else:  # something else has written to the cache
            self._copy(keys)

    def scores(self, query: Tensor, seen: Seen) -> Tensor:
        """Return products of ``query`` (batch * heads, head_width) and the keys seen, (batch * heads, slots seen)."""
        rows, begins = seen.keys
        weights = query[:, None].expand(-1, seen.tiles.stop - seen.tiles.start, -1).flatten()
        scores = torch.embedding_bag(self._tiles.view(-1, TILE), rows, begins, False, 0, False, weights)[0]
        first = seen.tiles.start * TILE
        return scores.view(seen.heads, -1)[:, seen.slots.start - first : seen.slots.stop - first]


def attend(query: Tensor, keys: Tensor, values: Tensor, seen: Seen, tiles: Tiles | None = None) -> Tensor:
    """Return softmax(q k / sqrt(head_width)) v, (batch, heads * head_width); zeros where nothing is seen.

    Args:
        query: (batch, heads, head_width).
        keys, values: (batch, key_value_heads, slots, head_width), contiguous.
        seen: which slots the queries see.
        tiles: of the keys, where there are any.
    """
    batch, heads, slots, width = keys.shape
    if not seen.count:
        return torch.zeros_like(query).flatten(1)
    if query.shape[1] != heads:  # several queries a key: matrix products, at which torch is good
        near, values = keys[:, :, seen.slots], values[:, :, seen.slots]
        return functional.scaled_dot_product_attention(query[:, :, None], near, values, enable_gqa=True).flatten(1)
    scaled = (query * width**-0.5).reshape(-1, width)
    if tiles is not None:
        scores = tiles.scores(scaled, seen)
    else:  # a column is a transposed row: with its strides MKL is four times as fast as with a plain column's
        near = keys.view(seen.heads, slots, width)[:, seen.slots]
        scores = torch.bmm(near, scaled[:, None].transpose(1, 2))[:, :, 0]
    rows, begins = seen.values
    weights = scores.softmax(dim=1).flatten()
    return torch.embedding_bag(values.view(-1, width), rows, begins, False, 0, False, weights)[0].view(batch, -1)
