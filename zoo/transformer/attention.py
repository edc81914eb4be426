"""Multi-head attention: projections around a pattern's attention. Vaswani et al. 2017, section 3.2.2."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.linear import Linear
from zoo.transformer.one_query import Tiles, attend
from zoo.transformer.patterns import Pattern, attention
from zoo.transformer.position import Rotation
from zoo.transformer.route import Call, Layer, Step


class SelfAttention(nn.Module):
    """Each position attends to the positions of its own sequence that the pattern lets it see.

    Args:
        width: features of the residual stream.
        heads: query heads, of ``head_width`` features each.
        key_value_heads: heads of keys and values; divides ``heads``.
        head_width: features of one head.
        bias: both projections have biases.
        dropout: probability, on the result.
        weight_dropout: probability, on attention weights.
        pattern: which keys a query sees.
        rotation: turns queries and keys, None if positions are not rotary.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        key_value_heads: int,
        head_width: int,
        bias: bool,
        dropout: float,
        weight_dropout: float,
        pattern: Pattern,
        rotation: Rotation | None,
    ) -> None:
        super().__init__()
        self.pattern = pattern
        self.heads, self.key_value_heads, self.head_width = heads, key_value_heads, head_width
        self.input = Linear(width, (heads + 2 * key_value_heads) * head_width, bias=bias)
        self.output = Linear(heads * head_width, width, bias=bias)
        self.rotation = rotation
        self.weight_dropout = weight_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        assert not isinstance(cache, MemoryCache)
        packed = rearrange(self.input(x), "b t (h d) -> b h t d", d=self.head_width)
        query, key, value = packed.split((self.heads, self.key_value_heads, self.key_value_heads), dim=1)
        if self.rotation is not None and call.angles is not None:
            query, key = self.rotation(query, call.angles), self.rotation(key, call.angles)
        dropout = self.weight_dropout if self.training else 0.0
        result = call.route.attend(self.pattern, cache, query, key, value, dropout)
        projected: Tensor = self.dropout(self.output(rearrange(result, "b h t d -> b t (h d)")))
        return projected

    def planned(self, cache: LayerCache | MemoryCache, rows: int) -> Layer:
        """Return what ``forward`` does in a step of ``rows`` rows on a CPU, as a function alone."""
        assert isinstance(cache, LayerCache)
        project, output, rotation = self.input.planned(rows), self.output.planned(rows), self.rotation
        heads = (self.heads, self.key_value_heads, self.key_value_heads)
        shape, pattern = (rows, sum(heads), self.head_width), self.pattern
        tiles = Tiles.of(pattern, cache.keys, self.heads)

        def forward(x: Tensor, call: Call) -> Tensor:
            query, key, value = project(x).reshape(shape).split_with_sizes(heads, dim=1)
            if rotation is not None and call.angles is not None:
                query = rotation(query[:, :, None], call.angles)[:, :, 0]
                key = rotation(key[:, :, None], call.angles)[:, :, 0]
            assert isinstance(call.route, Step)
            seen = call.route.seen(pattern, cache.keys.shape)
            if seen.slot is not None:
                cache.values.select(2, seen.slot).copy_(value)  # quicker than by index
                if tiles is None:
                    cache.keys.select(2, seen.slot).copy_(key)
                else:
                    tiles.write(cache.keys, key, seen.slot)
            return output(attend(query, cache.keys, cache.values, seen, tiles))

        return forward

    def new_cache(self, batch: int, capacity: int) -> LayerCache:
        """Allocate zeros for ``capacity`` positions of ``batch`` rows.

        Raises:
            ZooError: the pattern is not causal, so nothing can be drawn one by one.
        """
        if not self.pattern.causal:
            raise ZooError("this model sees later positions too, so it has no cache and cannot generate left to right")
        shape = (batch, self.key_value_heads, self.pattern.slots(capacity), self.head_width)
        keys = torch.zeros(shape, dtype=self.output.weight.dtype, device=self.output.weight.device)
        return LayerCache(pattern=self.pattern, keys=keys, values=torch.zeros_like(keys))


class CrossAttention(nn.Module):
    """Each position attends to every real position of the memory, of ``memory_width`` features; else as above."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        key_value_heads: int,
        head_width: int,
        bias: bool,
        dropout: float,
        weight_dropout: float,
        memory_width: int,
    ) -> None:
        super().__init__()
        self.key_value_heads, self.head_width = key_value_heads, head_width
        self.input = Linear(width, heads * head_width, bias=bias)
        self.memory_input = Linear(memory_width, 2 * key_value_heads * head_width, bias=bias)
        self.output = Linear(heads * head_width, width, bias=bias)
        self.weight_dropout = weight_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        assert not isinstance(cache, LayerCache)
        memory = MemoryCache() if cache is None else cache
        if memory.keys is None or memory.values is None:
            memory.keys, memory.values, memory.mask = self._project(call.conditioning)
        query = rearrange(self.input(x), "b t (h d) -> b h t d", d=self.head_width)
        dropout = self.weight_dropout if self.training else 0.0
        result = attention(query, memory.keys, memory.values, mask=memory.mask, dropout=dropout)
        projected: Tensor = self.dropout(self.output(rearrange(result, "b h t d -> b t (h d)")))
        return projected

    def _project(self, conditioning: Conditioning | None) -> tuple[Tensor, Tensor, Tensor | None]:
        if conditioning is None or conditioning.memory is None:
            raise ZooError("this model attends to a memory: pass Conditioning(memory=...)")
        packed = rearrange(self.memory_input(conditioning.memory), "b t (h d) -> b h t d", d=self.head_width)
        keys, values = packed.split((self.key_value_heads, self.key_value_heads), dim=1)
        if conditioning.memory_lengths is None:
            return keys, values, None
        at = torch.arange(keys.shape[2], device=keys.device)
        return keys, values, (at < conditioning.memory_lengths.to(keys.device)[:, None])[:, None, None]

    def planned(self, cache: LayerCache | MemoryCache, rows: int) -> Layer:
        """Return what ``forward`` does in a step of ``rows`` rows, as a function alone."""
        return lambda x, call: cast(Tensor, self(x[:, None], call, cache)[:, 0])

    def new_cache(self, batch: int, capacity: int) -> MemoryCache:
        """Return an empty cache; it is filled from the memory at the first call."""
        return MemoryCache()


Attention = SelfAttention | CrossAttention
