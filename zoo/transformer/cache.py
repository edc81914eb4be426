"""Keys and values of the positions seen so far: allocated once, laid out by each layer's attention pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from zoo.network import Cache
from zoo.transformer.patterns import Pattern

if TYPE_CHECKING:
    from zoo.transformer.compiled import CompiledPlan
    from zoo.transformer.drawing import Plan
    from zoo.transformer.recording import Recording


@dataclass(kw_only=True)
class LayerCache:
    """One self-attention layer's keys and values, as many as its pattern can still need.

    Attributes:
        pattern: decides which slot holds which position.
        keys: (batch, key_value_heads, slots, head_width); rotated already where positions are rotary.
        values: (batch, key_value_heads, slots, head_width).
    """

    pattern: Pattern
    keys: Tensor
    values: Tensor

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return _bytes(self.keys, self.values)

    def write(self, key: Tensor, value: Tensor, position: int) -> None:
        """Put in the keys and values (batch, heads, 1, head_width) at ``position``, the same for every row."""
        slot = int(self.pattern.slot(torch.tensor(position)))
        if slot < self.keys.shape[2]:
            self.keys[:, :, slot] = key[:, :, 0].detach()
            self.values[:, :, slot] = value[:, :, 0].detach()

    def fill(self, key: Tensor, value: Tensor, first: Tensor, lengths: Tensor) -> None:
        """Put in keys and values (batch, heads, time, head_width) at positions ``first ... first + lengths - 1``.

        Args:
            first, lengths: (batch,) int64 on the cache's device; a row's entries beyond its length are padding.
        """
        slots = torch.arange(self.keys.shape[2], device=self.keys.device)
        newest = first + lengths - 1
        index = self.pattern.held(newest[:, None], slots) - first[:, None]
        fresh = rearrange((index >= 0) & (lengths[:, None] > 0), "b s -> b 1 s 1")
        index = rearrange(index.clamp(0, key.shape[2] - 1), "b s -> b 1 s 1")
        for store, new in ((self.keys, key), (self.values, value)):
            gathered = new.detach().gather(2, index.expand(-1, new.shape[1], -1, new.shape[3]))
            torch.where(fresh, gathered.to(store.dtype), store, out=store)

    def held(self, lengths: Tensor) -> Tensor:
        """Return the position in each slot (batch, slots), negative if none, of rows that saw ``lengths`` (batch,)."""
        slots = torch.arange(self.keys.shape[2], device=self.keys.device)
        return self.pattern.held((lengths - 1)[:, None], slots)


@dataclass(kw_only=True)
class MemoryCache:
    """A cross-attention layer's keys and values of the memory, computed when the memory is first given.

    Attributes:
        keys, values: (batch, key_value_heads, memory time, head_width), None before.
        mask: bool (batch, 1, 1, memory time), None if the whole memory is real.
    """

    keys: Tensor | None = None
    values: Tensor | None = None
    mask: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return _bytes(self.keys, self.values)


@dataclass(kw_only=True)
class TransformerCache:
    """What a transformer remembers.

    Attributes:
        layers: a cache per layer.
        lengths: ids that each row has seen, int64 (batch,), on the CPU.
        capacity: ids that a row can see.
        recent: token vectors before the next one, (batch, count - 1, width); None where they are not mixed.
        plan: how steps with this cache are taken, once there was one.
    """

    layers: list[LayerCache | MemoryCache]
    lengths: Tensor
    capacity: int
    recent: Tensor | None = None
    plan: Plan | CompiledPlan | Recording | None = None

    def select(self, rows: Tensor) -> TransformerCache:
        """Return a cache with copies of ``rows`` (int64, repeats allowed), in that order."""
        layers = [_map(layer, lambda x: x.index_select(0, rows.to(x.device))) for layer in self.layers]
        recent = None if self.recent is None else self.recent.index_select(0, rows.to(self.recent.device))
        return TransformerCache(layers=layers, lengths=self.lengths[rows.cpu()], capacity=self.capacity, recent=recent)

    def assign(self, rows: Tensor, other: Cache) -> None:
        """Overwrite ``rows`` with the rows of ``other`` (a cache of the same network and capacity), in order."""
        assert isinstance(other, TransformerCache)
        self.lengths[rows.cpu()] = other.lengths
        if self.recent is not None and other.recent is not None:
            self.recent[rows.to(self.recent.device)] = other.recent
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            for name in ("keys", "values", "mask"):
                target, source = getattr(mine, name, None), getattr(theirs, name, None)
                if target is not None and source is not None:
                    target[rows.to(target.device)] = source

    @property
    def bytes(self) -> int:
        """Memory that keys and values take."""
        return sum(layer.bytes for layer in self.layers)


def _bytes(*tensors: Tensor | None) -> int:
    return sum(x.numel() * x.element_size() for x in tensors if x is not None)


def _map(layer: LayerCache | MemoryCache, change: Callable[[Tensor], Tensor]) -> LayerCache | MemoryCache:
    if isinstance(layer, LayerCache):
        return LayerCache(pattern=layer.pattern, keys=change(layer.keys), values=change(layer.values))
    keys, values, mask = (None if x is None else change(x) for x in (layer.keys, layer.values, layer.mask))
    return MemoryCache(keys=keys, values=values, mask=mask)
